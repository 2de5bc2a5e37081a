"""Results that somebody sets: another tasklet, another thread, a signal handler."""

import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

from ringlet import _core
from ringlet.errors import Cancelled, TaskletError, Timeout
from ringlet.sched.wait import attempt

__all__ = ("Future",)

T = TypeVar("T")


class Future(_core.Future[T]):
    """A result to come. Whoever has it sets it, once; any number of tasklets wait for it.

    All of it may be used from any thread, and set_result(), set_exception() and cancel() in signal
    handlers and in the hub, too.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        state = "pending"
        if self.finished:
            state = "done" if self._error is None else f"done, with {type(self._error).__name__}"
        return f"<future {id(self):#x}, {state}>"

    @classmethod
    def wrap(cls, future: "concurrent.futures.Future[T]") -> "Future[T]":
        """One that gets what a future of concurrent.futures gets.

        Cancelling it does not cancel the other one.
        """
        own: Future[T] = cls()
        hub = _core.hub()
        hub.expect(1)  # that waiting for it is no deadlock

        def finish(done: "concurrent.futures.Future[T]") -> None:
            hub.call_threadsafe(hub.expect, -1)
            error: BaseException | None
            try:
                error = done.exception()
            except concurrent.futures.CancelledError as cancelled:
                error = cancelled
            own._finish(None if error is not None else done.result(), error)

        future.add_done_callback(finish)
        return own

    def done(self) -> bool:
        """Whether it has a result or an exception."""
        return self.finished

    def set_result(self, value: T) -> None:
        """Give it its result, and wake who waits. Raises TaskletError when it is done."""
        if not self._finish(value, None):
            self._refuse()

    def set_exception(self, error: BaseException | type[BaseException]) -> None:
        """Give it an exception, which result() raises. Raises TaskletError when it is done."""
        exception = error() if isinstance(error, type) else error
        if not isinstance(exception, BaseException):
            raise TypeError(f"set_exception() wants an exception, not {error!r}")
        if not self._finish(None, exception):
            self._refuse()

    def cancel(self) -> bool:
        """Give it Cancelled for an exception. Returns whether it was not done before."""
        return self._finish(None, Cancelled())

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it is done, at most `timeout` seconds. Whether it is. Raises none of its."""
        return self.finished or attempt(self._await_end, timeout, self)

    def result(self, timeout: float | None = None) -> T:
        """Wait until it is done; return its result, or raise its exception.

        Raises Timeout when it is not done after `timeout` seconds.
        """
        error = self.exception(timeout)
        if error is not None:
            # With the traceback it was given with: else each call would make it longer.
            raise error.with_traceback(self._traceback)
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until it is done; return its exception, or None when it has a result.

        Raises Timeout when it is not done after `timeout` seconds.
        """
        if not self.join(timeout):
            raise Timeout(f"{self!r} was not done in {timeout:g} s")
        return self._error

    def add_done_callback(self, f: Callable[["Future[T]"], object]) -> None:
        """Call f(this future) in the hub of the calling thread before long, once it is done.

        f must not block. What it raises is printed.
        """
        hub = _core.hub()
        if not self._add_callback((hub, f)):
            hub.call_soon(f, self)

    def _finish(self, value: Any, error: BaseException | None) -> bool:
        callbacks = self._settle(value, error)
        if callbacks is None:
            return False
        for hub, f in callbacks:
            hub.call_threadsafe(f, self)
        return True

    def _refuse(self) -> None:
        raise TaskletError(f"{self!r} has its result already: it is set once")

"""Tasklets: units that the scheduler runs, each with a stack of its own."""

import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar

from ringlet import _core
from ringlet.errors import (
    Cancelled,
    GreenletExit,
    TaskletError,
    TaskletExit,
    Timeout,
)
from ringlet.sched import wait
from ringlet.sched.threads import get_ident
from ringlet.sched.words import target_in_words

__all__ = (
    "Tasklet",
    "current",
    "excepthook",
    "main",
    "run",
    "spawn",
    "spawn_later",
    "tasklets",
)

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SILENT = (TaskletExit, GreenletExit, Cancelled)


class Tasklet(_core.Tasklet[T_co]):
    """Tasklet(f, args=(), kwargs=None, *, name=None, context=None): will call f(*args, **kwargs).

    It runs once start() has put it at the end of the round, in `context`, by default a copy of the
    context it is made in. spawn() makes and starts one. join(), result(), kill(), cancel() and
    throw() may be used from any thread; add_done_callback() belongs to the thread that runs it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        words = [f"<tasklet {self.name} at {id(self):#x}, {self.state}"]
        if self.waiting_on is not None:
            words.append(f"waiting for {target_in_words(self.waiting_on)}")
        elif self.finished and self._error is not None:
            words.append(f"with {type(self._error).__name__}")
        return ", ".join(words) + ">"

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most `timeout` seconds. True once it has ended, however it did.

        Raises TaskletError when it would wait for its own end.
        """
        if self.finished:
            return True
        if timeout is None:
            self._await_end()
            return True
        return wait.attempt(self._await_end, timeout, self)

    def result(self, timeout: float | None = None) -> T_co:
        """Wait for its end and return what it returned, or raise what it raised.

        Raises Timeout when it has not ended after `timeout` seconds.
        """
        if not self.finished:
            self._watched += 1
            try:
                if not self.join(timeout):
                    raise Timeout(f"{self!r} has not ended in {timeout:g} s")
            finally:
                self._watched -= 1
        if self._error is not None:
            # With the traceback it had at its end: else each call would make it longer.
            raise self._error.with_traceback(self._traceback)
        return self._value

    def throw(self, error: BaseException | type[BaseException]) -> None:
        """Raise `error` in it where it waits, when its turn comes. Returns at once.

        Of several before that turn the last is raised, so kill() is not undone by an error that
        came first. One that has not run yet ends with it. One that runs in another thread raises
        it where it waits next; the running one raises it here. Raises TaskletError when it has
        not been started, or has ended.
        """
        exception = error() if isinstance(error, type) else error
        if not isinstance(exception, BaseException):
            raise TypeError(f"throw() wants an exception, not {error!r}")
        if self is _core.current():
            raise exception
        if not _core.throw(self, exception):
            self._refuse("throw at", "thrown at")

    def kill(self, wait: bool = True) -> None:
        """Raise TaskletExit in it where it waits, shielded or not, and wait until it has ended.

        One that never ran just ends. Harmless when it has ended. With wait=False it returns at
        once. The running tasklet raises TaskletExit here. What cancel() and throw() were still to
        raise in it is not raised any more.
        """
        if self.finished:
            return
        if self.state == "new":
            self._discard(TaskletExit("killed before it began"))
            return
        if self is _core.current():
            raise TaskletExit
        if not self._kill(TaskletExit()):
            self._refuse("kill", "killed")
        if wait:
            self.join()

    def cancel(self) -> None:
        """Raise Cancelled in it, once: in the call that it blocks in, or the next one that does.

        Nothing is lost by that: who has got a value or a lock already keeps it, and is cancelled
        the next time it blocks. So is one inside a shield() once it has left that. One that has not
        run yet ends. Harmless when it has ended, and while it is being cancelled or killed already.
        Returns at once; the running tasklet may cancel itself. From any thread.
        """
        if self.state == "new":
            self._discard(Cancelled())
        else:
            self._cancel(Cancelled())

    def _refuse(self, do: str, done: str) -> NoReturn:
        raise TaskletError(
            f"cannot {do} {self!r}: only a tasklet that has its turn or waits can be {done}"
        )

    def add_done_callback(self, f: Callable[["Tasklet[T_co]"], object]) -> None:
        """Call f(this tasklet) in the hub after its end, or before long when it has ended.

        f must not block. What it raises is printed. Only for the thread that runs the tasklet:
        raises TaskletError in another one.
        """
        if self.is_foreign:
            raise TaskletError(
                f"cannot add a callback to {self!r}, which thread {self.thread_ident} runs, "
                f"from thread {get_ident()}; use call_threadsafe()"
            )
        if self.finished:
            _core.hub().call_soon(f, self)
        elif self._callbacks is None:
            self._callbacks = [f]
        else:
            self._callbacks.append(f)


class _Spawn(Protocol):
    def __call__(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Tasklet[T]: ...


# These are the core's, which makes tasklets of the type above.
spawn: _Spawn = _core.spawn
current: Callable[[], Tasklet[Any]] = _core.current
main: Callable[[], Tasklet[Any]] = _core.main


def excepthook(tasklet: _core.Tasklet[Any], error: BaseException) -> None:
    """Print what ended `tasklet` to stderr. Assign to ringlet.excepthook to have it otherwise."""
    lines = traceback.format_exception(error)
    sys.stderr.write("".join([f"Exception in {tasklet!r}:\n", *lines]))


def failed(tasklet: _core.Tasklet[Any], error: BaseException) -> None:
    """For the core: a tasklet is about to end by an exception."""
    try:
        _tell(tasklet, error)
    except _SILENT:
        pass  # It was to end anyway.
    except (KeyboardInterrupt, SystemExit) as interrupt:
        _core.throw_main(interrupt)


def _tell(tasklet: _core.Tasklet[Any], error: BaseException) -> None:
    """Say what is to be said about an exception that ends a tasklet, to whom it concerns."""
    if isinstance(error, _SILENT):
        return
    if tasklet._owner is not None:
        return  # It is told, and sees to it.
    if isinstance(error, KeyboardInterrupt | SystemExit):
        # Meant for the program, not for the tasklet that happened to run.
        _core.throw_main(error)
    elif not tasklet._watched and tasklet is not _core.main():
        # Looked up at each use, as sys.excepthook is, so that a program may assign its own.
        getattr(sys.modules["ringlet"], "excepthook", excepthook)(tasklet, error)


def spawn_later(
    seconds: float, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> Tasklet[T]:
    """Make a tasklet that calls f(*args, **kwargs) in `seconds` from now. Returns it at once.

    kill() or cancel() before that keeps it from starting. Raises ValueError for a negative time
    or NaN.
    """
    if not seconds >= 0:
        raise ValueError(f"cannot start a tasklet {seconds!r} seconds from now: give 0 or more")
    tasklet = Tasklet(f, args, kwargs)
    timer = _core.hub().timers.after(seconds, _start_if_new, tasklet)
    tasklet._await_start(timer, timer.cancel)
    return tasklet


def _start_if_new(tasklet: Tasklet[Any]) -> None:
    if tasklet.state == "new":
        tasklet.start()


def forget_later_starts(hub: Any) -> None:
    """In a forked child: what spawn_later() was to start is the parent's, too."""
    for timer in hub.timers.pending():
        if timer.callback is _start_if_new:
            timer.cancel()


def tasklets() -> list[_core.Tasklet[Any]]:
    """All tasklets of this thread that have started and not ended, the main one first."""
    first = _core.main()
    # In a forked child the main tasklet is one that was spawned.
    return [first, *(tasklet for tasklet in _core.living() if tasklet is not first)]


def run(f: Callable[..., Any] | None = None, /, *args: Any, **kwargs: Any) -> Any:
    """Call f(*args, **kwargs), then wait until no other tasklet is left. Returns what f did.

    One that spawn_later() has made and that has not started by then does not count.
    """
    value = f(*args, **kwargs) if f is not None else None
    wait_until_gone(_core.living)
    return value


def wait_until_gone(living: Callable[[], Iterable[_core.Tasklet[Any]]]) -> None:
    """Join what living() lists, again and again until it lists only the caller."""
    me = _core.current()
    while others := [tasklet for tasklet in living() if tasklet is not me]:
        for tasklet in others:
            tasklet._await_end()

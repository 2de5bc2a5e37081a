"""Signals that tasklets wait for, and handlers that may block.

A handler of the standard library's runs in between two instructions of whichever tasklet of the
main thread happens to run, and must not block. Here a signal is something to wait for.

Every public name of the standard library's `signal` module is here, too. pause() lets other
tasklets run; sigwait() and its kin block the thread.
"""

import os
import signal as stdlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType, TracebackType
from typing import Any, Self

from ringlet import _core
from ringlet.channels import Channel
from ringlet.io import native
from ringlet.sched import Future, Tasklet, threads

__all__ = ["Subscription", "catching", "on", "pause", "set_wakeup_fd", "signal", "wait_for"]
__all__ += [name for name in dir(stdlib) if not name.startswith("_") and name not in __all__]

#: Who wants to know of which signal, oldest first.
_subscriptions: dict[int, list["Subscription"]] = {}
#: What handled a signal before anybody here wanted it.
_handlers_before: dict[int, Any] = {}


def __getattr__(name: str) -> Any:
    """What is the same there and here, such as numbers."""
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class Subscription:
    """f(number) is to be called, in the hub, for each of some signals. Ends with close()."""

    def __init__(self, f: Callable[[int], object], signums: tuple[int, ...]) -> None:
        self._f = f
        self._signums = tuple(dict.fromkeys(map(stdlib.Signals, signums)))

    def __repr__(self) -> str:
        names = ", ".join(signum.name for signum in self._signums)
        return f"<subscription to {names}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Self:
        _check_thread(f"{self!r} cannot begin")
        if not self._signums:
            raise ValueError("name the signals to be told of")
        _watch_wakeups()
        try:
            for signum in self._signums:
                _add(signum, self)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Be told no more. What handled a signal before does so again. Harmless when repeated.

        Only in the main thread: raises ValueError elsewhere.
        """
        _check_thread(f"{self!r} cannot end")
        for signum in self._signums:
            _remove(signum, self)


def _add(signum: int, subscription: Subscription) -> None:
    if signum not in _subscriptions:
        # First, since this is what may fail: nobody can handle SIGKILL.
        _handlers_before[signum] = native.set_signal(signum, _receive)
    _subscriptions.setdefault(signum, []).append(subscription)


def _remove(signum: int, subscription: Subscription) -> None:
    subscribers = _subscriptions.get(signum, [])
    if subscription not in subscribers:
        return
    subscribers.remove(subscription)
    if not subscribers:
        del _subscriptions[signum]
        before = _handlers_before.pop(signum)
        # None: it was not Python that set it, and Python cannot set it again.
        if stdlib.getsignal(signum) is _receive:
            native.set_signal(signum, stdlib.SIG_DFL if before is None else before)


def _receive(signum: int, frame: FrameType | None) -> None:
    """The handler. It runs in the middle of anything, so all it does is to tell the hub."""
    _core.hub().call_threadsafe(_deliver, signum)


def _deliver(signum: int) -> None:
    for subscription in list(_subscriptions.get(signum, ())):
        subscription._f(stdlib.Signals(signum))


def _is_main_thread() -> bool:
    return threads.get_ident() == threads.main_thread().ident


def _check_thread(what: str) -> None:
    if not _is_main_thread():
        here = threads.get_ident()
        raise ValueError(f"{what} in thread {here}: signals belong to the main thread")


# --- waiting for signals ------------------------------------------------------------------------


def on(signum: int, f: Callable[[int], object]) -> Subscription:
    """Have f(signum) called in a tasklet of its own whenever the signal comes.

    f may block; when the signal comes again meanwhile there are two such tasklets. They run in a
    copy of the context of on(). Several functions may be called for one signal, and what it did
    before is not done. close() of what is returned, or the end of `with on(...)`, ends it.

    Only in the main thread. Raises ValueError elsewhere, and OSError for a signal that cannot be
    handled.
    """
    context = copy_context()

    def start(number: int) -> None:
        Tasklet(f, (number,), context=context.copy()).start()

    return Subscription(start, (signum,))._open()


@contextmanager
def catching(*signums: int) -> Iterator[Channel[int]]:
    """`with catching(SIGTERM, SIGHUP) as channel:` gives a channel that receives their numbers.

    From the beginning of the block to its end, when it is closed; nothing is lost in between,
    but the kernel counts a signal that comes again before it was handled once. Only in the main
    thread; raises as on() does.
    """
    channel: Channel[int] = Channel(None)
    with Subscription(channel.send_nowait, signums)._open():
        try:
            yield channel
        finally:
            channel.close()


def wait_for(*signums: int, timeout: float | None = None) -> int:
    """Park until one of the signals comes, and return its number.

    One that has come before does not count: for those, use catching(). Raises Timeout after
    `timeout` seconds. Only in the main thread; raises as on() does.
    """
    with catching(*signums) as channel:
        return channel.receive(timeout)


def pause() -> None:
    """Park until a signal has come that a Python function handles, and that has been called.

    As in the standard library, but others run meanwhile. Only in the main thread.
    """
    _check_thread("pause() cannot wait")
    arrived: Future[None] = Future()
    handlers: dict[int, Any] = {}

    def note(signum: int, frame: FrameType | None) -> Any:
        arrived._finish(None, None)
        return handlers[signum](signum, frame)

    _watch_wakeups()
    try:
        for number in map(int, stdlib.valid_signals()):
            handler = stdlib.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                native.set_signal(number, note)
        arrived.join()
    finally:
        for number, handler in handlers.items():
            if stdlib.getsignal(number) is note:
                native.set_signal(number, handler)


def signal(signalnum: int, handler: Any, /) -> Any:
    """signal.signal(), after which a hub that waits notices each signal at once.

    By itself it does when the signal interrupts it. One that comes in the instant before it waits,
    or to another thread, it would notice with the next event.
    """
    before = native.set_signal(signalnum, handler)
    if callable(handler):
        _watch_wakeups()
    return before


# --- waking the hub -----------------------------------------------------------------------------

#: The pipe that signals write to and the hub of the main thread looks at: reader and writer.
_pipe: tuple[int, int] | None = None


def _watch_wakeups() -> None:
    """See to it that a signal ends the hub's wait, whichever thread it comes to, and whenever."""
    global _pipe
    if _pipe is not None or not _is_main_thread():
        return
    reader, writer = os.pipe()
    for fd in (reader, writer):
        os.set_blocking(fd, False)  # nobody else has it
    _core.hub().poller.watch_signals(reader)
    _pipe = (reader, writer)
    theirs = native.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if theirs != -1:
        native.set_wakeup_fd(theirs)


def set_wakeup_fd(fd: int, *, warn_on_full_buffer: bool = True) -> int:
    """signal.set_wakeup_fd(), which does not show the descriptor that we have set ourselves.

    While another one is set, the hub relies on being woken by it: somebody waits for it. With -1
    ours is set again.
    """
    ours = -1 if _pipe is None else _pipe[1]
    if fd == -1 and ours != -1:
        before = native.set_wakeup_fd(ours, warn_on_full_buffer=False)
    else:
        before = native.set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    return -1 if before == ours else before


def _renew_pipe() -> None:
    """In a forked child: the pipe is the parent's, whose hub a signal of ours shall not wake."""
    global _pipe
    if _pipe is None:
        return
    reader, ours = _pipe
    theirs = native.set_wakeup_fd(-1)
    os.close(reader)
    os.close(ours)
    _pipe = None
    _watch_wakeups()
    if theirs not in (-1, ours):
        native.set_wakeup_fd(theirs)


os.register_at_fork(after_in_child=_renew_pipe)

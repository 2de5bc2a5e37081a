"""A thread's hub: what runs when the ring has come round, or is empty.

Only policy is here. The ring itself, who is next and how one tasklet goes over to another, is in C
(corelib/ring.c). The hub has a greenlet of its own and runs no user code but done callbacks and
functions given to call_threadsafe().
"""

import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.errors import Deadlock
from ringlet.sched.clock import Clock, SystemClock
from ringlet.sched.report import deadlock_report
from ringlet.sched.timers import Timer, Timers

__all__ = ("Hub", "call_threadsafe")


class Hub:
    """The timers, the poller and the clock of one thread."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.timers = Timers()
        self.poller = _core.Descriptors()
        self.thread = threading.current_thread()
        # Jobs under way elsewhere whose end will wake somebody here; see expect().
        self.expected = 0
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def __repr__(self) -> str:
        return f"<hub of {self.thread.name}: {len(self.timers)} timers>"

    def run(self) -> None:
        """What the hub's greenlet does for ever: one turn after the other."""
        _core.set_wakeup_fd(self.poller.wakeup_fd)
        # An exception, as a signal handler may raise at any point, goes to the main program, and
        # then this begins anew: see pass_to_main in ring.c. So nothing here may be half done
        # when one comes: what is taken from a queue is done first and taken out after.
        while True:
            self._poll()
            self._do_calls()
            self._fire_timers()
            _core.schedule()

    def call_soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call f(*args) in the hub before long; f must not block. This thread only."""
        self._calls.append((f, args))

    def call_at(self, when: float, f: Callable[..., object], *args: Any) -> Timer:
        """Call f(*args) in the hub once its clock shows `when` seconds; f must not block."""
        return self.timers.add(when, f, *args)

    def call_threadsafe(self, f: Callable[..., object], *args: Any) -> None:
        """Call f(*args) in the hub of this thread before long; f must not block.

        From any thread, and from signal handlers. What f raises is printed.
        """
        self._calls.append((f, args))
        self.poller.wakeup()

    def expect(self, count: int) -> None:
        """Count jobs begun (or, negative, ended) elsewhere that will wake a tasklet here.

        While there are any, waiting tasklets are no deadlock.
        """
        self.expected += count

    def close(self) -> None:
        """Free the descriptors; the thread ends, or this is a forked child."""
        self.poller.close()

    def _poll(self) -> None:
        """Learn what has become ready; wait for it when there is nothing else to do."""
        if self._calls or not _core.begin_poll():
            self.poller.poll(0)
            return
        try:
            when = self.timers.next_time()
            if when is None and not self.poller.waits and not self._may_be_woken():
                main = _core.main()
                _core.throw(main, Deadlock(deadlock_report(self.thread.name)))
                return
            timeout = None if when is None else max(0.0, when - self.clock.time())
            self.clock.wait(self.poller.poll, timeout)
        finally:
            _core.end_poll()

    def _do_calls(self) -> None:
        # Only those there now: a function may ask to be called again.
        for _ in range(len(self._calls)):
            f, args = self._calls[0]
            try:
                f(*args)
            except Exception as error:
                sys.excepthook(type(error), error, error.__traceback__)
            self._calls.popleft()

    def _fire_timers(self) -> None:
        if not self.timers:
            return
        now = self.clock.time()
        while timer := self.timers.first_due(now):
            assert timer.callback is not None
            timer.callback(*timer.args)
            timer.cancel()

    def _may_be_woken(self) -> bool:
        """Whether something that the hub does not see may still wake a tasklet."""
        if self.expected:
            return True
        others = (t for t in threading.enumerate() if t is not self.thread and not t.daemon)
        if any(not getattr(t, "ringlet_worker", False) for t in others):
            return True
        return self.thread is threading.main_thread() and any(map(_is_handled, _SIGNALS))


_SIGNALS = sorted(signal.valid_signals())


def _is_handled(number: int) -> bool:
    """Whether a Python function of the program's own handles this signal."""
    handler = signal.getsignal(number)
    return callable(handler) and handler is not signal.default_int_handler


_main_hub: Hub | None = None


def make_hub() -> Hub:
    """For the core: the hub of the calling thread, on its first use."""
    global _main_hub
    hub = Hub()
    if hub.thread is threading.main_thread():
        _main_hub = hub
    return hub


def call_threadsafe(f: Callable[..., object], *args: Any) -> None:
    """Call f(*args) in the main thread's hub before long; f must not block.

    From any thread, and from signal handlers. What f raises is printed. Raises RuntimeError when
    the main thread has not used a blocking call of ringlet yet, and so has no hub.
    """
    if _main_hub is None:
        raise RuntimeError(
            "the main thread has no hub yet: let it spawn or sleep once before other threads "
            "hand it functions"
        )
    _main_hub.call_threadsafe(f, *args)

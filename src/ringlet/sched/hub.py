"""A thread's hub: what runs when the ring has come round, or is empty.

Only policy is here. The ring itself, who is next and how one tasklet goes over to another, is in C
(corelib/ring.c). The hub has a greenlet of its own and runs no user code but done callbacks and
functions given to call_soon(), call_at() and call_threadsafe().
"""

import signal
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

from ringlet import _core
from ringlet.errors import Deadlock
from ringlet.sched.clock import Clock, SystemClock
from ringlet.sched.picture import own_ring
from ringlet.sched.report import deadlock_report
from ringlet.sched.threads import current_thread, main_thread, native_threads

__all__ = ("Hub", "busy_elsewhere", "call_threadsafe")

# Seconds after which the hub looks again whether the threads it relies on are still alive.
_LOOK_AGAIN = 1.0
# What programs use as they use what threading and queue have: with workers that are daemons.
_SHARED = (
    _core.Condition,
    _core.Event,
    _core.Lock,
    _core.Queue,
    _core.RLock,
    _core.Semaphore,
)
# How many of the timers that are due are fired before others have their turn, and descriptors are
# looked at: however many are due together, nothing else waits for all of them.
_AT_ONCE = 256


# Whether something elsewhere may yet wake a tasklet, of whom no hub was told to expect it: asked
# before a deadlock is reported.
busy_elsewhere: list[Callable[[], bool]] = []


class Hub:
    """The timers, the poller and the clock of one thread."""

    def __init__(self) -> None:
        self.timers = _core.Timers()
        self.clock = SystemClock()
        self.poller = _core.Descriptors()
        self.thread = current_thread()
        # Jobs under way elsewhere whose end will wake somebody here; see expect().
        self.expected = 0
        # When the main program gets TimeoutError, at the end of the process. That it will come
        # does not keep a deadlock from being seen.
        self.last_moment: float | None = None
        # For schedulers on top: called before signals and other threads are waited for, when
        # nothing else will make a tasklet ready. True says that it has done so itself.
        self.when_idle: Callable[[], bool] = _do_nothing
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        _hubs.add(self)

    def __repr__(self) -> str:
        return f"<hub of {self.thread.name}: {len(self.timers)} timers>"

    @property
    def clock(self) -> Clock:
        """What shows the time here. It is the timers', which ask it whenever one is set."""
        clock: Clock = self.timers.clock
        return clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self.timers.clock = clock

    def run(self) -> None:
        """What the hub's greenlet does for ever: one turn after the other."""
        _core.set_wakeup_fd(self.poller.wakeup_fd)
        # An exception, as a signal handler may raise at any point, goes to the main program, and
        # then this begins anew: see hub_run in life.c. So nothing here may be half done when one
        # comes: what is taken from a queue is done first and taken out after.
        while True:
            self._poll()
            self._do_calls()
            self.call_ended()
            self._fire_timers()
            _core.schedule()

    def call_soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call f(*args) in the hub before long; f must not block. This thread only."""
        self._calls.append((f, args))
        if self.timers.listener is not None:
            self.poller.wakeup()

    def call_at(self, when: float, f: Callable[..., object], *args: Any) -> _core.Timer:
        """Call f(*args) in the hub once its clock shows `when` seconds; f must not block."""
        return self.timers.add(when, f, *args)

    def call_threadsafe(self, f: Callable[..., object], *args: Any) -> None:
        """Call f(*args) in the hub of this thread before long; f must not block.

        From any thread, and from signal handlers. What f raises is printed.
        """
        self._calls.append((f, args))
        self.poller.wakeup()

    @property
    def has_more(self) -> bool:
        """Whether anything is left to call at its next turn."""
        when = self.timers.next_time()
        due = when is not None and when <= self.clock.time()
        return due or bool(self._calls) or _core.first_ended() is not None

    def expect(self, count: int) -> None:
        """Count jobs begun (or, negative, ended) elsewhere that will wake a tasklet here.

        While there are any, waiting tasklets are no deadlock.
        """
        self.expected += count

    def call_ended(self) -> None:
        """Call the done callbacks of tasklets that have ended."""
        while (tasklet := _core.first_ended()) is not None:
            callbacks = tasklet._callbacks
            while callbacks:
                _call(callbacks[0], tasklet)
                del callbacks[0]
            tasklet._callbacks = None
            _core.forget_ended()

    def close(self) -> None:
        """Free the descriptors; the thread ends."""
        self.poller.close()

    def renew(self) -> None:
        """In a forked child: leave the parent's descriptors and calls alone."""
        self.poller.close()
        self.poller = _core.Descriptors()
        self.thread = current_thread()
        self.expected = 0
        self._calls.clear()
        _core.set_wakeup_fd(self.poller.wakeup_fd)

    def _poll(self) -> None:
        """Learn what has become ready; wait for it when there is nothing else to do."""
        if not _core.begin_poll():
            self.poller.poll(0)
            return
        try:
            self.timers.listener = self.poller.wakeup
            when = self.timers.next_time()
            if self._calls:
                self.poller.poll(0)
            elif when is not None or self.poller.waits or self.expected:
                self.clock.wait(self.poller.poll, self._time_until(when))
            elif self.when_idle():
                pass
            elif self._may_be_signalled():
                self.clock.wait(self.poller.poll, self._time_until(None))
            elif any(self.other_threads()) or any(is_busy() for is_busy in busy_elsewhere):
                # One that ends without a wake leaves nobody to tell us so.
                self.poller.poll(_LOOK_AGAIN)
            else:
                self._report_deadlock()
        finally:
            self.timers.listener = None
            _core.end_poll()

    def _time_until(self, when: float | None) -> float | None:
        """The seconds until `when` or the last moment, whichever is sooner; None for neither."""
        if self.last_moment is not None:
            when = self.last_moment if when is None else min(when, self.last_moment)
        return None if when is None else max(0.0, when - self.clock.time())

    def _report_deadlock(self) -> None:
        # What was under way while we looked around has come by now.
        self.poller.poll(0)
        if _core.begin_poll() and not self._calls:
            _core.throw_main(Deadlock(deadlock_report(own_ring())))

    def _do_calls(self) -> None:
        # Only those there now: a function may ask to be called again.
        for _ in range(len(self._calls)):
            f, args = self._calls[0]
            _call(f, *args)
            self._calls.popleft()

    def _fire_timers(self) -> None:
        if self.last_moment is not None and self.clock.time() >= self.last_moment:
            self.last_moment = None
            _core.throw_main(TimeoutError())
        self.timers.fire(_AT_ONCE, _call)

    def other_threads(self) -> Iterator[Thread]:
        """The other threads that might wake a tasklet here.

        Daemons are among them only while somebody waits for what threads are known to share.
        """
        daemons_count = any(
            isinstance(tasklet.waiting_on, _SHARED) for tasklet in (_core.main(), *_core.living())
        )
        for thread in native_threads():
            if not (
                thread is self.thread
                or (thread.daemon and not daemons_count)
                or getattr(thread, "ringlet_worker", False)
            ):
                yield thread

    def _may_be_signalled(self) -> bool:
        """Whether a signal handler may wake a tasklet here."""
        return self.thread is main_thread() and any(map(_is_handled, _SIGNALS))


def _do_nothing() -> bool:
    return False


def _call(f: Callable[..., object], *args: Any) -> None:
    """Call what somebody has left here; what it raises is its own business.

    SystemExit and KeyboardInterrupt are the main program's. Either way f has been called.
    """
    try:
        f(*args)
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as error:
        _core.throw_main(error)


_SIGNALS = sorted(signal.valid_signals())


def _is_handled(number: int) -> bool:
    """Whether a Python function of the program's own handles this signal."""
    handler = signal.getsignal(number)
    return (
        callable(handler)
        and handler is not signal.default_int_handler
        and not getattr(handler, "ringlet_only_looks", False)
    )


# All of the process: a forked child must close the descriptors of those whose threads are gone.
_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()
_main_hub: Hub | None = None


def make_hub() -> Hub:
    """For the core: the hub of the calling thread, on its first use."""
    global _main_hub
    hub = Hub()
    if hub.thread is main_thread():
        _main_hub = hub
    return hub


def keep_hub_only(own: Hub | None) -> None:
    """In a forked child: of all hubs of the parent only `own` goes on, as the main thread's."""
    global _main_hub
    for hub in list(_hubs):
        if hub is not own:
            hub.close()
            _hubs.discard(hub)
    if own is not None:
        own.renew()
    _main_hub = own


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

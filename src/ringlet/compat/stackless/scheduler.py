"""What each thread knows for Stackless's sake: its watchdogs, and what an empty ring means."""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from ringlet import _core

__all__ = (
    "PAUSED",
    "RUNNING",
    "Marker",
    "Scheduler",
    "Watchdog",
    "callbacks",
    "here",
    "scheduler_of",
    "schedulers",
)


class Marker:
    """What a tasklet is shown to wait for that stands in nobody's queue."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


#: Out of the ring until somebody inserts it.
PAUSED = Marker("insert()")
#: In run(), which ends when nothing is left to run.
RUNNING = Marker("the others, in run()")


class Watchdog:
    """A call of run() under way: `native` is the tasklet that waits in it."""

    __slots__ = ("native", "threadblock", "victim")

    def __init__(self, native: _core.Tasklet[Any], threadblock: bool) -> None:
        self.native = native
        self.threadblock = threadblock
        # The tasklet that was interrupted because its time was over.
        self.victim: Any = None


class Callbacks:
    """What the program wants to be told of; of the whole process, as in Stackless."""

    __slots__ = ("_reasons", "channel", "error_handler", "schedule", "unusual", "watcher")

    def __init__(self) -> None:
        self.schedule: Callable[[Any, Any], object] | None = None
        # What the core is to call for it.
        self.watcher: Callable[[Any, Any], object] | None = None
        self.channel: Callable[[Any, Any, int, int], object] | None = None
        self.error_handler: Callable[[Any, Any, Any], object] | None = None
        # Whether exchanges need a closer look, and why.
        self.unusual = False
        self._reasons: set[object] = set()

    def look_closer(self, reason: object, flag: Any) -> None:
        """Let exchanges have a closer look while `reason` holds."""
        if flag:
            self._reasons.add(reason)
        else:
            self._reasons.discard(reason)
        self.unusual = bool(self._reasons)


callbacks = Callbacks()


class Scheduler:
    """One thread's. It decides what happens when its ring is empty."""

    def __init__(self) -> None:
        # The greenlet that main runs in.
        self.root: Any = _core.getcurrent()
        while self.root.parent is not None:
            self.root = self.root.parent
        self.renew()

    def renew(self) -> None:
        """Begin, with nobody in run(). After a fork the thread has another main tasklet."""
        self.hub = _core.hub()
        self.ident = threading.get_ident()
        self.native_main: _core.Tasklet[Any] = _core.main()
        # The stand-in for it that programs get to see: a compat.stackless.tasklet.
        self.main: Any = None
        # Innermost last.
        self.watchdogs: list[Watchdog] = []
        self.in_channel_callback = False
        # The time limit that counts, of an outer run(): a limits.Limit.
        self.limit: Any = None
        self.hub.when_idle = self._when_idle
        if callbacks.watcher is not None:
            _core.watch(callbacks.watcher)

    @classmethod
    def abroad(cls, ident: int | None) -> "Scheduler":
        """One for a thread that has none itself, because it does not use Stackless."""
        for ring_ident, hub, _, native_main, *_ in _core.rings():
            if ring_ident == ident:
                self = cls.__new__(cls)
                self.hub, self.ident, self.native_main = hub, ring_ident, native_main
                self.root = self.main = self.limit = None
                self.watchdogs = []
                self.in_channel_callback = False
                return self
        raise ValueError("bad thread")

    @property
    def gone(self) -> bool:
        """Whether the thread has ended."""
        return self.native_main.finished

    def guardian(self) -> _core.Tasklet[Any]:
        """Who gets what other tasklets do not catch: the innermost run(), or main."""
        return self.watchdogs[-1].native if self.watchdogs else self.native_main

    def _when_idle(self) -> bool:
        """Nothing is ready, and nothing that this thread waits for will change that."""
        if self._end_run():
            return True
        if any(self.hub.other_threads()):
            return False
        # Somebody may have woken a tasklet while we looked around.
        return not _core.begin_poll() or self._blame()

    def _end_run(self) -> bool:
        """Let the innermost run() return, if there is one."""
        if not self.watchdogs:
            return False
        innermost = self.watchdogs[-1]
        if innermost.threadblock and any(self.hub.other_threads()):
            return False
        return innermost.native.waiting_on is RUNNING and _core.resume(innermost.native)

    def _blame(self) -> bool:
        """Nothing will ever be ready: raise what Stackless raises, where it does so.

        Waits for what is ringlet's are its own to report.
        """
        last = _core.last_parked()
        if last is not None and _is_ours(last.waiting_on):
            text = "Deadlock: the last runnable tasklet cannot be blocked."
            return _core.throw(last, RuntimeError(text))
        waiting_on = self.native_main.waiting_on
        if not isinstance(waiting_on, _core.Channel) or not _is_ours(waiting_on):
            return False
        text = (
            "the main tasklet is sending without a receiver available."
            if waiting_on.balance > 0
            else "the main tasklet is receiving without a sender available."
        )
        return _core.throw(self.native_main, RuntimeError(text))


def _is_ours(waiting_on: object) -> bool:
    """Whether a tasklet waits for something of Stackless, and not of ringlet."""
    return isinstance(waiting_on, Marker) or getattr(waiting_on, "is_stackless", False)


class _Here(threading.local):
    scheduler: Scheduler | None = None


_here = _Here()
_all: weakref.WeakSet[Scheduler] = weakref.WeakSet()


def here() -> Scheduler:
    """The calling thread's, made on first use."""
    scheduler = _here.scheduler
    if scheduler is None:
        scheduler = _here.scheduler = Scheduler()
        _all.add(scheduler)
    return scheduler


def scheduler_of(ident: int | None) -> Scheduler:
    """That of a thread, None being the calling one. Raises ValueError if there is none."""
    if ident is None or ident == threading.get_ident():
        return here()
    for scheduler in schedulers():
        if scheduler.ident == ident:
            return scheduler
    raise ValueError("bad thread")


def schedulers() -> list[Scheduler]:
    """Those of all threads that have one and go on."""
    return [scheduler for scheduler in list(_all) if not scheduler.gone]


def _begin_anew() -> None:
    """In a forked child: the tasklet that forked is the main one, and alone."""
    _all.clear()
    own = _here.scheduler
    if own is not None:
        own.renew()
        _all.add(own)


os.register_at_fork(after_in_child=_begin_anew)

"""A thread that tells who has run for too long without letting others run."""

import faulthandler
import os
import sys
import time
from _thread import TIMEOUT_MAX, allocate_lock
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

from ringlet import _core
from ringlet.sched.picture import Picture, Ring, rings
from ringlet.sched.threads import current_thread, forget_current_thread, start_new_thread
from ringlet.sched.words import label, seconds_in_words

__all__ = ("Watchdog", "watchdog")

# How often it looks in the time that is too long.
_LOOKS = 4
# Times between reports of one overrun grow by this.
_GROWTH = 2


class Watchdog:
    """Reports tasklets that hold up the others of their thread. watchdog() makes and starts it."""

    def __init__(self, seconds: float, file: TextIO | None, native: bool) -> None:
        self._seconds = seconds
        self._file = file
        self._native = native
        self._stopped = _Flag()
        self._arming = allocate_lock()
        # For each thread the number of its last switch as it was seen, when it was seen first, and
        # after how many seconds from then on to report.
        self._seen: dict[int, tuple[int, float, float]] = {}

    def __repr__(self) -> str:
        state = "stopped" if self._stopped.is_set() else "watching"
        return f"<watchdog, {self._seconds:g} s, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Report nothing more. Twice is harmless; from any thread."""
        global _running
        if _running is self:
            _running = None
        with self._arming:
            self._stopped.set()
            if self._native:
                faulthandler.cancel_dump_traceback_later()

    def begin(self) -> None:
        """Start its thread, after a fork anew."""
        # Another thread may have been in the old ones when the process was forked.
        self._arming = allocate_lock()
        self._stopped = _Flag()
        self._arm()
        begun = _Flag()
        start_new_thread(self._run, (begun,))
        begun.wait(TIMEOUT_MAX)

    def _run(self, begun: "_Flag") -> None:
        thread = current_thread()
        thread.name = "ringlet watchdog"
        thread.ringlet_worker = True  # type: ignore[attr-defined]
        begun.set()
        try:
            self._watch()
        finally:
            forget_current_thread()

    def _watch(self) -> None:
        interval = self._seconds / _LOOKS
        while not self._stopped.wait(interval):
            self._arm()
            late = self._overruns(time.monotonic())
            if late:
                self._report(late)

    def _arm(self) -> None:
        """Let faulthandler go off, in a thread without Python, unless this is called again."""
        with self._arming:
            if self._native and not self._stopped.is_set():
                file = sys.stderr if self._file is None else self._file
                faulthandler.dump_traceback_later(self._seconds, file=file)

    def _overruns(self, now: float) -> dict[int, float]:
        """The threads to report, by ident, with the seconds since their last switch."""
        late = {}
        seen = {}
        for ident, switches, rests in _core.turns():
            if rests:
                continue
            before, since, limit = self._seen.get(ident, (-1, now, self._seconds))
            if before != switches:
                since, limit = now, self._seconds
            elif now - since >= limit:
                late[ident] = now - since
                limit = (now - since) * _GROWTH
            seen[ident] = switches, since, limit
        self._seen = seen
        return late

    def _report(self, late: dict[int, float]) -> None:
        for ring in rings():
            # Unless it has gone on meanwhile.
            if ring.ident in late and ring.switches == self._seen[ring.ident][0]:
                file = sys.stderr if self._file is None else self._file
                with suppress(OSError, ValueError):  # a file that is full or closed
                    file.write(_in_words(ring, late[ring.ident]))
                    file.flush()


class _Flag:
    """An event among native threads, whatever is patched."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def is_set(self) -> bool:
        return not self._lock.locked()

    def set(self) -> None:
        with suppress(RuntimeError):  # it is set
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        if not self._lock.acquire(timeout=seconds):
            return False
        self._lock.release()
        return True


def _in_words(ring: Ring, seconds: float) -> str:
    ready = sum(tasklet.state == "ready" for tasklet in ring.tasklets)
    _, *stack = Picture([ring], limit=20).describe(ring.current)
    head = (
        f"ringlet: {label(ring.current)} has run for {seconds_in_words(seconds)} without letting "
        f"others of {ring.name} run; {ready} of {len(ring.tasklets) - 1} are ready:"
    )
    return "\n".join([head, *stack, ""])


_running: Watchdog | None = None


def watchdog(seconds: float = 0.5, *, file: TextIO | None = None, native: bool = False) -> Watchdog:
    """From now on tell who runs for more than `seconds` without letting others run, and where.

    A thread looks on and writes to `file`, by default stderr: once `seconds` have passed since the
    last switch of a thread that has other tasklets, and, if it goes on, after twice that time, and
    so on. Switches cost nothing more for it. Up to a quarter of `seconds` is seen too late.

    A C function that keeps the GIL keeps the watchdog out too. With `native` faulthandler then
    writes the stacks of all threads, so `file` must have a descriptor; nothing else may use
    faulthandler.dump_traceback_later() meanwhile.

    Returns what stop() ends again, also a context manager that does so. There is one at a time:
    it takes the place of the one before. It goes on in a forked child. The environment variable
    RINGLET_WATCHDOG=0.5 starts one on import. Raises ValueError for a time that is not positive.
    """
    global _running
    if not 0 < seconds < TIMEOUT_MAX:
        raise ValueError(f"a watchdog needs a number of seconds greater than 0, not {seconds!r}")
    if _running is not None:
        _running.stop()
    _running = Watchdog(seconds, file, native)
    _running.begin()
    return _running


def _begin_again() -> None:
    """In a forked child, where its thread is gone."""
    if _running is not None:
        _running.begin()


os.register_at_fork(after_in_child=_begin_again)

"""What a piece of program leaves behind in the scheduler."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any, NamedTuple

from ringlet import _core
from ringlet.errors import TaskletExit
from ringlet.sched.picture import describe
from ringlet.sched.words import in_words
from ringlet.testing.progress import run_until_blocked

__all__ = ("LeakError", "Remains", "no_leaks")


class LeakError(AssertionError):
    """Something outlived the block or test that made it; the text names it."""


class Remains(NamedTuple):
    """What there is in the calling thread's scheduler at one moment."""

    tasklets: list[_core.Tasklet[Any]]
    greenlets: list[_core.greenlet]
    timers: list[_core.Timer]
    descriptors: int

    @classmethod
    def now(cls) -> "Remains":
        """What there is now. The running tasklet and the main one do not count."""
        hub = _core.hub()
        apart = (_core.current(), _core.main())
        return cls(
            [tasklet for tasklet in _core.living() if tasklet not in apart],
            _core.suspended_greenlets(),
            hub.timers.pending(),
            hub.poller.waiting,
        )

    def since(self, before: "Remains") -> "Remains":
        """What has come since `before` and is still there."""
        return Remains(
            _new(self.tasklets, before.tasklets),
            _new(self.greenlets, before.greenlets),
            _new(self.timers, before.timers),
            max(0, self.descriptors - before.descriptors),
        )

    def __bool__(self) -> bool:
        return any(self)

    def in_words(self) -> str:
        """Each of them, with where it stands."""
        parts = [describe(tasklet) for tasklet in self.tasklets]
        parts += [_greenlet_in_words(greenlet) for greenlet in self.greenlets]
        parts += [f"{timer!r} that calls {in_words(timer.callback)}" for timer in self.timers]
        if self.descriptors:
            parts.append(f"{self.descriptors} descriptors that somebody waits for")
        return "\n".join(parts)

    def kill(self) -> None:
        """Tell these tasklets and greenlets to end, and cancel these timers."""
        for tasklet in self.tasklets:
            if not tasklet.finished:
                _core.throw(tasklet, TaskletExit())
        for greenlet in self.greenlets:
            # Parked ones belong to a tasklet, and have got its exception.
            if greenlet and not greenlet.dead:
                with contextlib.suppress(Exception):
                    greenlet.throw()
        for timer in self.timers:
            timer.cancel()


@contextlib.contextmanager
def no_leaks() -> Iterator[None]:
    """Raise LeakError if what the block has begun in this thread is still there at its end.

    Looked for are tasklets that have not ended, raw greenlets that have been started and have not
    ended, timers that are set, and descriptors that somebody waits for. First the others run until
    all are blocked, so that who has been told to end can do so. A block that raises is not
    checked.
    """
    before = Remains.now()
    with noted_origins():
        yield
        check(before)


@contextlib.contextmanager
def noted_origins() -> Iterator[None]:
    """Have it noted where tasklets are started."""
    _core.note_origins(True)
    try:
        yield
    finally:
        _core.note_origins(False)


def check(before: Remains) -> None:
    """Raise LeakError if there is more than `before`, once everything has happened that can."""
    __tracebackhide__ = True
    run_until_blocked()
    left = Remains.now().since(before)
    if left.greenlets:
        del left
        # Some may be garbage that waits for the collector.
        gc.collect()
        run_until_blocked()
        left = Remains.now().since(before)
    if left:
        raise LeakError(f"still there at the end:\n{left.in_words()}")


def _new(now: list[Any], before: list[Any]) -> list[Any]:
    known = set(map(id, before))
    return [thing for thing in now if id(thing) not in known]


def _greenlet_in_words(greenlet: _core.greenlet) -> str:
    frame = greenlet.gr_frame
    if frame is None:
        return repr(greenlet)
    code = frame.f_code
    return f"{greenlet!r} in {code.co_qualname} ({code.co_filename}, line {frame.f_lineno})"

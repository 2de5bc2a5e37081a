"""Waiting until some of several tasklets and futures have ended."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from ringlet import _core
from ringlet.errors import TaskletError
from ringlet.sched.wait import attempt, check_timeout

__all__ = ("wait",)


class _Ending(Protocol):
    """A tasklet or a future."""

    @property
    def finished(self) -> bool: ...
    def _add_joiner(self, countdown: _core.Countdown, /) -> bool: ...
    def _remove_joiner(self, countdown: _core.Countdown, /) -> None: ...


E = TypeVar("E", bound=_Ending)


class _Ends(_core.Countdown):
    def __repr__(self) -> str:
        return f"the end of {self.left} more of {self.of} tasklets"

    of = 0


def wait(
    tasklets: Iterable[E], timeout: float | None = None, count: int | None = None
) -> tuple[list[E], list[E]]:
    """Wait until `count` of `tasklets`, by default all, have ended, at most `timeout` seconds.

    Tasklets and futures of any threads. Returns two lists, those that have ended and those that
    have not, each in the order given and without repetitions; which they are is the state when it
    returns, so more than `count` may have ended. It raises nothing that they do, and no Timeout. A
    count beyond their number means all. Raises ValueError for a negative count, TypeError for what
    is neither a tasklet nor a future, and TaskletError when it would wait for the end of the
    tasklet that calls it.
    """
    limit = check_timeout(timeout)
    each: list[E] = list(dict.fromkeys(tasklets))
    for one in each:
        if not hasattr(one, "_add_joiner"):
            raise TypeError(f"wait() waits for tasklets and futures, not {one!r}")
    if count is not None and count < 0:
        raise ValueError(f"cannot wait for {count} ends")
    ends = _Ends()
    ends.of = len(each)
    ends.left = ends.of if count is None else min(count, ends.of)
    me = _core.current()
    if ends.left == ends.of and any(one is me for one in each):
        raise TaskletError(f"{me!r} cannot wait for its own end")
    if ends.left > sum(one.finished for one in each):
        _wait_for(ends, each, limit)
    done: list[E] = []
    pending: list[E] = []
    for one in each:
        (done if one.finished else pending).append(one)
    return done, pending


def _wait_for(ends: _Ends, each: list[Any], limit: float | None) -> None:
    try:
        for one in each:
            if not one._add_joiner(ends):
                ends.left -= 1
        attempt(ends.wait, limit, ends)
    finally:
        for one in each:
            one._remove_joiner(ends)

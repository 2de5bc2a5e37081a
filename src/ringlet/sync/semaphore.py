"""Semaphores. Their permits are counted in C (corelib/semaphore.c)."""

from typing import SupportsIndex

from ringlet import _core
from ringlet.sched import wait
from ringlet.sync.waiting import Statistics, acquire_in_time, name_of, words_on_waiting

__all__ = ("BoundedSemaphore", "Semaphore")


class Semaphore(_core.Semaphore):
    """Semaphore(value=1): so many permits, as threading.Semaphore.

    Permits that are released go to those who have waited longest, of whatever thread, in that
    order. Nobody owns a permit, so `holder` is always None.
    """

    __slots__ = ()

    def __init__(self, value: SupportsIndex = 1) -> None:
        if value.__index__() < 0:
            raise ValueError(f"semaphore initial value must be >= 0, not {value!r}")
        self._reset(value)

    def __repr__(self) -> str:
        permits = str(self.value) if self._bound < 0 else f"{self.value}/{self._bound}"
        return (
            f"<{name_of(self)} at {id(self):#x}: value={permits}{words_on_waiting(self.waiting)}>"
        )

    @property
    def holder(self) -> None:
        """None: a permit taken by one tasklet may be given back by another."""
        return

    @property
    def statistics(self) -> Statistics:
        """What has happened to it since it was made."""
        return Statistics(*self._counts())

    def _acquire_in_time(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """acquire() with arguments."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        return acquire_in_time(self, super().acquire, blocking, wait.check_timeout(timeout))


class BoundedSemaphore(Semaphore):
    """BoundedSemaphore(value=1): a Semaphore that refuses to get more permits than it began with.

    Then release() raises ValueError, and nothing was released.
    """

    __slots__ = ()

    def __init__(self, value: SupportsIndex = 1) -> None:
        super().__init__(value)
        self._bound = self.value

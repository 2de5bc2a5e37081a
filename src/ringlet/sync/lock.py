"""Locks. Taking and releasing them is in C (corelib/lock.c); time limits and words are here."""

from collections.abc import Callable

from ringlet import _core
from ringlet.sync.waiting import (
    Statistics,
    acquire_in_time,
    check_time,
    name_of,
    words_on_holder,
    words_on_waiting,
)

__all__ = ("Lock", "RLock")


class Lock(_core.Lock):
    """Lock(): what one tasklet at a time can hold, as threading.Lock. Any tasklet may release it.

    Who releases it while others wait hands it to the one that has waited longest, of whatever
    thread. So nobody starves: under a tasklet that takes and releases it in a loop, each of those
    that wait has its turn. After a fork a lock that somebody else held stays held in the child.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return _words(self)

    @property
    def statistics(self) -> Statistics:
        """What has happened to it since it was made."""
        return Statistics(*self._counts())

    def _acquire_in_time(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """acquire() with arguments."""
        return _acquire_in_time(self, super().acquire, blocking, timeout)


class RLock(_core.RLock):
    """RLock(): a lock that its holder may take again, as threading.RLock.

    Its holder alone may release it, as often as it has taken it; the last release hands it on as
    that of a Lock does. A tasklet is the holder, not its thread.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return _words(self)

    @property
    def statistics(self) -> Statistics:
        """What has happened to it since it was made; its holder's re-entries do not count."""
        return Statistics(*self._counts())

    def _acquire_in_time(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """acquire() with arguments."""
        return _acquire_in_time(self, super().acquire, blocking, timeout)


def _words(lock: Lock | RLock) -> str:
    """Whether it is held, by whom, and how many wait, beginning as threading's locks do."""
    state = "locked" if lock.locked() else "unlocked"
    details = words_on_holder(lock.holder) + words_on_waiting(lock.waiting)
    return f"<{state} {name_of(lock)} object at {id(lock):#x}{details}>"


def _acquire_in_time(
    lock: Lock | RLock, acquire: Callable[..., bool], blocking: bool, timeout: float | None
) -> bool:
    """Call acquire(), that of the core, with what acquire() of `lock` was called with."""
    seconds = check_time(timeout)
    if not blocking and seconds is not None:
        raise ValueError("can't specify a timeout for a non-blocking call")
    return acquire_in_time(lock, acquire, blocking, seconds)

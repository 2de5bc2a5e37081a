"""Conditions: to wait, holding a lock, until somebody who holds it says that something changed.

Who waits stands in a queue in C (corelib/event.c).
"""

import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from ringlet import _core
from ringlet.errors import Deadlock, TaskletError
from ringlet.sched import shield, wait
from ringlet.sync.lock import RLock
from ringlet.sync.waiting import Statistics, words_on_waiting

__all__ = ("Condition",)

T = TypeVar("T")

# What says that a lock cannot be had: nobody is left to release it, or nobody may wait here.
_FINAL = (Deadlock, RuntimeError, TaskletError)


class Condition(_core.Condition):
    """Condition(lock=None): as threading.Condition; without a lock it gets an RLock of its own.

    wait() ends holding the lock again however it ends, also when it raises what cancel(), kill() or
    a time limit has thrown. A notification for one that is stopped in the same turn goes to the
    next that waits. With a lock that is not of this package, and that threads share, wait() may
    also end for a notification that came when it was about to wait. From any thread.
    """

    def __init__(self, lock: Any = None) -> None:
        self._lock = RLock() if lock is None else lock
        self._is_ours = isinstance(self._lock, _core.Lock | _core.RLock)
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        return self._lock.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}{words_on_waiting(self.waiting)})>"

    @property
    def statistics(self) -> Statistics:
        """What has happened to it since it was made; its lock counts for itself."""
        return Statistics(*self._counts())

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait to be notified, at most `timeout` seconds, and take it again.

        Whether it was notified. An RLock is released wholly, and held as often afterwards. Raises
        RuntimeError when the caller does not hold the lock.
        """
        seconds = wait.check_timeout(timeout)
        self._check_owned("wait")
        saved: list[Any] = []
        notified = False
        put_off = shield()  # Made now: later there may be no memory for it.
        try:
            if self._is_ours and (seconds is None or seconds > 0):
                notified = wait.attempt(partial(self._park, saved), seconds, self)
            else:
                seen = self._notifications
                saved.append(self._release_save())
                notified = wait.attempt(partial(self._park, seen), seconds, self)
        finally:
            # Nothing is saved when the lock is still held, or has been taken again already.
            if saved:
                self._take_again(saved[0], notified, put_off)
        return notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until predicate() is true, at most `timeout` seconds. Returns what it gave last.

        It is called holding the lock, at once and after each notification.
        """
        seconds = wait.check_timeout(timeout)
        clock = _core.hub().clock
        end = None if seconds is None else clock.time() + seconds
        result = predicate()
        while not result:
            left = None if end is None else end - clock.time()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake the n that have waited longest, or all if there are fewer.

        They go on when they get the lock. Raises RuntimeError when the caller does not hold it.
        """
        self._check_owned("notify")
        self._notify(n)

    def notify_all(self) -> None:
        """Wake all who wait. Otherwise as notify()."""
        self._check_owned("notify")
        self._notify(sys.maxsize)

    notifyAll = notify_all  # noqa: N815 (threading's old name for it)

    def _take_again(self, saved: Any, notified: bool, put_off: shield) -> None:
        """Get the lock back, as it was saved.

        Cancelling is put off meanwhile; what else is thrown, by kill() for one, is raised then.
        """
        thrown: BaseException | None = None
        with put_off:
            while True:
                try:
                    self._acquire_restore(saved)
                    break
                except BaseException as error:
                    if type(error) in _FINAL:
                        raise
                    thrown = error
        if thrown is not None:
            if notified:
                self._notify(1)
            raise thrown

    def _check_owned(self, action: str) -> None:
        if not self._is_owned():
            raise RuntimeError(
                f"cannot {action} on un-acquired lock: {_core.current()!r} has to hold "
                f"{self._lock!r}"
            )

    # What a lock may have, or else is made of acquire() and release().

    def _is_owned(self) -> bool:
        is_owned = getattr(self._lock, "_is_owned", None)
        if is_owned is not None:
            return bool(is_owned())
        if self._lock.acquire(False):
            self._lock.release()
            return False
        return True

    def _release_save(self) -> Any:
        release_save = getattr(self._lock, "_release_save", None)
        return release_save() if release_save is not None else self._lock.release()

    def _acquire_restore(self, saved: Any) -> None:
        acquire_restore = getattr(self._lock, "_acquire_restore", None)
        if acquire_restore is not None:
            acquire_restore(saved)
        else:
            self._lock.acquire()

    def _at_fork_reinit(self) -> None:
        """In a forked child: let the lock be free, and nobody wait."""
        self._lock._at_fork_reinit()
        self._forget()

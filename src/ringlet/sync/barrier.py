"""Barriers: where so many wait for each other."""

from collections.abc import Callable
from threading import BrokenBarrierError

from ringlet.sched import wait
from ringlet.sync.condition import Condition
from ringlet.sync.lock import Lock
from ringlet.sync.waiting import name_of

__all__ = ("Barrier", "BrokenBarrierError")

# What a barrier does. It lets go of one round before it takes in the next.
_FILLING, _EMPTYING, _RESETTING, _BROKEN = "filling", "emptying", "resetting", "broken"


class Barrier:
    """Barrier(parties, action=None, timeout=None): where `parties` wait for each other.

    As threading.Barrier. The last to come calls action() before it lets the others go. `timeout` is
    the time in seconds for each wait() that is given none. One that is stopped while it waits, by
    cancel() for one, counts as if it had not come. From any thread.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        if parties < 1:
            raise ValueError(f"parties must be >= 1, not {parties!r}")
        self._parties = parties
        self._action = action
        self._timeout = wait.check_timeout(timeout)
        self._state = _FILLING
        self._count = 0
        self._changed = Condition(Lock())

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{name_of(self)} at {id(self):#x}: {state}>"

    @property
    def parties(self) -> int:
        """How many wait for each other."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have come to a round that is not full yet."""
        return self._count if self._state is _FILLING else 0

    @property
    def broken(self) -> bool:
        """Whether nobody can pass until reset()."""
        return self._state is _BROKEN

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all have come. Returns a number from 0 to parties - 1, another one for each.

        Raises BrokenBarrierError when the barrier is broken or reset meanwhile; it breaks when this
        has lasted for `timeout` seconds, or when action() raises, which is raised here.
        """
        seconds = self._timeout if timeout is None else wait.check_timeout(timeout)
        with self._changed:
            self._changed.wait_for(lambda: self._state in (_FILLING, _BROKEN))
            self._refuse_broken()
            index = self._count
            self._count += 1
            try:
                if self._count == self._parties:
                    self._let_go()
                else:
                    self._wait_for_the_others(seconds)
            finally:
                self._count -= 1
                self._leave()
            return index

    def reset(self) -> None:
        """Begin anew. Those who wait get BrokenBarrierError."""
        with self._changed:
            if self._count == 0:
                self._state = _FILLING
            elif self._state is not _EMPTYING:
                self._state = _RESETTING
            self._changed.notify_all()

    def abort(self) -> None:
        """Break the barrier: those who wait, and those who come, get BrokenBarrierError."""
        with self._changed:
            self._break()

    def _break(self) -> None:
        self._state = _BROKEN
        self._changed.notify_all()

    def _refuse_broken(self) -> None:
        if self._state in (_RESETTING, _BROKEN):
            raise BrokenBarrierError(f"{self!r} is {self._state}")

    def _let_go(self) -> None:
        """The last has come."""
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._break()
            raise
        self._state = _EMPTYING
        self._changed.notify_all()

    def _wait_for_the_others(self, seconds: float | None) -> None:
        if not self._changed.wait_for(lambda: self._state is not _FILLING, seconds):
            self._break()
        self._refuse_broken()

    def _leave(self) -> None:
        """Whoever leaves last lets the next round begin."""
        if self._count == 0 and self._state in (_EMPTYING, _RESETTING):
            self._state = _FILLING
            self._changed.notify_all()

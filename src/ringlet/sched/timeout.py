"""Blocks of code that are cancelled when their time is over, or that hold cancelling off.

What is pending, and where it may be raised, is in C (corelib/scope.c). Here is what becomes of a
block that has been ended.
"""

from ringlet import _core
from ringlet.errors import Timeout
from ringlet.sched.wait import check_timeout

__all__ = ("cancelled_around", "shield", "timeout")


def cancelled_around(scope: _core.Scope, error: BaseException) -> BaseException | None:
    """The Cancelled of a scope around this one that `error` has replaced in a `finally` there."""
    wanted = scope._overtaken_by
    if wanted is None:
        return None
    seen: BaseException | None = error
    while seen is not None and seen is not wanted:
        seen = seen.__context__
    return seen


class timeout(_core.Scope):  # noqa: N801 (it reads as a word: with timeout(5):)
    """`with timeout(seconds) as scope:` gives what is done in the block so much time.

    When that is over, Cancelled is raised in the block, once: in the call that blocks there, or the
    next one that does. Code that never blocks is not stopped. When the Cancelled leaves the block
    it becomes Timeout, whose attribute `scope` is this object, and whose cause tells where the time
    was over; with quiet=True the block is just left. `scope.expired` is True once it has been
    raised, so a block that was done before, be it in the last moment, is not expired.

    None is no limit; with 0 or less the first call that would block is the end. They may be nested:
    each turns only its own Cancelled into Timeout, and when several are over at once the outermost
    one is raised. `finally` blocks may block. What runs in the block is what the tasklet does
    there, in generators and greenlets that it calls, too. Each is entered once, by any tasklet.

    Raises TypeError when `seconds` is no number and ValueError when it is NaN.
    """

    __slots__ = ("_quiet",)

    def __init__(self, seconds: float | None, quiet: bool = False) -> None:
        self._set_limit(check_timeout(seconds))
        self._quiet = quiet

    def __repr__(self) -> str:
        limit = "no limit" if self._limit is None else f"{self._limit:g} s"
        state = "expired" if self.expired else "active" if self.active else "not active"
        return f"<timeout {id(self):#x}, {limit}, {state}>"

    def reschedule(self, seconds: float | None) -> None:
        """Give the block `seconds` from now on, or no limit with None, in place of the old limit.

        Raises TaskletError when it has expired, or belongs to another thread.
        """
        self._set_limit(check_timeout(seconds))

    def _ended_by(self, error: BaseException) -> bool:
        """For the core: our own Cancelled has left the block. Whether to swallow it."""
        if around := cancelled_around(self, error):
            raise around
        if self._quiet:
            return True
        late = Timeout(f"the block was not done in {self._limit or 0:g} s")
        late.scope = self
        raise late from error


class shield(_core.Scope):  # noqa: N801 (as above)
    """`with shield():` lets no cancel() and no time limit around it end what is done in the block.

    It is only put off: they are raised in the first call that blocks after the block. Time limits
    and groups inside the block work as ever. kill() knows no shield.
    """

    __slots__ = ()

    def __init__(self) -> None:
        self._is_shield = True

    def __repr__(self) -> str:
        return f"<shield {id(self):#x}, {'active' if self.active else 'not active'}>"

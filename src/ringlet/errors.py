"""Every exception of ringlet, grouped by whose doing it was.

The program's: GreenletError, TaskletError, ChannelClosed, Deadlock.
Of the moment: WouldBlock, Timeout.
Not errors at all but the way a greenlet or tasklet is told to end: GreenletExit, TaskletExit,
Cancelled. These derive from BaseException, so that `except Exception` does not swallow them.
"""

from ringlet._core import (
    Cancelled,
    ChannelClosed,
    GreenletError,
    GreenletExit,
    TaskletError,
    WouldBlock,
)

__all__ = (
    "Cancelled",
    "ChannelClosed",
    "Deadlock",
    "GreenletError",
    "GreenletExit",
    "TaskletError",
    "TaskletExit",
    "Timeout",
    "WouldBlock",
)


class Deadlock(RuntimeError):
    """Every tasklet of the thread waits, and nothing is left that could wake one.

    Raised in the main tasklet. The text names each tasklet, what it waits for, and where.
    """


class Timeout(TimeoutError):
    """The time given for an operation was over before it could be done; nothing was done.

    When it is the time of a block, `scope` is its timeout(); else None.
    """

    scope: object = None


class TaskletExit(BaseException):
    """Raised in a tasklet by kill(). A tasklet that ends with it ends in silence."""

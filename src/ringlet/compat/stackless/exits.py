"""What ends tasklets, and exceptions that travel as values."""

import sys
from types import TracebackType
from typing import Any

from ringlet import errors

__all__ = ("SILENT", "TaskletExit", "bomb", "explode", "make_exception")


class TaskletExit(errors.TaskletExit, SystemExit):
    """Raised in a tasklet by kill(). Not caught, it ends the tasklet in silence.

    A SystemExit, as in Stackless; and a ringlet.TaskletExit, so that both worlds know it.
    """


#: A tasklet that ends with one of these has just ended.
SILENT = (errors.TaskletExit, errors.GreenletExit, errors.Cancelled)


class bomb:  # noqa: N801 (Stackless's name)
    """bomb(type=None, value=None, traceback=None): an exception kept as a value.

    Sent through a channel, or put into a tasklet's tempval, it is raised on the other side. Without
    arguments it keeps the exception that is being handled.
    """

    __slots__ = ("traceback", "type", "value")

    def __init__(
        self,
        type: Any = None,  # noqa: A002 (Stackless's name)
        value: Any = None,
        traceback: Any = None,
    ) -> None:
        if type is None:
            type, value, traceback = sys.exc_info()  # noqa: A001
        self.type = type
        self.value = value
        self.traceback = traceback

    def __repr__(self) -> str:
        return f"<bomb of {self.type!r}: {self.value!r}>"

    def exception(self) -> BaseException:
        """What it keeps, as an exception instance."""
        return make_exception(self.type, self.value, self.traceback)


def explode(value: Any) -> Any:
    """Return `value`, or raise what it keeps if it is a bomb."""
    if isinstance(value, bomb):
        raise value.exception()
    return value


def make_exception(exc: Any, val: Any = None, tb: TracebackType | None = None, /) -> BaseException:
    """The exception that `raise` would make of these three.

    Raises TypeError for what is no exception, for an instance with a separate value, and for a
    traceback that is none.
    """
    if tb is not None and not isinstance(tb, TracebackType):
        raise TypeError("throw() third argument must be a traceback object")
    if isinstance(exc, type) and issubclass(exc, BaseException):
        error = _instance(exc, val)
    elif not isinstance(exc, BaseException):
        raise TypeError(f"exceptions must be classes, or instances, not {type(exc).__name__}")
    elif val is not None:
        raise TypeError("instance exception may not have a separate value")
    else:
        error = exc
    return error if tb is None else error.with_traceback(tb)


def _instance(cls: type[BaseException], value: Any) -> BaseException:
    if isinstance(value, cls):
        return value
    if value is None:
        return cls()
    return cls(*value) if isinstance(value, tuple) else cls(value)

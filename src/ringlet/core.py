"""Raw greenlets: coroutines with a stack of their own, moved by `switch` and `throw` alone."""

from pathlib import Path

from ringlet._core import (
    GreenletError,
    GreenletExit,
    getcurrent,
    gettrace,
    greenlet,
    settrace,
    stack_statistics,
)

__all__ = (
    "GreenletError",
    "GreenletExit",
    "get_include",
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
    "stack_statistics",
)


def get_include() -> str:
    """The folder of `ringlet.h`, for the compiler's option -I: the C API for extension modules."""
    return str(Path(__file__).parent / "include")

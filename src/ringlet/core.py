"""Raw greenlets: coroutines with a stack of their own, moved by `switch` and `throw` alone."""

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
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
    "stack_statistics",
)

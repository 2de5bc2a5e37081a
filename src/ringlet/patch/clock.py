"""time.sleep() as the standard library has it, except that it parks the tasklet."""

import time
from typing import SupportsIndex

from ringlet import _core
from ringlet.sched.wait import sleep as _sleep

__all__ = ("sleep",)

_native_sleep = time.sleep
#: Beyond so many seconds the standard library refuses, too: its clock counts nanoseconds.
_LONGEST = 2**63 / 1e9


def sleep(seconds: float | SupportsIndex, /) -> None:
    """Wait for `seconds`. Raises as time.sleep() does for what is no time, or a negative one.

    In a thread that runs no tasklets nobody else could run meanwhile: there it is time.sleep().
    """
    if not _core.has_ring():
        _native_sleep(seconds)
        return
    if not isinstance(seconds, int | float):
        seconds = _number(seconds)
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if seconds >= _LONGEST:
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    _sleep(seconds)


def _number(seconds: SupportsIndex) -> int:
    """What is no float but stands for a whole number. Raises TypeError."""
    try:
        return seconds.__index__()
    except AttributeError:
        raise TypeError(
            f"'{type(seconds).__name__}' object cannot be interpreted as an integer"
        ) from None

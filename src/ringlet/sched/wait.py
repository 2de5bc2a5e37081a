"""The one gate to block: everything that lets go of control for a while does it here."""

import sys
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.errors import Timeout

__all__ = ("attempt", "check_timeout", "park", "schedule", "sleep", "throw", "wake")

schedule = _core.schedule
sleep = _core.sleep
throw = _core.throw
wake = _core.wake

_NUMBERS = (int, float)
_LONGEST = sys.float_info.max


def check_timeout(seconds: float | None) -> float | None:
    """Refuse what is not a time limit: TypeError for no number, ValueError for NaN.

    None, infinity and what is beyond any float are no limit, and give None.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, _NUMBERS):
        raise TypeError(f"a time limit is a number of seconds or None, not {seconds!r}")
    if seconds != seconds:
        raise ValueError("a time limit cannot be NaN")
    if abs(seconds) > _LONGEST:
        return None if seconds > 0 else -_LONGEST
    return seconds


def park(
    waiting_on: object,
    unlink: Callable[[], object] | None = None,
    timeout: float | None = None,
) -> Any:
    """Let other tasklets run until somebody wakes the running one.

    `waiting_on` is shown to who asks what it waits for. `unlink()` is called when an exception ends
    the wait, before anybody else runs, to take the tasklet out of the queue it stands in. After
    `timeout` seconds Timeout is raised. Returns what wake() gave, or raises what throw() gave.

    Raises TaskletError in the hub, where nothing may block.
    """
    seconds = check_timeout(timeout)
    if seconds is None:
        return _core.park(waiting_on, unlink)
    if seconds <= 0:
        if unlink is not None:
            unlink()
        raise Timeout(f"{waiting_on!r} was not ready at once, and no time was given")
    return _core.park_for(seconds, Timeout, waiting_on, unlink)


def attempt(block: Callable[[], object], timeout: float | None, waiting_on: object) -> bool:
    """Call block(), which parks, but for no longer than `timeout` seconds. Whether it ended.

    For waits that are C's; block() has to leave its queue when an exception ends the wait. With no
    time at all it is not called.
    """
    seconds = check_timeout(timeout)
    if seconds is None:
        block()
        return True
    return seconds > 0 and _core.attempt(seconds, Timeout, waiting_on, block)

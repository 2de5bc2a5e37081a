"""The one gate to block: everything that lets go of control for a while does it here."""

import math
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.errors import Timeout

__all__ = ("attempt", "check_timeout", "park", "schedule", "sleep", "throw", "wake")

schedule = _core.schedule
sleep = _core.sleep
wake = _core.wake
throw = _core.throw


def check_timeout(seconds: float | None) -> float | None:
    """Refuse what is not a time limit: TypeError for no number, ValueError for NaN.

    None and infinity are no limit, and give None.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, int | float):
        raise TypeError(f"a time limit is a number of seconds or None, not {seconds!r}")
    if math.isnan(seconds):
        raise ValueError("a time limit cannot be NaN")
    return None if seconds == math.inf else seconds


class _Limit:
    """A time limit on what the running tasklet is about to wait for."""

    __slots__ = ("_seconds", "_tasklet", "_timer", "_waiting_on", "error")

    def __init__(self, seconds: float, waiting_on: object) -> None:
        self._seconds = seconds
        self._tasklet = _core.current()
        self._waiting_on = waiting_on
        self.error: Timeout | None = None
        self._timer = _core.hub().timers.after(seconds, self._expire)

    def _expire(self) -> None:
        self.error = Timeout(f"waited {self._seconds:g} s for {self._waiting_on!r}")
        _core.interrupt(self._tasklet, self.error)

    def lift(self) -> None:
        """It is waited for no longer."""
        self._timer.cancel()


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
    limit = _Limit(seconds, waiting_on)
    try:
        return _core.park(waiting_on, unlink)
    finally:
        limit.lift()


def attempt(block: Callable[[], object], timeout: float | None, waiting_on: object) -> bool:
    """Call block(), which parks, but for no longer than `timeout` seconds. Whether it ended.

    For waits that are C's; block() has to leave its queue when an exception ends the wait. With no
    time at all it is not called.
    """
    seconds = check_timeout(timeout)
    if seconds is None:
        block()
        return True
    if seconds <= 0:
        return False
    limit = _Limit(seconds, waiting_on)
    try:
        block()
    except Timeout as error:
        if error is not limit.error:
            raise
        return False
    finally:
        limit.lift()
    return True

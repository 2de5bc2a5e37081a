"""The one gate to block: everything that lets go of control for a while does it here."""

import math
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.errors import Timeout

__all__ = ("attempt", "check_timeout", "park", "schedule", "sleep", "throw", "wake")

schedule = _core.schedule
wake = _core.wake
throw = _core.throw


def check_timeout(seconds: float | None) -> float | None:
    """Refuse what is not a time limit: TypeError for no number, ValueError for NaN."""
    if seconds is None:
        return None
    if not isinstance(seconds, int | float):
        raise TypeError(f"a time limit is a number of seconds or None, not {seconds!r}")
    if math.isnan(seconds):
        raise ValueError("a time limit cannot be NaN")
    return None if seconds == math.inf else seconds


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
    limit = check_timeout(timeout)
    if limit is None:
        return _core.park(waiting_on, unlink)
    if limit <= 0:
        if unlink is not None:
            unlink()
        raise Timeout(f"{waiting_on!r} was not ready at once, and no time was given")
    hub = _core.hub()
    timer = hub.timers.add(
        hub.clock.time() + limit,
        _core.interrupt,
        _core.current(),
        Timeout(f"waited {limit:g} s for {waiting_on!r}"),
    )
    try:
        return _core.park(waiting_on, unlink)
    finally:
        timer.cancel()


def attempt(block: Callable[[], object], timeout: float, waiting_on: object) -> bool:
    """Call block(), which parks, but for no longer than `timeout` seconds. Whether it ended.

    For waits that are C's; block() has to leave its queue when an exception ends the wait.
    """
    limit = check_timeout(timeout)
    if limit is None:
        block()
        return True
    if limit <= 0:
        return False
    hub = _core.hub()
    expired = Timeout(f"waited {limit:g} s for {waiting_on!r}")
    timer = hub.timers.add(hub.clock.time() + limit, _core.interrupt, _core.current(), expired)
    try:
        block()
    except Timeout as error:
        if error is not expired:
            raise
        return False
    finally:
        timer.cancel()
    return True


def sleep(seconds: float) -> None:
    """Let other tasklets run for `seconds`; 0 lets each that is ready run once.

    Raises ValueError for a negative number or NaN. Other threads are not held up.
    """
    if seconds == 0:
        _core.schedule()
        return
    if not seconds > 0:
        raise ValueError(f"cannot sleep for {seconds!r} seconds: the time must not be negative")
    hub = _core.hub()
    timer = hub.timers.add(hub.clock.time() + seconds, _core.wake, _core.current())
    try:
        _core.park(f"sleep({seconds:g})")
    finally:
        timer.cancel()

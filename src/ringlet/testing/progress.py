"""Let everything happen that can happen, and see where it stands then."""

from typing import Any

from ringlet import _core
from ringlet.errors import TaskletError
from ringlet.sched import wait
from ringlet.sched.words import label

__all__ = ("run_until_blocked",)


def run_until_blocked(rounds: int = 10_000) -> dict[_core.Tasklet[Any], object]:
    """Let the other tasklets of this thread run until each of them waits or has ended.

    What is ready when it returns has happened: descriptors that had something were served, and
    callbacks and timers that were due called. No time passes for it on a fake clock, so those who
    sleep are blocked, too. Returns who is blocked and on what, oldest first.

    Raises TaskletError naming those who still had something to do after so many `rounds`.
    """
    me = _core.current()
    hub = _core.hub()
    for _ in range(rounds):
        if _core.others_ready():
            wait.schedule()
            continue
        _let_the_hub_look()
        if not (_core.others_ready() or hub.has_more):
            return {t: t.waiting_on for t in _others(me) if t.state == "parked"}
    busy = [label(t) for t in _others(me) if t.state == "ready"]
    shown = ", ".join(busy[:5]) + (f" and {len(busy) - 5} more" if len(busy) > 5 else "")
    raise TaskletError(f"not all are blocked after {rounds} rounds, but ready: {shown}")


def _others(me: _core.Tasklet[Any]) -> list[_core.Tasklet[Any]]:
    main = _core.main()
    return [t for t in (main, *(t for t in _core.living() if t is not main)) if t is not me]


def _let_the_hub_look() -> None:
    """Return once the hub has polled, made its calls and fired what is due."""
    me = _core.current()
    waits = True

    def wake() -> None:
        if waits:
            _core.wake(me)

    _core.hub().call_soon(wake)
    try:
        wait.park("the hub's next turn")
    finally:
        waits = False

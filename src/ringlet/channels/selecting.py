"""select(): waiting at several channels at once. It is in C (corelib/select.c) but for its time
limit, which is here.
"""

from typing import Any

from ringlet import _core
from ringlet._core import Arm, Selection, select
from ringlet.errors import Timeout
from ringlet.sched import wait

__all__ = ("Arm", "Selection", "select")


def _select_in_time(arms: tuple[Arm[Any], ...], timeout: float) -> Selection[Any]:
    """For the core: select(*arms) that waits for at most `timeout` seconds."""
    seconds = wait.check_timeout(timeout)
    at_once = select(*arms, default=None)
    if at_once.index >= 0:
        return at_once
    selected: list[Selection[Any]] = []
    if not wait.attempt(lambda: selected.append(select(*arms)), seconds, arms):
        raise Timeout(f"no arm of {arms!r} was ready within {timeout:g} s")
    return selected[0]


_core._set_select_in_time(_select_in_time)

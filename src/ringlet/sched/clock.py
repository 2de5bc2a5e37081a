"""What time it is, and how the hub waits. A test puts another clock in its place."""

from collections.abc import Callable
from typing import Protocol

from ringlet import _core

__all__ = ("Clock", "SystemClock")


class Clock(Protocol):
    """What a hub asks of its clock."""

    def time(self) -> float:
        """Seconds since some moment; never goes backwards."""

    def wait(self, poll: Callable[[float | None], None], timeout: float | None) -> None:
        """Let `timeout` seconds pass, or less when poll(seconds) says so by returning early.

        None means until something happens.
        """


class SystemClock:
    """Time as it passes."""

    # By this function the core knows that it need not ask us.
    time = staticmethod(_core.monotonic)

    def wait(self, poll: Callable[[float | None], None], timeout: float | None) -> None:
        poll(timeout)

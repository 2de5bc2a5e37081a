"""What time it is, and how the hub waits. A test puts another clock in its place."""

import time
from collections.abc import Callable
from typing import Protocol

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

    time = staticmethod(time.monotonic)

    def wait(self, poll: Callable[[float | None], None], timeout: float | None) -> None:
        poll(timeout)

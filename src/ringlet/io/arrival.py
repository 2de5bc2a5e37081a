"""Waiting for what happens in another thread."""

from typing import Any

from ringlet import _core
from ringlet.errors import Timeout
from ringlet.sched import Tasklet, wait

__all__ = ("Arrival",)


class Arrival:
    """Tells the tasklet that made it that something has happened in another thread.

    While it is to come, tasklets that wait are no deadlock.
    """

    # Invariant: _waiting is the tasklet from the beginning until it has been told or has given up,
    # and so long the hub expects it.

    __slots__ = ("_hub", "_waiting")

    def __init__(self) -> None:
        self._hub = _core.hub()
        self._waiting: Tasklet[Any] | None = _core.current()
        self._hub.expect(1)

    def announce(self, _: object = None) -> None:
        """It has happened. From any thread; harmless when repeated."""
        self._hub.call_threadsafe(self._arrive)

    def _arrive(self) -> None:
        waiting = self._waiting
        if waiting is not None:
            self.give_up()
            wait.wake(waiting)

    def wait(self, waiting_on: object, timeout: float | None = None) -> None:
        """Park until it has happened, at most `timeout` seconds. Raises Timeout.

        When an exception ends the wait, it is not waited for any more.
        """
        try:
            if timeout is None:
                while self._waiting is not None:
                    wait.park(waiting_on)
            elif self._waiting is not None and not wait.attempt(
                lambda: self.wait(waiting_on), timeout, waiting_on
            ):
                raise Timeout(f"{waiting_on} was not done in {timeout:g} s")
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Not to be waited for any more. Harmless when repeated."""
        if self._waiting is not None:
            self._waiting = None
            self._hub.expect(-1)

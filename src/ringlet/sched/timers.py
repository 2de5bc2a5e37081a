"""Things to do at a time: a heap in which cancelling costs next to nothing."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

__all__ = ("Timer", "Timers")


class Timer:
    """One thing to do at `when`, in seconds of the hub's clock. It runs in the hub."""

    __slots__ = ("_timers", "args", "callback", "when")

    def __init__(
        self, timers: "Timers", when: float, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self._timers = timers
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        """Make it do nothing. Harmless when it has been done or cancelled before."""
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self._timers.forget_one()


class Timers:
    """All timers of a hub. Those due at the same time are done in the order they were set."""

    # Invariant: _cancelled counts the entries of the heap whose callback is gone. They are
    # dropped when they come up, or all at once when they are more than half of the heap, so that
    # each cancellation pays for one removal.

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """How many are set and not cancelled."""
        return len(self._heap) - self._cancelled

    def add(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Do callback(*args) once the clock shows `when` seconds."""
        timer = Timer(self, when, callback, args)
        self._serial += 1
        heappush(self._heap, (when, self._serial, timer))
        return timer

    def next_time(self) -> float | None:
        """When the next one is due, in seconds of the hub's clock; None when none is set."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def first_due(self, now: float) -> Timer | None:
        """The first one due at `now`, to be done and then cancelled; None if there is none."""
        when = self.next_time()
        return None if when is None or when > now else self._heap[0][2]

    def forget_one(self) -> None:
        """For Timer: one entry of the heap has become void."""
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapify(self._heap)
            self._cancelled = 0

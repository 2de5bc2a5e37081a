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

    def __repr__(self) -> str:
        state = "over" if self.callback is None else f"at {self.when:.6g} s of the hub's clock"
        return f"<timer {state}>"

    def cancel(self) -> None:
        """Make it do nothing. Harmless when it has been done or cancelled before."""
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self._timers.forget_one()


class Timers:
    """All timers of a hub. Those due at the same time are done in the order they were set."""

    # Entries whose callback is gone are dropped when they come up, or all at once when they are
    # more than half of the heap, so that each cancellation pays for one removal. _cancelled counts
    # them, but not exactly: a signal handler may raise at any point of the hub's code.

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._cancelled = 0
        # Called when one is added. Set by the hub from before it looks when the next one is due
        # until it has waited for that: a signal handler may add one meanwhile.
        self.listener: Callable[[], object] | None = None

    def __len__(self) -> int:
        """How many are set and not cancelled. Counts them, so takes a while."""
        return sum(entry[2].callback is not None for entry in self._heap)

    def add(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Do callback(*args) once the clock shows `when` seconds."""
        timer = Timer(self, when, callback, args)
        self._serial = serial = self._serial + 1
        heappush(self._heap, (when, serial, timer))
        if self.listener is not None:
            self.listener()
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
            heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapify(heap)
            self._heap = heap
            self._cancelled = 0

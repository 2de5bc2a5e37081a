"""A clock that stands still until nothing else can happen, and then jumps to the next timer."""

import contextlib
from collections.abc import Callable, Iterator

from ringlet import _core

__all__ = ("FakeClock", "fake_clock")


class FakeClock:
    """Seconds that pass only when every tasklet waits: a day of timers takes milliseconds."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start

    def __repr__(self) -> str:
        return f"<fake clock at {self.now:g} s>"

    def time(self) -> float:
        """The time it shows, in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let it show `seconds` more. Timers that are due by then fire at the hub's next turn."""
        if not seconds >= 0:
            raise ValueError(f"time does not go backwards: {seconds!r}")
        self.now += seconds

    def wait(self, poll: Callable[[float | None], None], timeout: float | None) -> None:
        """For the hub: jump over `timeout` seconds; wait for real only where there is no end."""
        if timeout is None:
            poll(None)
            return
        poll(0)
        if _core.begin_poll():  # nobody was woken, so everybody waits for the time to come
            self.now += timeout


@contextlib.contextmanager
def fake_clock(start: float = 0.0) -> Iterator[FakeClock]:
    """Put a FakeClock in the place of the calling thread's clock for the length of a block.

    No timer may be set on entry: it would be due at a time of the other clock. Raises RuntimeError.
    """
    hub = _core.hub()
    if len(hub.timers):
        raise RuntimeError(
            f"cannot change the clock of {hub!r}: let its timers fire, or cancel them, first"
        )
    real = hub.clock
    clock = hub.clock = FakeClock(start)
    try:
        yield clock
    finally:
        hub.clock = real

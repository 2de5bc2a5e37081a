"""A clock that stands still until nothing else can happen, and then jumps to the next timer."""

import contextlib
from collections.abc import Callable, Iterator

from ringlet import _core

__all__ = ("FakeClock", "begin_fake_time", "fake_clock")


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
        """Let it show `seconds` more at once.

        Timers that are due by then fire at the hub's next turn, all of them at that new time;
        run_until_blocked() gives the hub one. sleep() instead goes through them one by one.
        Raises ValueError for a negative number or NaN.
        """
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

    No timer may be set at either end, since it would be due at a time of the other clock: raises
    RuntimeError. At the end of a block that raises, such timers are no error of their own; they are
    due at once then. Blocks may be nested, each with a time of its own.
    """
    hub = _core.hub()
    real = hub.clock
    clock = begin_fake_time(start)
    pending = 0
    try:
        yield clock
        pending = len(hub.timers)
    finally:
        hub.clock = real
    if pending:
        raise RuntimeError(
            f"{pending} timers of {clock!r} are still set at the end of its block: join, cancel or "
            "kill inside it whoever sleeps or has a time limit"
        )


def begin_fake_time(start: float = 0.0) -> FakeClock:
    """Put a FakeClock in the place of the calling thread's clock, for the caller to undo."""
    hub = _core.hub()
    if len(hub.timers):
        raise RuntimeError(
            f"cannot change the clock of {hub!r}: let its timers fire, or cancel them, first"
        )
    clock = hub.clock = FakeClock(start)
    return clock

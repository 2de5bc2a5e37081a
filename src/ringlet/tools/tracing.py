"""Who ran when, and why not longer: the turns of a thread's tasklets, written down in order."""

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ringlet import _core
from ringlet.sched.clock import SystemClock
from ringlet.sched.words import target_in_words
from ringlet.tools.timeline import Arrow, Timeline

__all__ = ("Event", "Trace", "trace")

_Tasklet = _core.Tasklet[Any]


class Event(NamedTuple):
    """Something that a tasklet did or that happened to it."""

    time: float  # seconds since the trace began, by the hub's clock
    who: str  # the tasklet's name, with a number behind it if an earlier one has the same
    # One of: runs, spawns, wakes, is ready, gives way, lets others run, waits for, ends, ends with
    what: str
    whom: str  # another tasklet, what is waited for, or an exception's type; else empty

    def __str__(self) -> str:
        return f"{self.who} {self.what} {self.whom}".rstrip()


class Trace:
    """The events of a block of program, in order. trace() makes one."""

    def __init__(self, limit: int) -> None:
        #: All events, or the first ones up to the limit.
        self.events: list[Event] = []
        #: How many turns more there were.
        self.dropped = 0
        self._limit = limit
        # Those whom the hub has made ready, while why the turn before was over is not noted yet.
        self._late: list[_Tasklet] = []
        self._names: dict[_Tasklet, str] = {}
        self._taken: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<trace of {len(self.events)} events>"

    def __str__(self) -> str:
        return self.text()

    def __enter__(self) -> Self:
        self._clock = _core.hub().clock
        self._is_real = isinstance(self._clock, SystemClock)
        self._begin = self._clock.time()
        self._last: _Tasklet = _core.current()
        self._ready = set(_core.whole_round())
        self._known = {*self._ready, _core.main(), *_core.living()}
        self._rounds = _core.left_at()[0]
        self._note(0.0, self._last, "runs")
        self._before = _core.watch(self._arrive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.watch(self._before)
        self._note_ready(self._time(), self._last)
        self._known.clear()
        self._ready.clear()

    def text(self, *, times: bool = True) -> str:
        """A line for each event; with `times` the milliseconds since the beginning come first."""
        lines = [
            f"{event.time * 1000:10.3f} ms  {event}" if times else str(event)
            for event in self.events
        ]
        if self.dropped:
            lines.append(f"and {self.dropped} turns more")
        return "\n".join(lines)

    def svg(self, *, by_time: bool = True) -> str:
        """A picture: a row for each tasklet, a bar for each turn, an arrow for each wake or spawn.

        With `by_time` lengths are seconds; else each event is as wide as the next, which shows the
        order of what took no time.
        """
        rows = list(dict.fromkeys(event.who for event in self.events))
        bars: list[tuple[str, float, float, str]] = []
        arrows: list[Arrow] = []
        running: tuple[str, float] | None = None
        at = 0.0
        for number, event in enumerate(self.events):
            at = event.time if by_time else float(number)
            if event.what == "runs":
                running = event.who, at
            elif event.what in ("spawns", "wakes"):
                arrows.append(Arrow(event.who, event.whom, at, str(event)))
            elif event.what != "is ready" and running is not None:
                bars.append((*running, at, str(event)))
                running = None
        if running is not None:
            bars.append((*running, at, "still runs"))
        return Timeline(rows, bars, arrows, at, "s" if by_time else "").svg()

    def save(self, path: str | Path) -> None:
        """Write it to a file: the picture if its name ends in .svg, else the text."""
        path = Path(path)
        path.write_text(self.svg() if path.suffix == ".svg" else f"{self}\n")

    def _arrive(self, before: _Tasklet | None, now: _Tasklet) -> None:
        """The turn has come to `now`."""
        if self._before is not None:
            self._before(before, now)
        if len(self.events) >= self._limit:
            self.dropped += 1
            return
        left = self._last
        rounds, left_at = _core.left_at()
        # The hub may have run in between, for a long time, and woken some of them.
        waited = rounds != self._rounds
        self._rounds = rounds
        now_time = self._time()
        left_time = now_time
        if waited:
            # Another clock than the real one stands still while a tasklet has its turn.
            left_time = left_at - self._begin if self._is_real else self.events[-1].time
        self._note_ready(left_time, None if waited else left)
        self._note(left_time, left, *self._reason(left, waited))
        for tasklet in self._late:
            self._note(now_time, tasklet, "is ready")
        self._late.clear()
        self._note(now_time, now, "runs")
        self._last = now

    def _note_ready(self, time: float, by: _Tasklet | None) -> None:
        """Note who has become ready since the last turn began, and by whom, if that is certain."""
        everybody = _core.whole_round()
        for tasklet in everybody:
            if tasklet in self._ready or tasklet is self._last:
                continue
            is_new = tasklet not in self._known
            self._known.add(tasklet)
            if by is None:
                self._late.append(tasklet)
            else:
                self._note(time, by, "spawns" if is_new else "wakes", self._name(tasklet))
        self._ready = set(everybody)

    def _reason(self, left: _Tasklet, waited: bool) -> tuple[str, str]:
        """Why a turn is over."""
        if left.state == "parked":
            target = left.waiting_on
            if isinstance(target, _core.Tasklet):
                return "waits for", f"the end of {self._name(target)}"
            return "waits for", target_in_words(target)
        if left.state == "ready":
            # If the hub has run since, it may have waited for what has come already.
            return ("lets others run" if waited else "gives way"), ""
        if left._error is not None:
            return "ends with", type(left._error).__name__
        return "ends", ""

    def _time(self) -> float:
        seconds: float = self._clock.time() - self._begin
        return seconds

    def _note(self, time: float, tasklet: _Tasklet, what: str, whom: str = "") -> None:
        self.events.append(Event(time, self._name(tasklet), what, whom))

    def _name(self, tasklet: _Tasklet) -> str:
        name = self._names.get(tasklet)
        if name is None:
            plain = tasklet.name.rpartition("<locals>.")[2]
            count = self._taken[plain] = self._taken.get(plain, 0) + 1
            name = plain if count == 1 else f"{plain}-{count}"
            self._names[tasklet] = name
        return name


def trace(limit: int = 100_000) -> Trace:
    """A context manager that writes down the turns of this thread's tasklets while its block runs.

    The first `limit` events are kept. Each turn costs a few microseconds more, and more the more
    tasklets are ready; without a trace it costs nothing. A trace keeps the tasklets it has seen.
    """
    return Trace(limit)

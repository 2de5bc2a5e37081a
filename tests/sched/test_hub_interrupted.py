"""A signal handler may raise between any two lines of the hub's: nothing is lost."""

import sys
from types import FrameType
from typing import Any

from ringlet import Channel, _core, schedule, sleep, spawn
from ringlet.sched import hub as hub_module
from ringlet.sched import wait
from ringlet.testing import fake_clock


class Interruption(KeyboardInterrupt):
    """What the handler raises."""


class Interrupter:
    """Raises at the given line that the hub executes, counted from when it is put in place."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.raised = False

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        # What is raised within _call() could as well come from what that calls, and ends it.
        code = frame.f_code
        is_hubs = code.co_filename == hub_module.__file__ and code.co_name != "_call"
        if not is_hubs or not _core.in_hub():
            return None
        if event == "line":
            if self.left == 0:
                self.raised = True
                raise Interruption  # which also ends the tracing
            self.left -= 1
        return self.trace


def patiently(f: Any, *args: Any) -> Any:
    """Call f, again if that is interrupted."""
    while True:
        try:
            return f(*args)
        except Interruption:
            continue


def test_nothing_is_lost_at_any_line() -> None:
    number = 0
    while interrupted_at(number):
        number += 1
    assert number > 60, "the scene has to keep the hub busy"


def interrupted_at(number: int) -> bool:
    """Plays a scene with an interruption at one line of the hub's. Whether it came to that."""
    log: list[str] = []
    interrupter = Interrupter(number)

    def sleeper(seconds: float) -> None:
        sleep(seconds)
        log.append(f"slept {seconds}")

    def limited() -> None:
        assert not wait.attempt(Channel().receive, 2, "never")
        log.append("gave up")

    with fake_clock():
        hub = _core.hub()
        schedule()
        kept = [spawn(sleeper, seconds) for seconds in (3, 1, 2)]
        kept.append(spawn(limited))
        ending = spawn(int)
        ending.add_done_callback(lambda _: log.append("done"))
        hub.call_soon(log.append, "called")
        for moment in (2, 1):
            hub.call_at(moment, log.append, f"timer {moment}")
        sys.settrace(interrupter.trace)
        try:
            for tasklet in [*kept, ending]:
                patiently(tasklet.join)
            patiently(sleep, 1)
        finally:
            sys.settrace(None)
        assert len(hub.timers) == 0
    # What was being called when the exception came is called again, and so may come twice.
    twice = len(log) - len(set(log))
    assert twice <= interrupter.raised
    assert [line for line in log if line.startswith("slept")] == ["slept 1", "slept 2", "slept 3"]
    assert sorted(set(log)) == [
        "called",
        "done",
        "gave up",
        "slept 1",
        "slept 2",
        "slept 3",
        "timer 1",
        "timer 2",
    ]
    assert log.index("timer 1") < log.index("timer 2")
    return interrupter.raised

"""The tracer: the order of turns, and why each was over."""

import xml.etree.ElementTree as ElementTree

import pytest

from ringlet import Channel, Tasklet, _core, schedule, sleep, spawn
from ringlet.testing import fake_clock, run_until_blocked
from ringlet.tools import trace
from ringlet.tools.timeline import Timeline

pytestmark = pytest.mark.ringlet


def test_it_tells_who_ran_and_why_no_longer() -> None:
    channel: Channel[int] = Channel()

    def ping() -> None:
        channel.send(1)

    def pong() -> None:
        channel.receive()
        schedule()

    def fail() -> None:
        raise LookupError

    with trace() as seen:
        tasklets = [spawn(ping), spawn(pong), spawn(fail)]
        with pytest.raises(LookupError):
            tasklets[2].result()
        for tasklet in tasklets[:2]:
            tasklet.join()
    text = seen.text(times=False).replace(f"{id(channel):#x}", "0x1")
    assert text.splitlines() == [
        "main runs",
        "main spawns ping",
        "main spawns pong",
        "main spawns fail",
        "main waits for the end of fail",
        "ping runs",
        "ping waits for <channel 0x1, balance 1>",
        "pong runs",
        "pong wakes ping",
        "pong gives way",
        "fail runs",
        "fail wakes main",
        "fail ends with LookupError",
        "ping runs",
        "ping ends",
        "pong runs",
        "pong ends",
        "main runs",
    ]


def test_a_hand_over_is_a_wake() -> None:
    channel: Channel[int] = Channel()

    def receiver() -> None:
        channel.receive()

    tasklet = spawn(receiver)
    run_until_blocked()
    with trace() as seen:
        channel.send(1)
        tasklet.join()
    assert seen.text(times=False).splitlines()[:5] == [
        "main runs",
        "main wakes receiver",
        "main gives way",
        "receiver runs",
        "receiver ends",
    ]


def test_what_only_the_clock_has_woken_was_woken_by_nobody() -> None:
    def napper() -> None:
        sleep(2.5)
        schedule()

    with fake_clock(), trace() as seen:
        tasklets = [spawn(napper), spawn(napper)]
        for tasklet in tasklets:
            tasklet.join()
    lines = str(seen).splitlines()
    assert "  2500.000 ms  napper is ready" in lines
    assert "  2500.000 ms  napper-2 runs" in lines
    assert "     0.000 ms  napper waits for sleep(2.5)" in lines
    # By the time the next one runs the timer has made it ready again.
    assert "     0.000 ms  napper-2 lets others run" in lines


def test_tasklets_of_one_name_are_told_apart() -> None:
    with trace() as seen:
        for _ in range(3):
            Tasklet(schedule, name="worker").start()
        run_until_blocked()
    assert {event.who for event in seen.events} >= {"worker", "worker-2", "worker-3"}


def test_it_stops_at_its_limit_and_says_so() -> None:
    def spin() -> None:
        for _ in range(100):
            schedule()

    with trace(limit=20) as seen:
        spawn(spin)
        run_until_blocked()
    assert 20 <= len(seen.events) <= 24
    assert seen.dropped > 50
    assert str(seen).endswith(f"and {seen.dropped} turns more")


def test_nothing_is_left_of_it() -> None:
    with trace() as seen:
        spawn(len, ()).join()
    count = len(seen.events)
    spawn(len, ()).join()
    assert len(seen.events) == count
    assert _core.watch(None) is None


def test_one_that_was_there_before_goes_on() -> None:
    calls = []
    _core.watch(lambda before, now: calls.append(now.name))
    try:
        with trace() as seen:
            Tasklet(len, ((),), name="seen by both").start().join()
    finally:
        _core.watch(None)
    assert "seen by both" in calls
    assert any(event.who == "seen by both" for event in seen.events)


@pytest.mark.parametrize("by_time", [True, False])
def test_the_picture_has_a_row_and_bars_for_each(tmp_path, by_time: bool) -> None:
    def body(channel: Channel[int]) -> None:
        for _ in range(3):
            channel.receive()

    channel: Channel[int] = Channel()
    with trace() as seen:
        Tasklet(body, (channel,), name="a<b").start()
        channel.send_sequence(range(3))
        run_until_blocked()
    picture = ElementTree.fromstring(seen.svg(by_time=by_time))
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in picture.iter(f"{space}text")]
    assert {"main", "a<b"} <= set(texts)
    bars = [bar for bar in picture.iter(f"{space}rect") if bar.find(f"{space}title") is not None]
    assert len(bars) == sum(event.what == "runs" for event in seen.events)
    seen.save(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text() == seen.svg()
    seen.save(tmp_path / "trace.txt")
    assert (tmp_path / "trace.txt").read_text() == f"{seen}\n"


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.05, ["0 ms", "5 ms", "10 ms", "15 ms"]),
        (0.0003, ["0 ms", "0.05 ms", "0.1 ms"]),
        (90.0, ["0 s", "10 s", "20 s"]),
        (0.0, ["0 s", "0.1 s", "0.2 s"]),
    ],
)
def test_the_axis_has_round_numbers(seconds: float, labels: list[str]) -> None:
    picture = ElementTree.fromstring(Timeline(["main"], [], [], seconds, "s").svg())
    texts = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[: len(labels)] == labels
    assert 5 <= len(texts) <= 15

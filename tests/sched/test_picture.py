"""The picture of who waits for whom."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ringlet import Channel, Tasklet, current, greenlet, schedule, spawn
from ringlet.sched import wait
from ringlet.sched.picture import Picture, own_ring
from ringlet.sched.words import seconds_in_words
from ringlet.sync import Group, Lock
from ringlet.testing import run_until_blocked

pytestmark = pytest.mark.ringlet


class Latch:
    """As much of a lock as the picture wants to know of."""

    def __init__(self, holder: object = None) -> None:
        self.holder = holder

    def __repr__(self) -> str:
        return "<latch>"


@contextmanager
def parked(**targets: object) -> Iterator[dict[str, Tasklet[None]]]:
    """Tasklets of these names, each parked for its target; one given by name is a tasklet."""
    tasklets: dict[str, Tasklet[None]] = {}

    def body(target: object) -> None:
        if isinstance(target, str):
            tasklets[target].join()
        else:
            wait.park(target)

    for name, target in targets.items():
        tasklets[name] = Tasklet(body, (target,), name=name)
    for tasklet in tasklets.values():
        tasklet.start()
    run_until_blocked()
    try:
        yield tasklets
    finally:
        for tasklet in tasklets.values():
            tasklet.kill(wait=False)
        run_until_blocked()


def tree() -> str:
    """The tree, without addresses, times and stacks."""
    lines = Picture([own_ring()], limit=0).tree_lines()[1:]
    text = re.sub(r" at 0x\w+", "", "\n".join(lines))
    return re.sub(r"parked for [^,]*,", "parked,", text)


def test_who_is_awaited_stands_below() -> None:
    with parked(last=Latch(), middle="last", first="middle"):
        assert tree().splitlines()[1:] == [
            "+- tasklet first, parked, waits for the end of tasklet middle",
            "   +- tasklet middle, parked, waits for the end of tasklet last",
            "      +- tasklet last, parked, waits for <latch>",
        ]


def test_a_holder_stands_below_one_that_waits_for_the_lock() -> None:
    with parked(holder=Latch()) as tasklets:
        latch = Latch(tasklets["holder"])
        with parked(one=latch, two=latch):
            assert tree().splitlines()[1:] == [
                "+- tasklet one, parked, waits for <latch>, held by tasklet holder",
                "|  +- tasklet holder, parked, waits for <latch>",
                "+- tasklet two, parked, waits for <latch>, held by tasklet holder",
            ]


def test_a_lock_may_be_held_by_a_thread_of_which_only_the_name_is_known() -> None:
    with parked(one=Latch("Thread-7")):
        assert "waits for <latch>, held by Thread-7" in tree()


def test_a_real_lock_names_its_holder_once() -> None:
    lock = Lock()

    def hold() -> None:
        with lock:
            wait.park("nothing")

    holder, waiter = spawn(hold), spawn(lock.acquire)
    run_until_blocked()
    assert tree().count("held by") == 1
    assert re.search(
        r"\+- tasklet Lock\.acquire.*held by .*hold.*\n   \+- tasklet .*hold, ", tree()
    )
    for tasklet in (waiter, holder):
        tasklet.kill()


def test_members_stand_below_who_waits_for_their_group() -> None:
    def child() -> None:
        wait.park("nothing")

    def host() -> None:
        with Group() as group:
            group.spawn(child)
            group.spawn(child)

    tasklet = spawn(host)
    run_until_blocked()
    shown = re.sub(r"test_\w+\.<locals>\.", "", tree())
    assert re.findall(r"( *[+|]- tasklet \w+)", shown)[1:] == [
        "+- tasklet host",
        "   +- tasklet child",
        "   +- tasklet child",
    ]
    tasklet.kill()


def test_a_member_that_waits_for_room_in_its_group_does_not_wait_for_itself() -> None:
    def member(group: Group) -> None:
        group.spawn(print)

    def host() -> None:
        with Group(limit=1) as group:
            group.spawn(member, group)

    tasklet = spawn(host)
    run_until_blocked()
    assert tree().count("waits for <group") == 2
    assert Picture([own_ring()]).circles() == []
    tasklet.kill()


def test_a_circle_is_named_once_with_what_each_waits_for() -> None:
    latch = Latch()
    with parked(a=latch, b="a", outside="b") as tasklets:
        latch.holder = tasklets["b"]
        picture = Picture([own_ring()])
        assert picture.circles() == [[tasklets["a"], tasklets["b"]]]
        assert [re.sub(r" at 0x\w+", "", line) for line in picture.circle_lines()] == [
            "these wait for each other in a circle:",
            "  tasklet a waits for <latch>, held by tasklet b",
            "  tasklet b waits for the end of tasklet a",
        ]
        assert tree().count("tasklet a, parked") == 1
        assert tree().count("tasklet b, parked") == 1


def test_one_may_wait_for_itself() -> None:
    latch = Latch()
    with parked(a=latch) as tasklets:
        latch.holder = tasklets["a"]
        assert Picture([own_ring()]).circles() == [[tasklets["a"]]]
        assert tree().count("tasklet a, parked") == 1


def test_long_chains_are_followed() -> None:
    names = [f"t{number}" for number in range(3000)]
    targets: dict[str, object] = dict(zip(names, [*names[1:], Latch()], strict=True))
    with parked(**targets) as tasklets:
        assert len(tree().splitlines()) == 3001
        assert Picture([own_ring()]).circles() == []
        tasklets["t2999"].name = "the last one"
        assert "the last one" in tree()


def test_many_that_stand_at_one_place_are_counted() -> None:
    channel: Channel[int] = Channel()
    crowd = [spawn(channel.receive) for _ in range(1000)]
    with parked(apart=Latch()):
        text = tree()
        assert text.count("+- tasklet Channel.receive") <= 10
        assert "+- and 990 more that stand where this one does" in text
        assert "+- tasklet apart" in text
    for tasklet in crowd:
        tasklet.kill(wait=False)
    run_until_blocked()


class Moody:
    """Something whose repr fails."""

    def __init__(self, error: type[BaseException] = ValueError) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    @property
    def holder(self) -> object:
        raise self.error


def test_a_repr_that_fails_is_told_about() -> None:
    with parked(unlucky=Moody()) as tasklets:
        assert "Moody object at" in tree() or "Moody object, whose repr()" in tree()
        assert "whose repr() raises ValueError" in tree()
        assert "whose repr() raises ValueError" in repr(tasklets["unlucky"])


def test_tasklets_that_join_each_other_can_be_shown() -> None:
    with parked(a="b", b="a") as tasklets:
        assert "the end of tasklet b at" in repr(tasklets["a"])


def test_the_stack_is_there_with_its_innermost_call_last() -> None:
    channel: Channel[int] = Channel()

    def inner() -> None:
        channel.receive()

    def outer() -> None:
        inner()

    tasklet = spawn(outer)
    schedule()
    text = "\n".join(Picture([own_ring()]).describe(tasklet))
    assert text.index("in outer") < text.index("inner()") < text.index("channel.receive()")
    assert "calls outside" not in text
    short = Picture([own_ring()], limit=1).describe(tasklet)
    assert "1 more calls outside of these" in short[1]
    assert "in outer" not in "\n".join(short)
    tasklet.kill()


def test_a_wait_inside_a_greenlet_shows_who_switched_there() -> None:
    channel: Channel[int] = Channel()

    def within() -> None:
        channel.receive()

    def body() -> None:
        greenlet(within).switch()

    tasklet = spawn(body)
    schedule()
    text = "\n".join(Picture([own_ring()]).describe(tasklet))
    assert text.index("in body") < text.index("in within")
    channel.send(1)
    tasklet.join()


def test_the_running_tasklet_has_a_stack_too() -> None:
    lines = Picture([own_ring()], limit=100).describe(current())
    assert "running" in lines[0]
    assert any("test_the_running_tasklet_has_a_stack_too" in line for line in lines)


def test_lengths_of_time_are_readable() -> None:
    assert [seconds_in_words(s) for s in (0.0, 0.00125, 0.5, 1.5, 90, 3000, 7500, 90000)] == [
        *("0 ms", "1.25 ms", "500 ms", "1.5 s", "90 s", "50 min", "2 h 5 min", "25 h 0 min"),
    ]

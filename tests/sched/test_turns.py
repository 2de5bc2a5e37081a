"""When the hub has its turn: seldom enough to cost little, often enough that nothing starves."""

import socket

import pytest

from ringlet import Channel, _core, schedule, sleep, spawn
from ringlet.testing import fake_clock

POLL_AFTER = 64
POLL_AT_LAST = 1024


class Turns:
    """Counts the turns that tasklets have had, and notes the count whenever the hub runs."""

    def __init__(self) -> None:
        self.count = 0
        self.at_hub: list[int] = []
        self.watching = True
        _core.hub().call_soon(self.look)

    def look(self) -> None:
        self.at_hub.append(self.count)
        if self.watching:
            _core.hub().call_soon(self.look)

    def gaps(self) -> list[int]:
        """How many turns lay between one run of the hub and the next."""
        self.watching = False
        return [b - a for a, b in zip(self.at_hub, self.at_hub[1:], strict=False)]


@pytest.mark.parametrize("population", [2, 3, 10, 63, 64, 65, 500, 1000, 1023, 1024, 3000])
def test_the_hub_runs_at_turn_ends_but_never_too_late(population: int) -> None:
    turns = Turns()
    rounds = 5000 // population + 3

    def body() -> None:
        for _ in range(rounds):
            turns.count += 1
            schedule()

    tasklets = [spawn(body) for _ in range(population - 1)]
    body()
    gaps = turns.gaps()
    for tasklet in tasklets:
        tasklet.join()
    assert len(gaps) >= 3
    # The hub's own switch to whoever follows it counts, too.
    assert all(POLL_AFTER <= gap + 1 <= POLL_AT_LAST for gap in gaps[1:]), gaps
    if population + 1 < POLL_AT_LAST:
        assert all(gap % population == 0 for gap in gaps[1:]), gaps
        whole_rounds = -(-(POLL_AFTER - 1) // population) * population
        assert set(gaps[1:]) == {whole_rounds}


def test_values_handed_over_count_as_turns() -> None:
    turns = Turns()
    channel: Channel[int] = Channel()
    count = 5000

    def receiver() -> None:
        for _ in range(count):
            channel.receive()
            turns.count += 1

    tasklet = spawn(receiver)
    for number in range(count):
        channel.send(number)
        turns.count += 1
    tasklet.join()
    gaps = turns.gaps()
    assert len(gaps) > count * 2 // POLL_AT_LAST
    assert max(gaps) <= POLL_AT_LAST


def test_the_hub_runs_at_once_when_nobody_is_ready() -> None:
    log: list[object] = []
    with fake_clock() as clock:
        for number in range(3):
            _core.hub().call_soon(log.append, number)
            schedule()  # somebody is ready: the caller
            log.append("had its turn")
            sleep(1)
            log.append(clock.now)
    turn = "had its turn"
    assert log == [turn, 0, 1, turn, 1, 2, turn, 2, 3]


def test_a_descriptor_is_seen_among_ever_so_many_timers() -> None:
    """Timers due together are fired in batches, and descriptors looked at in between."""
    crowd = 5000
    ours, theirs = socket.socketpair()
    awake = 0
    seen: list[int] = []

    def reader() -> None:
        _core.wait_descriptor(ours.fileno(), 1)
        seen.append(awake)

    def sleeper(number: int) -> None:
        nonlocal awake
        sleep(1)
        awake += 1
        if number == 0:
            theirs.send(b"x")

    with fake_clock(), ours, theirs:
        waiting = spawn(reader)
        schedule()
        tasklets = [spawn(sleeper, number) for number in range(crowd)]
        schedule()
        waiting.join()
        for tasklet in tasklets:
            tasklet.join()
    # Those woken with the first one were before it, and those woken when it was seen.
    assert 0 < seen[0] <= 2 * 256

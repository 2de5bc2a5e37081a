"""run_until_blocked(): everything that can happen has happened."""

import os

import pytest

from ringlet import Channel, TaskletError, current, schedule, sleep, spawn
from ringlet.errors import TaskletExit
from ringlet.io.socket import socketpair
from ringlet.testing import fake_clock, run_until_blocked


def test_it_tells_who_is_blocked_on_what() -> None:
    channel: Channel[int] = Channel()
    receiver = spawn(channel.receive)
    joiner = spawn(receiver.join)
    assert run_until_blocked() == {receiver: channel, joiner: receiver}
    channel.send(1)
    assert run_until_blocked() == {}
    assert joiner.finished


def test_chains_of_events_are_followed_to_their_end() -> None:
    channels: list[Channel[int]] = [Channel() for _ in range(50)]
    got = []

    def relay(number: int) -> None:
        value = channels[number].receive()
        for _ in range(number % 3):
            schedule()
        if number + 1 < len(channels):
            channels[number + 1].send(value + 1)
        else:
            got.append(value)

    for number in range(len(channels)):
        spawn(relay, number)
    assert len(run_until_blocked()) == 50
    spawn(channels[0].send, 0)
    assert run_until_blocked() == {}
    assert got == [49]


def test_no_time_passes_but_what_is_due_fires() -> None:
    with fake_clock() as clock:
        early, late = spawn(sleep, 1), spawn(sleep, 2)
        assert list(run_until_blocked()) == [early, late]
        assert clock.now == 0
        clock.advance(1)
        assert list(run_until_blocked()) == [late]
        clock.advance(1)
        assert run_until_blocked() == {}


def test_callbacks_that_wake_others_are_part_of_it() -> None:
    channel: Channel[str] = Channel()
    receiver = spawn(channel.receive)
    ending = spawn(schedule)
    ending.add_done_callback(lambda _: spawn(channel.send, "done"))
    assert run_until_blocked() == {}
    assert receiver.result() == "done"


def test_descriptors_that_have_something_are_served() -> None:
    left, right = socketpair()
    with left, right:
        reader = spawn(right.recv, 10)
        assert list(run_until_blocked()) == [reader]
        os.write(left.fileno(), b"here")
        assert run_until_blocked() == {}
        assert reader.result() == b"here"


def test_from_a_tasklet_the_main_program_is_one_of_the_others() -> None:
    seen = []
    tasklet = spawn(lambda: seen.append(run_until_blocked()))
    me = current()
    tasklet.join()
    assert seen == [{me: tasklet}]


def test_somebody_who_never_waits_is_named() -> None:
    def spin_forever() -> None:
        while True:
            schedule()

    spinner = spawn(spin_forever)
    with pytest.raises(TaskletError, match=r"after 20 rounds, but ready: .*spin_forever"):
        run_until_blocked(rounds=20)
    spinner.kill()


def test_ended_by_an_exception_it_wakes_nobody_later() -> None:
    channel: Channel[str] = Channel()
    steps = []

    def interrupted() -> None:
        try:
            run_until_blocked()
        except TaskletExit:
            steps.append("told to end")
        steps.append(channel.receive())

    tasklet = spawn(interrupted)
    schedule()
    tasklet.throw(TaskletExit())
    assert run_until_blocked() == {tasklet: channel}
    channel.send("value")
    tasklet.join()
    assert steps == ["told to end", "value"]

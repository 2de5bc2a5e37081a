"""no_leaks(): what outlives a block is named."""

import pytest

from ringlet import Channel, Tasklet, _core, greenlet, schedule, sleep, spawn
from ringlet.io.socket import socketpair
from ringlet.testing import LeakError, fake_clock, no_leaks, run_until_blocked


def test_nothing_is_left_of_a_block_that_cleans_up() -> None:
    with no_leaks():
        channel: Channel[int] = Channel()
        worker = spawn(channel.receive)
        channel.send(1)
        worker.join()


def test_who_is_about_to_end_is_no_leak() -> None:
    with no_leaks():
        worker = spawn(Channel().receive)
        schedule()
        worker.kill(wait=False)


def test_a_tasklet_is_named_with_what_it_waits_for_and_where() -> None:
    channel: Channel[int] = Channel()

    def forgotten() -> None:
        channel.receive()

    with pytest.raises(LeakError) as caught, no_leaks():
        worker = spawn(forgotten)
    assert "forgotten" in str(caught.value)
    assert repr(channel) in str(caught.value)
    assert "channel.receive()" in str(caught.value)
    worker.kill()


def test_a_tasklet_is_named_with_where_it_was_started() -> None:
    def start_it() -> None:
        started.append(spawn(Channel().receive))

    started: list[Tasklet[object]] = []
    with (
        pytest.raises(LeakError, match=r"started in start_it, .*test_leaks\.py, line "),
        no_leaks(),
    ):
        start_it()
    started[0].kill()


@pytest.mark.ringlet(fresh=False)
def test_where_tasklets_are_started_is_noted_only_on_demand() -> None:
    with no_leaks():
        noted = spawn(schedule)
    not_noted = spawn(schedule)
    assert noted._origin is not None
    assert not_noted._origin is None
    not_noted.join()


def test_a_greenlet_that_never_ended_is_named_with_where_it_stands() -> None:
    def half_done() -> None:
        greenlet.getcurrent().parent.switch()  # type: ignore[union-attr]

    left = greenlet(half_done)
    with pytest.raises(LeakError, match=r"half_done \(.*test_leaks"), no_leaks():
        left.switch()
    left.throw()
    assert left.dead


def test_a_greenlet_that_nobody_can_reach_is_no_leak() -> None:
    with no_leaks():
        garbage = greenlet(lambda: greenlet.getcurrent().parent.switch())  # type: ignore[union-attr]
        garbage.itself = garbage  # type: ignore[attr-defined]
        garbage.switch()
        del garbage


def test_a_timer_that_is_set_is_named() -> None:
    hub = _core.hub()
    with pytest.raises(LeakError, match=r"<timer at .* that calls <built-in"), no_leaks():
        timer = hub.call_at(hub.clock.time() + 1000, print)
    timer.cancel()


def test_a_descriptor_that_is_waited_for_is_counted() -> None:
    left, right = socketpair()
    with left, right:
        with pytest.raises(LeakError, match="1 descriptors"), no_leaks():
            reader = spawn(right.recv, 1)
        reader.kill()


def test_what_was_there_before_does_not_count() -> None:
    with fake_clock():
        old = spawn(sleep, 10)
        run_until_blocked()
        with no_leaks():
            spawn(schedule)
        old.join()


def test_an_error_of_the_block_is_not_replaced() -> None:
    workers = []

    def fail() -> None:
        with no_leaks():
            workers.append(spawn(Channel().receive))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    workers[0].kill()

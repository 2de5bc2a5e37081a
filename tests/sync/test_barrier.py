"""Barrier: all come, or nobody passes."""

import pytest

import ringlet
from ringlet import spawn
from ringlet.sync import Barrier, BrokenBarrierError
from ringlet.testing import fake_clock
from tests.sync.helpers import blocked_thread, settle


def coming(barrier, log, name, timeout=None):
    """Wait at the barrier, and write down how that ended."""
    try:
        log.append((name, barrier.wait(timeout)))
    except BrokenBarrierError:
        log.append((name, "broken"))


def test_the_last_to_come_lets_all_go_and_each_gets_a_number():
    calls = []
    barrier = Barrier(3, lambda: calls.append(barrier.n_waiting))
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    for _ in range(2):
        tasklets = [spawn(barrier.wait) for _ in range(2)]
        settle()
        assert barrier.n_waiting == 2
        assert barrier.wait() == 2
        assert sorted(tasklet.result() for tasklet in tasklets) == [0, 1]
    assert calls == [3, 3]
    assert Barrier(1).wait() == 0


def test_who_is_early_for_the_next_round_waits_for_the_last_one_to_end():
    barrier, log = Barrier(2), []

    def twice(name):
        for turn in range(3):
            barrier.wait()
            log.append((turn, name))

    for tasklet in [spawn(twice, name) for name in "ab"]:
        tasklet.join()
    assert [turn for turn, _ in log] == [0, 0, 1, 1, 2, 2]


def test_a_time_limit_breaks_it_for_all():
    barrier, log = Barrier(3, timeout=50), []
    with fake_clock() as clock:
        spawn(coming, barrier, log, "patient")
        spawn(coming, barrier, log, "hasty", 2)
        ringlet.sleep(10)
        assert log == [("hasty", "broken"), ("patient", "broken")]
        assert barrier.broken
        with pytest.raises(BrokenBarrierError, match="broken"):
            barrier.wait()
        barrier.reset()
        with pytest.raises(BrokenBarrierError):
            barrier.wait()
        assert clock.now == 60


def test_abort_breaks_it_and_reset_mends_it():
    barrier, log = Barrier(2), []
    spawn(coming, barrier, log, "a")
    settle()
    barrier.abort()
    settle()
    assert log == [("a", "broken")]
    barrier.reset()
    assert not barrier.broken
    spawn(coming, barrier, log, "b")
    settle()
    barrier.reset()
    settle()
    assert log[1:] == [("b", "broken")]
    assert not barrier.broken
    spawn(coming, barrier, log, "c")
    settle()
    assert barrier.wait() == 1
    settle()
    assert log[2:] == [("c", 0)]


def test_an_action_that_raises_breaks_it():
    barrier, log = Barrier(2, lambda: 1 / 0), []
    spawn(coming, barrier, log, "a")
    settle()
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    settle()
    assert log == [("a", "broken")]
    assert barrier.broken


def test_one_that_is_killed_counts_as_if_it_had_not_come():
    barrier, log = Barrier(2), []
    killed = spawn(coming, barrier, log, "killed")
    settle()
    killed.kill()
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    spawn(coming, barrier, log, "a")
    settle()
    assert barrier.wait() == 1
    settle()
    assert log == [("a", 0)]


def test_threads_meet_at_it():
    barrier = Barrier(2)
    with blocked_thread(barrier.wait) as results:
        assert barrier.wait() == 1
    assert results == [0]


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="parties"):
        Barrier(0)
    with pytest.raises(TypeError):
        Barrier(2, timeout="1")


def test_representation():
    barrier = Barrier(2)
    assert repr(barrier) == f"<sync.Barrier at {id(barrier):#x}: waiters=0/2>"
    barrier.abort()
    assert repr(barrier) == f"<sync.Barrier at {id(barrier):#x}: broken>"

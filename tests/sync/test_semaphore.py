"""Semaphore and BoundedSemaphore: permits are never lost and go to who waits longest."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringlet
from ringlet import spawn
from ringlet.sync import BoundedSemaphore, Semaphore
from ringlet.testing import fake_clock
from tests.sync.helpers import blocked_thread, settle

BOTH = pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore])


@BOTH
def test_permits_are_taken_until_none_is_left(make):
    semaphore = make(2)
    assert (semaphore.value, semaphore.holder) == (2, None)
    with semaphore as entered:
        assert entered is True
        assert semaphore.acquire()
        assert semaphore.locked()
        assert semaphore.acquire(False) is False
        assert semaphore.acquire(blocking=False) is False
        semaphore.release()
    assert (semaphore.value, semaphore._value) == (2, 2)


@BOTH
def test_permits_go_to_those_who_wait_in_the_order_they_came(make):
    semaphore, log = make(3), []

    def body(name):
        semaphore.acquire()
        log.append(name)

    for _ in range(3):
        semaphore.acquire()
    tasklets = [spawn(body, name) for name in "abcd"]
    ringlet.schedule()
    assert semaphore.waiters == tasklets
    assert tasklets[0].waiting_on is semaphore
    semaphore.release(3)
    assert (semaphore.waiting, semaphore.value) == (1, 0)
    assert semaphore.acquire(False) is False
    settle()
    assert log == ["a", "b", "c"]
    semaphore.release(n=3)
    settle()
    assert (log, semaphore.value) == (["a", "b", "c", "d"], 2)


def test_wrong_arguments_are_refused_and_change_nothing():
    semaphore = Semaphore()
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="one or more"):
            semaphore.release(wrong)
    for arguments, keywords in [((1, 2), {}), ((1,), {"n": 1}), ((), {"m": 1}), (("1",), {})]:
        with pytest.raises(TypeError):
            semaphore.release(*arguments, **keywords)
    with pytest.raises(ValueError, match="timeout"):
        semaphore.acquire(False, 1)
    with pytest.raises(TypeError):
        semaphore.acquire(True, "soon")
    with pytest.raises(ValueError, match=">= 0"):
        Semaphore(-1)
    full = Semaphore(sys.maxsize)
    with pytest.raises(OverflowError):
        full.release()
    assert full.value == sys.maxsize
    assert Semaphore(0).acquire(False) is False


def test_a_bounded_semaphore_refuses_more_permits_than_it_began_with():
    semaphore = BoundedSemaphore(2)
    with pytest.raises(ValueError, match=r"released too many times.*2 permits.*value=2/2"):
        semaphore.release()
    semaphore.acquire()
    with pytest.raises(ValueError, match="2 more"):
        semaphore.release(2)
    assert semaphore.value == 1
    semaphore.release()
    assert semaphore.value == 2


@BOTH
def test_one_that_is_killed_in_the_turn_it_got_a_permit_passes_it_on(make):
    semaphore, log = make(1), []

    def body(name):
        semaphore.acquire()
        log.append(name)

    semaphore.acquire()
    first, _second = spawn(body, "first"), spawn(body, "second")
    ringlet.schedule()
    semaphore.release()
    first.kill(wait=False)
    settle()
    assert (log, semaphore.value) == (["second"], 0)
    semaphore.release()
    assert semaphore.value == 1


@BOTH
def test_a_time_limit_ends_the_wait_and_takes_nothing(make):
    semaphore = make(1)
    semaphore.acquire()
    with fake_clock() as clock:
        assert semaphore.acquire(timeout=4) is False
        assert clock.now == 4
        assert semaphore.acquire(True, 0) is False
    assert (semaphore.waiting, semaphore.value) == (0, 0)
    semaphore.release()
    assert semaphore.acquire(timeout=4)


def test_a_thread_that_waits_gets_the_next_permit():
    semaphore = Semaphore(0)
    with blocked_thread(semaphore.acquire) as results:
        semaphore.release()
        assert semaphore.acquire(False) is False
    assert results == [True]


def test_statistics_and_representation():
    semaphore = Semaphore(0)
    with fake_clock():
        waiter = spawn(semaphore.acquire)
        ringlet.sleep(3)
        assert repr(semaphore) == f"<sync.Semaphore at {id(semaphore):#x}: value=0, 1 waiting>"
        semaphore.release(2)
        waiter.join()
    assert semaphore.statistics == (1, 1, 3.0, 1)


@given(
    st.integers(0, 3),
    st.lists(st.sampled_from(["take", "try", "release", "kill first", "release and kill"])),
)
def test_a_semaphore_does_what_counting_does(permits, steps):
    semaphore, free, queue, got = Semaphore(permits), permits, [], []

    def body():
        semaphore.acquire()
        got.append(ringlet.current())

    expected = []
    for step in steps:
        if step == "take":
            tasklet = spawn(body)
            settle()
            if free:
                free -= 1
                expected.append(tasklet)
            else:
                queue.append(tasklet)
        elif step == "try":
            assert semaphore.acquire(False) is (free > 0)
            free -= free > 0
        elif step == "kill first" and queue:
            queue.pop(0).kill()
        elif step.startswith("release"):
            semaphore.release()
            if step == "release and kill" and queue:
                queue.pop(0).kill(wait=False)
            if queue:
                expected.append(queue.pop(0))
            else:
                free += 1
        settle()
        assert (semaphore.value, semaphore.waiters, got) == (free, queue, expected)
    for tasklet in queue:
        tasklet.kill()

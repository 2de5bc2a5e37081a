"""Waiting for some or all of several tasklets and futures."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringlet import Cancelled, Future, TaskletError, _core, current, sleep, spawn, timeout, wait
from ringlet.testing import fake_clock


@pytest.fixture(autouse=True)
def clock():
    with fake_clock() as clock:
        yield clock


def test_all_of_them(clock):
    work = [spawn(sleep, seconds) for seconds in (3, 1, 2)]
    assert wait(work) == (work, [])
    assert clock.time() == 3
    assert wait(work) == (work, [])
    assert wait([]) == ([], [])


def test_some_of_them_in_the_order_given(clock):
    slow, quick, middle = (spawn(sleep, seconds) for seconds in (3, 1, 2))
    assert wait([slow, quick, middle], count=1) == ([quick], [slow, middle])
    assert wait([slow, quick, middle], count=2) == ([quick, middle], [slow])
    assert wait([slow, quick], count=0) == ([quick], [slow])
    assert wait([slow, slow, slow], count=9) == ([slow], [])
    assert clock.time() == 3


def test_for_so_long(clock):
    work = [spawn(sleep, seconds) for seconds in (1, 3)]
    assert wait(work, timeout=2) == (work[:1], work[1:])
    assert clock.time() == 2
    assert wait(work, timeout=0) == (work[:1], work[1:])
    assert wait(work, timeout=5) == (work, [])
    assert clock.time() == 3


def test_errors_are_not_its_business(monkeypatch):
    monkeypatch.setattr("ringlet.excepthook", lambda tasklet, error: None)
    work = [spawn(int, "no number"), spawn(sleep, 5)]
    assert wait(work, count=1) == (work[:1], work[1:])
    work[1].cancel()
    assert wait(work) == (work, [])


def test_futures_and_tasklets_together():
    future: Future = Future()
    tasklet = spawn(sleep, 1)
    assert wait([future, tasklet], count=1) == ([tasklet], [future])
    spawn(future.set_result, 1)
    assert wait([future, tasklet]) == ([future, tasklet], [])


def test_it_can_be_cancelled_and_leaves_nothing_behind(clock):
    work = [spawn(sleep, 3), spawn(sleep, 4)]
    with timeout(1, quiet=True) as scope:
        wait(work)
    assert scope.expired
    waiter = spawn(wait, work)
    sleep(1)
    waiter.cancel()
    sleep(0)
    assert isinstance(waiter._error, Cancelled)
    assert wait(work) == (work, [])
    assert clock.time() == 4


def test_it_says_what_it_waits_for():
    work = [spawn(sleep, 3), spawn(sleep, 4)]
    waiter = spawn(wait, work)
    sleep(1)
    assert "the end of 2 more of 2" in repr(waiter)
    waiter.join()


def test_those_of_other_threads():
    def run():
        tasklets.append(spawn(go.wait))
        started.set()
        tasklets[0].join()

    tasklets: list = []
    started, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    spawn(go.set)
    assert wait(tasklets) == (tasklets, [])
    thread.join()


@pytest.mark.parametrize(
    ("arguments", "error"), [({"count": -1}, ValueError), ({"timeout": "1"}, TypeError)]
)
def test_what_makes_no_sense_is_refused(arguments, error):
    with pytest.raises(error):
        wait([], **arguments)


def test_what_is_neither_tasklet_nor_future_is_refused():
    with pytest.raises(TypeError, match="tasklets and futures, not 1"):
        wait([1])


def test_nobody_waits_for_its_own_end():
    with pytest.raises(TaskletError, match="its own end"):
        wait([current()])
    other = spawn(int)
    assert wait([current(), other], count=1) == ([other], [current()])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), max_size=6, unique=True),
    st.none() | st.integers(0, 7),
    st.none() | st.integers(0, 9),
)
def test_the_right_ones_at_the_right_time(seconds, count, limit):
    work = [spawn(sleep, each) for each in seconds]
    before = spawn(sleep, 0)
    before.join()
    start = now()
    done, pending = wait(work, timeout=limit, count=count)
    wanted = len(seconds) if count is None else min(count, len(seconds))
    at = sorted(seconds)[wanted - 1] if wanted else 0
    passed = now() - start
    assert passed == (at if limit is None else min(at, limit))
    # What is due in the very moment of the limit may have ended, or not.
    assert all(one in done for one, each in zip(work, seconds, strict=True) if each < passed)
    assert all(one in pending for one, each in zip(work, seconds, strict=True) if each > passed)
    assert [one for one in work if one in done] == done
    wait(work)


def now():
    return _core.hub().clock.time()

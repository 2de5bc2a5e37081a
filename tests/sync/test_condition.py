"""Condition: who is notified, and that the lock is held again however a wait ends."""

import threading

import pytest

import ringlet
from ringlet import TaskletExit, spawn
from ringlet.sync import Condition, Lock, RLock
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated
from tests.sync.helpers import blocked_thread, settle


class Plain:
    """A lock that has nothing but what every lock has."""

    def __init__(self):
        self._lock = Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *error):
        return self._lock.__exit__(*error)


LOCKS = pytest.mark.parametrize("make", [Lock, RLock, Plain, threading.Lock, threading.RLock])


def waiting(condition, log, name, timeout=None):
    """Wait, and write down how that ended and whether the lock was held then."""
    with condition:
        try:
            log.append((name, condition.wait(timeout)))
        except BaseException as error:
            log.append((name, type(error).__name__, condition._is_owned()))
            raise


@LOCKS
def test_notify_wakes_those_who_have_waited_longest(make):
    condition, log = Condition(make()), []
    tasklets = [spawn(waiting, condition, log, name) for name in "abcd"]
    ringlet.schedule()
    assert condition.waiters == tasklets
    assert tasklets[0].waiting_on is condition
    with condition:
        condition.notify(2)
        condition.notify(0)
    settle()
    assert log == [("a", True), ("b", True)]
    with condition:
        condition.notify_all()
    settle()
    assert log[2:] == [("c", True), ("d", True)]
    assert condition.waiting == 0


def test_nobody_goes_on_before_the_lock_is_free():
    condition, log = Condition(), []
    waiter = spawn(waiting, condition, log, "a")
    ringlet.schedule()
    with condition:
        condition.notify()
        settle()
        assert log == []
        assert waiter.waiting_on is condition._lock
    settle()
    assert log == [("a", True)]


@pytest.mark.parametrize("make", [Lock, RLock, Plain])
def test_who_does_not_hold_the_lock_is_refused(make):
    condition = Condition(make())
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match=r"un-acquired lock: <tasklet main.*has to hold"):
            call()
    with pytest.raises(RuntimeError):
        condition.wait(0)
    assert condition.acquire(False)
    condition.release()


def test_an_rlock_is_released_wholly_and_held_as_often_afterwards():
    lock = RLock()
    condition, log = Condition(lock), []

    def body():
        with lock, lock, lock:
            condition.wait()
            log.append(lock._recursion_count())

    waiter = spawn(body)
    ringlet.schedule()
    assert not lock.locked()
    with condition:
        condition.notify()
    waiter.join()
    assert log == [3]
    assert not lock.locked()


@LOCKS
def test_a_time_limit_ends_the_wait_and_the_lock_is_held(make):
    condition = Condition(make())
    with fake_clock() as clock, condition:
        for seconds, now in [(5, 5), (0, 5), (-1, 5)]:
            assert condition.wait(seconds) is False
            assert condition._is_owned()
            assert clock.now == now
    with condition:
        for wrong in ("1", float("nan")):
            with pytest.raises((TypeError, ValueError)):
                condition.wait(wrong)
        assert condition._is_owned()
    assert condition.waiting == 0


def test_a_wait_without_time_lets_others_have_the_lock():
    condition, log = Condition(Lock()), []

    def other():
        with condition:
            log.append("other")

    with condition:
        tasklet = spawn(other)
        ringlet.schedule()
        condition.wait(0)
        assert log == ["other"]
        assert condition._lock.holder is ringlet.current()
    tasklet.join()


@LOCKS
def test_one_that_is_killed_holds_the_lock_again_when_it_raises(make):
    condition, log = Condition(make()), []
    waiter = spawn(waiting, condition, log, "a")
    ringlet.schedule()
    waiter.kill()
    assert log == [("a", "TaskletExit", True)]
    with condition:
        pass


@LOCKS
def test_a_notification_for_one_that_is_killed_in_the_same_turn_goes_to_the_next(make):
    condition, log = Condition(make()), []
    first, second = (spawn(waiting, condition, log, name) for name in "ab")
    ringlet.schedule()
    with condition:
        condition.notify()
    first.kill(wait=False)
    settle()
    assert log == [("a", "TaskletExit", True), ("b", True)]
    assert second.finished


def test_a_notification_for_one_that_is_killed_before_it_gets_the_lock_goes_to_the_next():
    condition, log = Condition(Lock()), []
    first, second = (spawn(waiting, condition, log, name) for name in "ab")
    ringlet.schedule()
    with condition:
        condition.notify()
        settle()
        assert first.waiting_on is condition._lock
        first.kill(wait=False)
        first.throw(TaskletExit("again"))
        settle()
        assert not first.finished  # It cannot go on without the lock.
    settle()
    assert log == [("a", "TaskletExit", True), ("b", True)]
    assert second.finished


def test_wait_for_waits_until_it_is_true():
    condition, state = Condition(), {"ready": 0}

    def change():
        for _ in range(3):
            with condition:
                state["ready"] += 1
                condition.notify_all()
            ringlet.sleep(1)

    with fake_clock() as clock, condition:
        tasklet = spawn(change)
        assert condition.wait_for(lambda: state["ready"] == 3 and "yes") == "yes"
        assert clock.now == 2
        assert condition.wait_for(lambda: state["ready"] == 3, timeout=0) is True
        assert condition.wait_for(lambda: False, timeout=10) is False
        assert clock.now == 12
        tasklet.join()


def test_threads_wait_and_are_notified():
    condition, log = Condition(), []

    def wait():
        with condition:
            return condition.wait(30)

    with blocked_thread(wait) as results:
        with condition:
            condition.notify()
            log.append(list(results))
    assert (log, results) == ([[]], [True])


def test_a_condition_that_nobody_can_end_is_a_deadlock_and_leaves_the_lock_held():
    run_isolated(
        """
import ringlet
from ringlet.sync import Condition
condition = Condition()
with condition:
    try:
        condition.wait()
    except ringlet.Deadlock as error:
        assert "Condition(<unlocked sync.RLock" in str(error), error
    assert condition._is_owned()
# The lock cannot be had again: that is told too, and not for ever.
stuck = Condition()
def hold():
    with stuck:
        stuck.notify()
        ringlet.Channel().receive()
try:
    with stuck:
        ringlet.spawn(hold)
        stuck.wait()
except RuntimeError as error:
    assert isinstance(error.__context__, ringlet.Deadlock), error
else:
    raise AssertionError
"""
    )


def test_a_foreign_lock_notified_between_its_release_and_the_wait_is_not_waited_for():
    class Hasty(Plain):
        """Whoever releases it is notified by somebody quicker."""

        def _release_save(self):
            condition._notify(1)
            self.release()

    condition = Condition(Hasty())
    with condition:
        assert condition.wait(5) is True


def test_after_a_fork_it_can_be_made_anew():
    condition = Condition()
    waiter = spawn(waiting, condition, [], "a")
    ringlet.schedule()
    spawn(condition.acquire).join()
    condition._at_fork_reinit()
    assert (condition.waiting, condition._lock.locked()) == (0, False)
    waiter.kill()
    assert condition.waiting == 0


def test_statistics_and_representation():
    condition, log = Condition(), []
    with fake_clock():
        waiter = spawn(waiting, condition, log, "a")
        ringlet.sleep(3)
        assert repr(condition) == f"<Condition({condition._lock!r}, 1 waiting)>"
        with condition:
            condition.notify()
        waiter.join()
    assert condition.statistics == (0, 1, 3.0, 1)

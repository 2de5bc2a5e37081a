"""cancel() and time limits on blocks end every wait here, and lose nothing."""

import pytest

import ringlet
from ringlet import Cancelled, Timeout, spawn, timeout
from ringlet.sync import (
    Barrier,
    Condition,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    RLock,
    Semaphore,
)
from ringlet.testing import fake_clock
from tests.sync.helpers import settle


def full(kind):
    items = kind(1)
    items.put(0)
    return items


def held(kind):
    lock = kind()
    spawn(lock.acquire).join()
    return lock


def waiting_on_a_condition(condition):
    with condition:
        condition.wait()


# What is waited for, the call that waits, and the call that gives it.
WAITS = {
    "Lock": (lambda: held(Lock), Lock.acquire, Lock.release),
    "RLock": (lambda: held(RLock), RLock.acquire, None),
    "Semaphore": (lambda: Semaphore(0), Semaphore.acquire, Semaphore.release),
    "Event": (Event, Event.wait, Event.set),
    "Condition": (Condition, waiting_on_a_condition, lambda condition: condition._notify(1)),
    "Barrier": (lambda: Barrier(2), Barrier.wait, Barrier.wait),
    "empty Queue": (Queue, Queue.get, lambda items: items.put(1)),
    "empty LifoQueue": (LifoQueue, LifoQueue.get, lambda items: items.put(1)),
    "empty PriorityQueue": (PriorityQueue, PriorityQueue.get, lambda items: items.put(1)),
    "full Queue": (lambda: full(Queue), lambda items: items.put(1), Queue.get),
    "unfinished Queue": (lambda: full(Queue), Queue.join, Queue.task_done),
}
EVERYTHING = pytest.mark.parametrize("name", WAITS)
ALL_THAT_IS_GIVEN = pytest.mark.parametrize(
    "name", [name for name, (_, _, give) in WAITS.items() if give is not None]
)


def count_waiting(thing):
    return thing.n_waiting if isinstance(thing, Barrier) else thing.waiting


@EVERYTHING
def test_a_time_limit_on_a_block_ends_the_wait(name):
    make, wait, _ = WAITS[name]
    thing = make()
    with fake_clock() as clock:
        with pytest.raises(Timeout) as caught, timeout(3) as scope:
            wait(thing)
        assert caught.value.scope is scope
        assert clock.now == 3
    assert count_waiting(thing) == 0


@EVERYTHING
def test_cancel_ends_the_wait(name):
    make, wait, _ = WAITS[name]
    thing = make()
    tasklet = spawn(wait, thing)
    ringlet.schedule()
    assert count_waiting(thing) == 1
    tasklet.cancel()
    with pytest.raises(Cancelled):
        tasklet.result()
    assert count_waiting(thing) == 0


@ALL_THAT_IS_GIVEN
def test_what_was_given_before_a_cancel_in_the_same_turn_is_kept(name):
    make, wait, give = WAITS[name]
    thing, log = make(), []

    def body():
        wait(thing)
        log.append("given")
        ringlet.schedule()
        log.append("not cancelled")

    tasklet = spawn(body)
    ringlet.schedule()
    give(thing)
    tasklet.cancel()
    settle()
    assert log == ["given"]


def test_the_lock_of_a_condition_is_held_again_whenever_a_time_limit_comes():
    condition, log = Condition(Lock()), []

    def holder():
        with condition:
            condition.notify()
            ringlet.sleep(10)

    def waiter():
        try:
            with timeout(3), condition:
                condition.wait()
                log.append((condition._lock.holder is ringlet.current(), clock.now))
                ringlet.sleep(0)
                log.append("not reached")
        except Timeout:
            log.append((condition._lock.holder is ringlet.current(), clock.now))

    with fake_clock() as clock:
        for tasklet in [spawn(waiter), spawn(holder)]:
            tasklet.join()
    assert log == [(True, 10), (False, 10)]


def test_a_lock_cannot_be_had_where_nobody_may_wait():
    """A condition tells so instead of trying for ever."""
    condition = Condition(Lock())
    said = []

    def in_hub():
        try:
            with condition:
                condition.wait()
        except RuntimeError as error:
            said.append(error)

    ringlet._core.hub().call_soon(in_hub)
    ringlet.sleep(0.001)
    assert "in the hub" in str(said[0])
    assert condition.acquire(False)
    condition.release()

"""Lock and RLock: who holds them, who is next, and what is never lost."""

import gc
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringlet
from ringlet import TaskletExit, spawn
from ringlet.sync import Lock, RLock
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated
from tests.sync.helpers import blocked_thread, in_thread, settle

BOTH = pytest.mark.parametrize("make", [Lock, RLock])


def holding(lock, log, name, gate=None):
    """Take the lock, write that down, and release it when `gate` is set."""
    with lock:
        log.append(name)
        if gate is not None:
            gate.receive()


# --- Taking and releasing -------------------------------------------------------------------------


@BOTH
def test_a_free_lock_is_taken_at_once_and_knows_its_holder(make):
    lock = make()
    assert (lock.locked(), lock.holder, lock.waiting) == (False, None, 0)
    assert lock.acquire() is True
    assert (lock.locked(), lock.holder) == (True, ringlet.current())
    assert lock.release() is None
    assert (lock.locked(), lock.holder) == (False, None)
    with lock as entered:
        assert entered is True
        assert lock.locked()
    assert not lock.locked()


@BOTH
def test_those_who_wait_get_it_in_the_order_they_came(make):
    lock, log = make(), []
    lock.acquire()
    tasklets = [spawn(holding, lock, log, name) for name in "abc"]
    ringlet.schedule()
    assert lock.waiters == tasklets
    assert lock.waiting == 3
    assert all(tasklet.waiting_on is lock for tasklet in tasklets)
    lock.release()
    settle()
    assert log == ["a", "b", "c"]
    assert not lock.locked()


@BOTH
def test_a_release_hands_it_over_so_that_nobody_can_come_before(make):
    lock, log = make(), []
    lock.acquire()
    first = spawn(holding, lock, log, "first")
    ringlet.schedule()
    lock.release()
    assert lock.holder is first
    assert in_thread(lambda: lock.acquire(False)) is False
    assert lock.acquire(False) is False
    lock.acquire()
    assert log == ["first"]
    lock.release()


@BOTH
@pytest.mark.parametrize("free", [True, False])
def test_acquire_takes_the_arguments_of_threading(make, free):
    lock = make()
    if not free:
        spawn(lock.acquire).join()
    with fake_clock():
        for arguments in [(False,), (0,), (True, 0), (True, 2.5), (False, -1)]:
            assert lock.acquire(*arguments) is free
            if free:
                lock.release()
        for keywords in [{"blocking": False}, {"timeout": 1}, {"blocking": True, "timeout": 1}]:
            assert lock.acquire(**keywords) is free
            if free:
                lock.release()
    if free:
        assert lock.acquire(True, -1)
        assert make().acquire(True)
        assert make().acquire(timeout=None)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((False, 1), ValueError),
        ((False, 0), ValueError),
        ((True, -2), ValueError),
        ((True, float("nan")), ValueError),
        ((True, threading.TIMEOUT_MAX * 2), OverflowError),
        ((True, "1"), TypeError),
        ((True, 1, 1), TypeError),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(make, arguments, error):
    lock = make()
    with pytest.raises(error):
        lock.acquire(*arguments)
    assert not lock.locked()
    assert lock.statistics.acquisitions == 0


@BOTH
def test_a_time_limit_ends_the_wait_and_not_before(make):
    lock = make()
    spawn(lock.acquire).join()
    with fake_clock() as clock:
        assert lock.acquire(timeout=3) is False
        assert clock.now == 3
    assert lock.waiting == 0
    assert lock.statistics.contentions == 1


@BOTH
def test_one_that_gets_it_when_its_time_is_over_has_it(make):
    lock, got = make(), []
    with fake_clock() as clock:
        lock.acquire()
        waiter = spawn(lambda: got.append(lock.acquire(timeout=3)))
        ringlet.schedule()
        lock.release()
        clock.advance(5)
        waiter.join()
    assert got == [True]
    assert lock.holder is waiter


# --- Errors ---------------------------------------------------------------------------------------


def test_a_free_lock_cannot_be_released():
    for lock in (Lock(), RLock()):
        with pytest.raises(RuntimeError, match=r"release un.*lock.*0x"):
            lock.release()
        assert not lock.locked()


def test_anybody_may_release_a_lock_and_nobody_else_an_rlock():
    lock, rlock = Lock(), RLock()
    lock.acquire()
    rlock.acquire()
    assert spawn(lock.release).result() is None
    assert not lock.locked()
    with pytest.raises(RuntimeError, match=r"un-acquired lock.*main.*is not held by <tasklet"):
        spawn(rlock.release).result()
    assert isinstance(in_thread(rlock.release), RuntimeError)
    assert rlock.holder is ringlet.current()
    rlock.release()


def test_a_deadlock_names_the_lock_and_its_holder_which_may_have_ended():
    run_isolated(
        """
import ringlet
from ringlet.sync import Lock
lock = Lock()
lock.acquire()
try:
    lock.acquire()
except ringlet.Deadlock as error:
    assert f"Lock object at {id(lock):#x}, held by tasklet main" in str(error), error
assert lock.waiting == 0
lock.release()
holder = ringlet.spawn(lock.acquire)
holder.name = "careless"
holder.join()
try:
    lock.acquire()
except ringlet.Deadlock as error:
    assert "held by tasklet careless" in str(error) and "which has ended" in str(error), error
else:
    raise AssertionError
"""
    )


def test_a_holder_that_has_ended_is_still_named():
    lock = Lock()
    holder = spawn(lock.acquire)
    holder.name = "careless"
    holder.join()
    assert lock.holder is holder
    assert f"held by tasklet careless at {id(holder):#x}, which has ended" in repr(lock)


# --- RLock ----------------------------------------------------------------------------------------


def test_its_holder_may_take_an_rlock_again_and_releases_it_as_often():
    lock, log = RLock(), []
    with lock:
        with lock:
            assert lock.acquire(False)
            waiter = spawn(holding, lock, log, "waiter")
            settle()
            lock.release()
            assert lock.acquire(timeout=5)
            lock.release()
        settle()
        assert (lock.holder, log) == (ringlet.current(), [])
    assert lock.holder is waiter
    waiter.join()
    assert log == ["waiter"]
    assert lock.statistics.acquisitions == 2


def test_a_tasklet_holds_an_rlock_not_its_thread():
    lock = RLock()
    with lock:
        assert spawn(lock.acquire, False).result() is False


def test_who_took_a_lock_before_using_the_scheduler_holds_it_afterwards():
    run_isolated(
        """
import ringlet
from ringlet import _core
from ringlet.sync import Lock, RLock
lock, rlock = Lock(), RLock()
lock.acquire(), rlock.acquire()
assert not _core.has_ring()
assert lock.holder.startswith("thread ") and "held by thread" in repr(lock)
assert rlock.acquire(False) and rlock._recursion_count() == 2
ringlet.schedule()
assert lock.holder is rlock.holder is ringlet.main()
assert ringlet.spawn(rlock._is_owned).result() is False
rlock.release(), rlock.release(), lock.release()
assert not (lock.locked() or rlock.locked())
"""
    )


# --- What ends a wait -----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_anybody_may_leave_the_queue(make, leaver):
    lock, log = make(), []
    lock.acquire()
    tasklets = [spawn(holding, lock, log, name) for name in "abc"]
    ringlet.schedule()
    tasklets.pop(leaver).kill()
    assert lock.waiters == tasklets
    lock.release()
    settle()
    assert log == [name for number, name in enumerate("abc") if number != leaver]
    assert not lock.locked()


@BOTH
def test_one_that_is_killed_in_the_turn_it_got_the_lock_passes_it_on(make):
    lock, log = make(), []
    lock.acquire()
    first, second, third = (spawn(holding, lock, log, name) for name in "abc")
    ringlet.schedule()
    lock.release()
    assert lock.holder is first
    first.kill(wait=False)
    second.kill(wait=False)
    settle()
    assert log == ["c"]
    assert not lock.locked()
    assert third.finished


def test_one_that_lost_a_lock_before_it_was_killed_releases_nobody_elses():
    lock, killed = Lock(), []
    lock.acquire()

    def taker():
        try:
            lock.acquire()
        except TaskletExit:
            killed.append(lock.holder)
            raise

    tasklet = spawn(taker)
    ringlet.schedule()
    lock.release()
    lock.release()
    assert lock.acquire(False)
    tasklet.kill()
    assert killed == [ringlet.current()]
    assert lock.holder is ringlet.current()


def test_a_lock_cannot_be_waited_for_in_the_hub_but_taken():
    lock, said = Lock(), []

    def in_hub():
        said.append(lock.acquire(False))
        try:
            lock.acquire()
        except ringlet.TaskletError as error:
            said.append(str(error))
        lock.release()

    ringlet._core.hub().call_soon(in_hub)
    ringlet.sleep(0.001)
    assert said[0] is True
    assert "in the hub" in said[1]
    assert (lock.locked(), lock.waiting) == (False, 0)


# --- Threads --------------------------------------------------------------------------------------


@BOTH
def test_a_thread_gets_a_lock_within_ten_releases_of_a_tasklet_that_loops(make):
    lock, releases, seen = make(), [], []

    def take():
        with lock:
            seen.append(len(releases))

    lock.acquire()
    with blocked_thread(take):
        assert lock.waiting == 1
        while not seen and len(releases) < 1000:
            lock.release()
            releases.append(1)
            lock.acquire()
        lock.release()
    assert seen
    assert seen[0] <= 10


@BOTH
def test_threads_and_tasklets_share_a_lock_and_nobody_is_in_it_with_another(make):
    lock, inside, log = make(), [], []

    def work(name, rounds=40):
        for turn in range(rounds):
            with lock:
                inside.append(name)
                if turn % 3 == 0:
                    ringlet.schedule()
                log.append(len(inside))
                inside.pop()

    def thread():
        for tasklet in [spawn(work, object()) for _ in range(3)]:
            tasklet.join()

    threads = [threading.Thread(target=thread) for _ in range(3)]
    for each in threads:
        each.start()
    thread()
    for each in threads:
        each.join(30)
    assert log == [1] * (4 * 3 * 40)
    assert (lock.locked(), lock.waiting) == (False, 0)
    assert lock.statistics.acquisitions == 4 * 3 * 40


def test_a_thread_that_waits_is_woken_by_a_release_elsewhere():
    lock = Lock()
    lock.acquire()
    with blocked_thread(lambda: lock.acquire(timeout=30)) as results:
        lock.release()
    assert results == [True]
    assert lock.holder.finished


# --- What can be seen -----------------------------------------------------------------------------


@BOTH
def test_statistics_tell_how_contended_it_was(make):
    lock = make()
    assert lock.statistics == (0, 0, 0.0, 0)
    with fake_clock():
        lock.acquire()
        tasklets = [spawn(holding, lock, [], name) for name in "ab"]
        ringlet.sleep(7)
        lock.release()
        for tasklet in tasklets:
            tasklet.join()
    seen = lock.statistics
    assert (seen.acquisitions, seen.contentions, seen.most_waiting) == (3, 2, 2)
    assert seen.longest_wait == 7


@BOTH
def test_a_representation_says_who_holds_it_and_how_many_wait(make):
    lock = make()
    assert repr(lock) == f"<unlocked sync.{make.__name__} object at {id(lock):#x}>"
    lock.acquire()
    waiter = spawn(lock.acquire)
    ringlet.schedule()
    assert repr(lock) == (
        f"<locked sync.{make.__name__} object at {id(lock):#x}, "
        f"held by tasklet main at {id(ringlet.main()):#x}, 1 waiting>"
    )
    assert repr(lock) in repr(waiter)
    waiter.kill()
    lock.release()


@BOTH
def test_locks_are_collected_with_the_cycles_they_are_in(make):
    def make_cycle():
        lock = make()
        holder = spawn(lambda: lock.acquire() and lock)
        assert holder.result().holder is holder
        return weakref.ref(lock)

    gone = make_cycle()
    gc.collect()
    assert gone() is None


@BOTH
def test_subclasses_may_have_an_acquire_of_their_own(make):
    calls = []

    class Mine(make):
        def acquire(self, *args, **kwargs):
            calls.append((args, kwargs))
            return super().acquire(*args, **kwargs)

    lock = Mine()
    assert lock.acquire(timeout=1)
    assert calls == [((), {"timeout": 1})]
    assert repr(lock).startswith("<locked test_lock.")


# --- fork -----------------------------------------------------------------------------------------

FORK = """
import os, threading, ringlet
from ringlet.sync import Lock
lock, gate = Lock(), threading.Event()
{hold}
child = os.fork()
if child == 0:
    status = 1
    try:
        assert lock.locked() and lock.waiting == {left}, lock
        assert not lock.acquire(False)
        lock._at_fork_reinit()
        assert not lock.locked() and lock.acquire(False)
        assert lock.holder is ringlet.current()
        other = ringlet.spawn(lock.acquire)
        ringlet.schedule()
        lock.release()
        other.join()
        assert lock.holder is other
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
{free}
"""


def test_in_a_forked_child_a_lock_of_another_tasklet_stays_held_and_can_be_made_anew():
    hold = """
ringlet.spawn(lock.acquire).join()
waiters = [ringlet.spawn(lock.acquire) for _ in range(2)]
ringlet.schedule()
assert lock.waiting == 2
"""
    free = "[waiter.kill() for waiter in waiters]"
    run_isolated(FORK.format(hold=hold, left=0, free=free))


def test_waiters_of_threads_that_a_fork_leaves_behind_get_nothing():
    run_isolated(
        """
import os, threading, ringlet, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from ringlet.sync import Lock
lock, waits = Lock(), threading.Event()
lock.acquire()
def body():
    ringlet.spawn(waits.set)
    lock.acquire()
    lock.release()
thread = threading.Thread(target=body)
thread.start()
waits.wait()
child = os.fork()
if child == 0:
    status = 1
    try:
        mine = ringlet.spawn(lock.acquire)
        ringlet.schedule()
        lock.release()
        mine.join()
        assert lock.holder is mine
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
lock.release()
thread.join()
"""
    )


# --- A model --------------------------------------------------------------------------------------

NAMES = range(4)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "try", "limit", "release", "kill", "settle", "foreign release"]),
        st.sampled_from(NAMES),
    ),
    max_size=40,
)


class Actor:
    """A tasklet that takes and releases a lock as it is told."""

    def __init__(self, lock):
        self.lock, self.orders, self.said = lock, ringlet.Channel(buffer=None), None
        self.tasklet = spawn(self.run)

    def run(self):
        for order in self.orders:
            self.said = None
            self.said = order()


@given(STEPS)
def test_a_lock_does_what_a_queue_of_names_does(steps):
    lock = Lock()
    actors = {name: Actor(lock) for name in NAMES}
    settle()
    holder, queue, dead = None, [], set()

    def pass_on():
        nonlocal holder
        holder = queue.pop(0) if queue else None

    with fake_clock():
        for step, name in steps:
            actor = actors[name]
            idle = name not in queue and name not in dead
            if step in ("take", "limit") and idle and holder != name:
                limit = {"timeout": 1000.0} if step == "limit" else {}
                actor.orders.send(lambda limit=limit: lock.acquire(**limit))
                settle()
                if holder is None:
                    holder = name
                    assert actor.said is True
                else:
                    queue.append(name)
                    assert actor.said is None
            elif step == "try" and idle:
                actor.orders.send(lambda: lock.acquire(False))
                settle()
                assert actor.said is (holder is None)
                if holder is None:
                    holder = name
            elif step == "release" and holder == name and name not in dead:
                actor.orders.send(lock.release)
                settle()
                pass_on()
            elif step == "foreign release" and holder is not None:
                lock.release()
                pass_on()
                # In the very turn, before it has run.
                if holder is not None and (name + holder) % 2:
                    actors[holder].tasklet.kill(wait=False)
                    dead.add(holder)
                    settle()
                    pass_on()
                settle()
                assert holder is None or actors[holder].said is True
            elif step == "kill" and name not in dead and holder != name:
                actor.tasklet.kill()
                dead.add(name)
                if name in queue:
                    queue.remove(name)
            settle()
            assert lock.holder is (None if holder is None else actors[holder].tasklet)
            assert lock.waiters == [actors[other].tasklet for other in queue]
        for actor in actors.values():
            actor.tasklet.kill()

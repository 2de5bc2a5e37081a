"""What tasklets wait for in queues of the core: every way out of a queue, and nothing leaked."""

import gc
from collections import deque

import pytest

from ringlet import TaskletExit, _core
from ringlet._core import schedule, spawn

KINDS = ("Lock", "RLock", "Semaphore", "Event", "Condition", "Queue getters", "Queue putters")


class Thing:
    """Something of each kind that is waited for and given in the same way."""

    def __init__(self, kind):
        self.object = getattr(_core, kind.partition(" ")[0])()
        self.lock = self.act = None
        if kind == "Condition":
            self.lock = self.object._lock = _core.Lock()
            self.give = lambda: self.object._notify(1)
        elif kind.startswith("Queue"):
            self.object._keep(deque(), deque.append, deque.popleft, _core.Lock(), False)
            self.act = self.object.get
            self.give = lambda: self.object.put("item")
            if kind == "Queue putters":
                self.object.maxsize = 1
                self.object.put("first")
                self.act = lambda: self.object.put("item")
                self.give = self.object.get
        elif kind == "Event":
            self.give = self.object.set
        elif kind == "RLock":
            self.object.acquire()
            self.give = self.release_own
        else:
            self.object.acquire()
            self.give = self.object.release

    def release_own(self):
        """Only its holder may release an RLock: each releases it when it has got it."""
        if self.object.holder is _core.current():
            self.object.release()

    def wait(self, log, name):
        try:
            if self.lock is not None:
                self.lock.acquire()
                self.object._park([])
            elif self.act is not None:
                self.act()
            elif isinstance(self.object, _core.Event):
                self.object.wait()
            else:
                self.object.acquire()
        except BaseException as error:
            log.append((name, type(error).__name__))
        else:
            log.append((name, "given"))
            if isinstance(self.object, _core.RLock):
                self.object.release()


def settle():
    while any(tasklet.state == "ready" for tasklet in _core.living()):
        schedule()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_anybody_may_leave_a_queue(kind, leaver):
    thing, log = Thing(kind), []
    tasklets = [spawn(thing.wait, log, number) for number in range(3)]
    schedule()
    assert thing.object.waiters == tasklets
    _core.throw(tasklets.pop(leaver), TaskletExit())
    assert thing.object.waiters == tasklets
    assert thing.object.waiting == 2
    for _ in range(2):
        thing.give()
        settle()
    others = [number for number in range(3) if number != leaver]
    assert sorted(log) == sorted([(leaver, "TaskletExit"), *((n, "given") for n in others)])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Event"])
def test_what_is_given_to_one_that_is_thrown_at_goes_to_the_next(kind):
    thing, log = Thing(kind), []
    tasklets = [spawn(thing.wait, log, number) for number in range(3)]
    schedule()
    thing.give()
    _core.throw(tasklets[0], TaskletExit())
    settle()
    assert log[:2] == [(0, "TaskletExit"), (1, "given")]
    thing.give()
    settle()
    assert log[2:] == [(2, "given")]


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_already_told_to_end_does_not_queue_up(kind):
    thing, log = Thing(kind), []
    tasklet = spawn(lambda: (schedule(), thing.wait(log, 0)))
    schedule()
    _core.throw(tasklet, KeyError("first"))
    settle()
    assert (thing.object.waiting, thing.object.waiters) == (0, [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_greenlet_that_is_thrown_at_by_hand_leaves_the_queue(kind):
    thing, log = Thing(kind), []
    tasklet = spawn(thing.wait, log, "thrown at")
    schedule()
    with pytest.raises(_core.GreenletError, match="parked"):
        tasklet.greenlet.switch()
    tasklet.greenlet.throw(KeyError("by hand"))
    assert log == [("thrown at", "KeyError")]
    assert thing.object.waiting == 0
    settle()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_last_reference_to_a_holder_may_be_the_locks(kind):
    said = []

    class Result:
        def __del__(self):
            said.append(lock.locked())

    lock = getattr(_core, kind)()

    def hold():
        lock.acquire()
        return Result()

    tasklet = spawn(hold)
    settle()
    del tasklet
    gc.collect()
    assert said == []
    lock._at_fork_reinit()
    assert said == [False]
    lock.acquire()
    lock.release()


def test_a_condition_needs_a_lock_of_its_own_that_is_held():
    condition = _core.Condition()
    for lock in (None, object(), _core.Lock()):
        condition._lock = lock
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            condition._park([])
    with pytest.raises(TypeError):
        condition._park("ticket")
    assert condition.waiting == 0


def test_wrong_arguments_change_nothing():
    lock, semaphore = _core.RLock(), _core.Semaphore()
    with pytest.raises(TypeError):
        lock._acquire_restore("1")
    with pytest.raises(ValueError, match="at least once"):
        lock._acquire_restore(0)
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock._release_save()
    with pytest.raises(AttributeError):
        lock.acquire(True, 1)  # time limits are the subclass's
    assert not lock.locked()
    for wrong in (2**70, "1"):
        with pytest.raises((OverflowError, TypeError)):
            semaphore._reset(wrong)
    assert semaphore.value == 1


def test_a_clock_that_fails_keeps_nobody_from_what_it_was_given(monkeypatch):
    said = []
    lock, log, hub = _core.Lock(), [], _core.hub()
    real = hub.clock

    class Broken:
        def time(self):
            raise LookupError("no time")

    lock.acquire()
    waiter = spawn(lambda: log.append(lock.acquire()))
    schedule()
    hub.clock = Broken()
    try:
        with monkeypatch.context() as patch:
            patch.setattr("sys.unraisablehook", lambda seen: said.append(type(seen.exc_value)))
            lock.release()
            settle()
        with pytest.raises(LookupError):
            lock.acquire()
    finally:
        hub.clock = real
    assert log == [True]
    assert lock.holder is waiter
    assert said == [LookupError]
    assert lock.waiting == 0


def test_a_queue_gives_back_what_its_container_and_hooks_hold():
    class Hooked(_core.Queue):
        def __init__(self):
            self._keep(None, None, None, _core.Lock(), True)
            self.mine = []

        def _qsize(self):
            return len(self.mine)

        def _put(self, item):
            if item == "wrong":
                raise KeyError(item)
            self.mine.append(item)

        def _get(self):
            return self.mine.pop()

    items, log = Hooked(), []
    with pytest.raises(KeyError):
        items.put("wrong")
    assert items.unfinished_tasks == 0
    getter = spawn(lambda: log.append(items.get()))
    schedule()
    items.mutex.acquire()
    putter = spawn(items.put, "item")
    schedule()
    assert putter.waiting_on is items.mutex
    items.mutex.release()
    settle()
    assert log == ["item"]
    assert getter.finished
    items.put(items)
    with pytest.raises(TypeError):
        items._keep(None, None, None, object(), True)
    bare = _core.Queue()
    for call in (bare.get, lambda: bare.put(1), lambda: bare._try_get(None)):
        with pytest.raises(RuntimeError, match="__init__"):
            call()


def test_what_was_promised_to_one_that_is_kept_from_the_container_goes_to_the_next():
    items, log = _core.Queue(), []
    items._keep([], list.append, list.pop, _core.Lock(), True)

    def getting(name):
        try:
            log.append((name, items.get()))
        except KeyError:
            log.append((name, "KeyError"))

    first, second = spawn(getting, "first"), spawn(getting, "second")
    schedule()
    items.put("item")
    items.mutex.acquire()
    settle()
    assert first.waiting_on is items.mutex
    _core.throw(first, KeyError("stop"))
    settle()
    items.mutex.release()
    settle()
    assert log == [("first", "KeyError"), ("second", "item")]
    assert second.finished

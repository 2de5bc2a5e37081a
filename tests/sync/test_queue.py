"""Queues: who gets what, in which order, and that nothing is lost by one that is stopped."""

import gc
import heapq
import queue
import sys
import threading
import weakref
from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringlet
from ringlet import spawn
from ringlet.sync import (
    Empty,
    Full,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated
from tests.sync.helpers import PATIENCE, blocked_thread, settle


class Hooked(Queue):
    """Keeps its items in its own way: the same way."""

    def _init(self, maxsize):
        self.mine = []

    def _qsize(self):
        return len(self.mine)

    def _put(self, item):
        assert self.mutex.holder is ringlet.current()
        self.mine.append(item)

    def _get(self):
        assert self.mutex.holder is ringlet.current()
        return self.mine.pop(0)


KINDS = [Queue, LifoQueue, PriorityQueue, Hooked]
ALL = pytest.mark.parametrize("make", KINDS)


def getting(items, log, name):
    """Get an item, and write down how that ended."""
    try:
        log.append((name, items.get()))
    except BaseException as error:
        log.append((name, type(error).__name__))
        raise


def putting(items, log, item):
    """Put an item, and write down how that ended."""
    try:
        items.put(item)
    except BaseException as error:
        log.append((item, type(error).__name__))
        raise
    log.append((item, "put"))


# --- Order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (SimpleQueue, [2, 3, 1]),
        (Queue, [2, 3, 1]),
        (Hooked, [2, 3, 1]),
        (LifoQueue, [1, 3, 2]),
        (PriorityQueue, [1, 2, 3]),
    ],
)
def test_each_kind_has_its_order(make, order):
    items = make()
    assert items.empty()
    for item in (2, 3, 1):
        items.put(item)
    assert items.qsize() == 3
    assert not items.empty()
    assert [items.get(), items.get_nowait(), items.get(False)] == order
    assert items.empty()


@ALL
def test_those_who_wait_get_theirs_in_the_order_they_came(make):
    items, log = make(), []
    tasklets = [spawn(getting, items, log, name) for name in "abc"]
    ringlet.schedule()
    assert items.waiters == tasklets
    assert tasklets[0].waiting_on is items
    for item in (1, 2):
        items.put(item)
    assert items.waiting == 1
    assert items.qsize() == 0  # both are promised: nobody else can have them
    with pytest.raises(Empty):
        items.get_nowait()
    settle()
    assert {item for _, item in log} == {1, 2}
    assert [name for name, _ in log] == ["a", "b"]
    items.put(3)
    settle()
    assert log[2] == ("c", 3)


@ALL
def test_those_who_wait_to_put_do_so_in_the_order_they_came(make):
    items, log = make(1), []
    items.put(0)
    assert items.full()
    tasklets = [spawn(putting, items, log, item) for item in (1, 2, 3)]
    ringlet.schedule()
    assert (items.waiters, items.waiting) == (tasklets, 3)
    got = [items.get()]
    with pytest.raises(Full):
        items.put_nowait("thief")  # the place is promised
    for _ in range(3):
        settle()
        got.append(items.get())
    settle()
    assert got == [0, 1, 2, 3]
    assert log == [(1, "put"), (2, "put"), (3, "put")]
    assert items.empty()


# --- Arguments and time ---------------------------------------------------------------------------


@ALL
def test_calls_that_must_not_wait_raise_the_standard_librarys_errors(make):
    items = make(1)
    for call in (items.get_nowait, lambda: items.get(False), lambda: items.get(timeout=0)):
        with pytest.raises(queue.Empty, match="nothing in"):
            call()
    items.put(1, block=False)
    for call in (
        lambda: items.put_nowait(2),
        lambda: items.put(2, False),
        lambda: items.put(2, timeout=0),
    ):
        with pytest.raises(queue.Full, match="no place in"):
            call()
    assert items.get(block=True, timeout=3) == 1


@ALL
def test_a_time_limit_ends_the_wait_and_nothing_was_done(make):
    items = make(1)
    with fake_clock() as clock:
        with pytest.raises(Empty):
            items.get(timeout=3)
        items.put(1, True, 3)
        with pytest.raises(Full):
            items.put(2, True, 4)
        assert clock.now == 7
    assert (items.qsize(), items.waiting, items.unfinished_tasks) == (1, 0, 1)


@ALL
def test_wrong_arguments_are_refused(make):
    items = make()
    with pytest.raises(ValueError, match="non-negative"):
        items.get(timeout=-1)
    with pytest.raises(ValueError, match="non-negative"):
        items.put(1, timeout=-1)
    for call in (items.put, lambda: items.put(1, 2, 3, 4), lambda: items.get(1, 2, 3)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        items.get(timeout="1")
    assert items.empty()


# --- Being stopped --------------------------------------------------------------------------------


@ALL
def test_an_item_for_one_that_is_killed_in_the_same_turn_goes_to_the_next(make):
    items, log = make(), []
    first, _second = spawn(getting, items, log, "a"), spawn(getting, items, log, "b")
    ringlet.schedule()
    items.put(1)
    first.kill(wait=False)
    settle()
    assert log == [("a", "TaskletExit"), ("b", 1)]
    third = spawn(getting, items, log, "c")
    ringlet.schedule()
    items.put(2)
    third.kill()
    assert items.get_nowait() == 2


@ALL
def test_a_place_for_one_that_is_killed_in_the_same_turn_goes_to_the_next(make):
    items, log = make(1), []
    items.put(0)
    first, _second = spawn(putting, items, log, 1), spawn(putting, items, log, 2)
    ringlet.schedule()
    assert items.get() == 0
    first.kill(wait=False)
    settle()
    assert log == [(1, "TaskletExit"), (2, "put")]
    assert items.get() == 2
    assert items.unfinished_tasks == 2


@ALL
def test_one_that_is_killed_while_it_waits_leaves_the_queue(make):
    items, log = make(1), []
    getters = [spawn(getting, items, log, name) for name in "ab"]
    ringlet.schedule()
    getters[0].kill()
    assert items.waiters == getters[1:]
    items.put(1)
    settle()
    items.put(2)
    putter = spawn(putting, items, log, 3)
    ringlet.schedule()
    putter.kill()
    assert (items.waiting, items.qsize()) == (0, 1)


# --- Tasks ----------------------------------------------------------------------------------------


@ALL
def test_join_waits_until_all_tasks_are_done(make):
    items, log = make(), []
    items.join()

    def worker():
        while True:
            item = items.get()
            ringlet.schedule()
            log.append(item)
            items.task_done()

    for item in range(4):
        items.put(item)
    assert items.unfinished_tasks == 4
    tasklet = spawn(worker)
    items.join()
    assert sorted(log) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="too many times"):
        items.task_done()
    tasklet.kill()


# --- Shutting down --------------------------------------------------------------------------------


def test_the_exception_is_the_standard_librarys_where_it_has_one():
    assert ShutDown is getattr(queue, "ShutDown", ShutDown)
    assert hasattr(queue, "ShutDown") is (sys.version_info >= (3, 13))


@ALL
def test_after_shutdown_what_is_left_can_be_got_and_nothing_put(make):
    items = make()
    items.put(1)
    items.shutdown()
    assert items.is_shutdown
    for call in (lambda: items.put(2), lambda: items.put_nowait(2), lambda: items.put(2, True, 1)):
        with pytest.raises(ShutDown, match="cannot put into"):
            call()
    assert items.get() == 1
    for call in (items.get, items.get_nowait, lambda: items.get(timeout=1)):
        with pytest.raises(ShutDown, match="nothing is left"):
            call()
    items.shutdown()


@ALL
def test_shutdown_ends_all_waits(make):
    items, log = make(1), []
    getters = [spawn(getting, items, log, name) for name in "ab"]
    ringlet.schedule()
    items.shutdown()
    assert [type(_end(tasklet)) for tasklet in getters] == [ShutDown] * 2
    items = make(1)
    items.put(0)
    putters = [spawn(putting, items, log, item) for item in (1, 2)]
    ringlet.schedule()
    items.shutdown()
    assert [type(_end(tasklet)) for tasklet in putters] == [ShutDown] * 2
    assert (items.get(), items.waiting) == (0, 0)


def _end(tasklet):
    """The exception that ends a tasklet."""
    try:
        return tasklet.result()
    except Exception as error:
        return error


@ALL
def test_an_immediate_shutdown_drops_the_items_and_lets_join_end(make):
    items = make()
    for item in range(3):
        items.put(item)
    items.get()
    joiner = spawn(items.join)
    ringlet.schedule()
    items.shutdown(immediate=True)
    assert items.unfinished_tasks == 1  # the one that was got is still somebody's
    settle()
    assert not joiner.finished
    items.task_done()
    joiner.join()
    with pytest.raises(ShutDown):
        items.get()


@ALL
def test_a_promised_item_that_an_immediate_shutdown_drops_is_not_got(make):
    items, log = make(), []
    getter = spawn(getting, items, log, "a")
    ringlet.schedule()
    items.put(1)
    items.shutdown(immediate=True)
    assert isinstance(_end(getter), ShutDown)
    items.join()


# --- As users know it -----------------------------------------------------------------------------


def test_the_items_can_be_seen_and_cleared_holding_the_mutex():
    items, log = Queue(2), []
    for item in (1, 2):
        items.put(item)
    assert isinstance(items.queue, deque)
    getter = spawn(getting, items, log, "a")
    with items.mutex:
        ringlet.schedule()
        assert getter.waiting_on is items.mutex
        items.queue.clear()
    settle()
    assert getter.waiting_on is items
    items.put(3)
    settle()
    assert log == [("a", 3)]


def test_clearing_what_was_promised_makes_its_getter_wait_again():
    items, log = Queue(), []
    getter = spawn(getting, items, log, "a")
    ringlet.schedule()
    items.put(1)
    items.queue.clear()
    settle()
    assert getter.waiting_on is items
    items.put(2)
    getter.join()
    assert log == [("a", 2)]


def test_items_whose_comparison_blocks_or_raises_keep_the_others_out():
    class Slow:
        def __init__(self, rank):
            self.rank = rank

        def __lt__(self, other):
            ringlet.schedule()
            return self.rank < other.rank

    items = PriorityQueue()
    for tasklet in [spawn(items.put, Slow(rank)) for rank in (3, 1, 4, 1, 5, 9, 2, 6)]:
        tasklet.join()
    getters = [spawn(items.get) for _ in range(8)]
    assert sorted(tasklet.result().rank for tasklet in getters) == [1, 1, 2, 3, 4, 5, 6, 9]
    items.put(1)
    with pytest.raises(TypeError):
        items.put("not a number")
    assert not items.mutex.locked()


def test_a_queue_whose_init_was_not_called_says_so():
    class Careless(Queue):
        def __init__(self):
            pass

    for call in (lambda: Careless().put(1), lambda: Careless().get()):
        with pytest.raises(RuntimeError, match="__init__"):
            call()


@pytest.mark.parametrize("make", [SimpleQueue, *KINDS])
def test_queues_are_collected_with_the_cycles_they_are_in(make):
    items = make()
    items.put(items)
    gone = weakref.ref(items)
    del items
    gc.collect()
    assert gone() is None


def test_statistics_and_representation():
    items, log = Queue(5), []
    with fake_clock():
        getter = spawn(getting, items, log, "a")
        ringlet.sleep(3)
        assert repr(items) == f"<sync.Queue at {id(items):#x}: 0 items of at most 5, 1 waiting>"
        items.put(1)
        getter.join()
    items.put(2)
    items.shutdown()
    assert repr(items) == f"<sync.Queue at {id(items):#x}: 1 items of at most 5, shut down>"
    assert items.statistics == (1, 1, 3.0, 1)


# --- Threads --------------------------------------------------------------------------------------


@ALL
def test_a_thread_that_waits_gets_what_is_put_here(make):
    items = make()
    with blocked_thread(items.get) as results:
        items.put("item")
    assert results == ["item"]


@ALL
def test_threads_and_tasklets_lose_nothing_and_get_nothing_twice(make):
    items, got, each = make(3), [], 60

    def producer(number):
        for item in range(each):
            items.put((number, item))

    def consumer():
        while True:
            try:
                got.append(items.get())
            except ShutDown:
                return
            items.task_done()

    def thread(f, numbers):
        for tasklet in [spawn(f, *number) for number in numbers]:
            tasklet.join()

    consumers = [threading.Thread(target=thread, args=(consumer, [(), ()])) for _ in range(2)]
    producers = [
        threading.Thread(target=thread, args=(producer, [(2 * n,), (2 * n + 1,)])) for n in range(2)
    ]
    for one in (*consumers, *producers):
        one.start()
    producer(4)
    for one in producers:
        one.join(PATIENCE)
    items.join()
    items.shutdown()
    for one in consumers:
        one.join(PATIENCE)
    expected = [(number, item) for number in range(5) for item in range(each)]
    assert Counter(got) == Counter(expected)


def test_a_daemon_that_works_off_a_queue_is_waited_for():
    run_isolated(
        """
import threading, time
from ringlet.sync import Queue
items = Queue()
def worker():
    while True:
        items.get()
        # Works in the thread's own way, which ringlet cannot see, until the main program waits.
        while not items.waiting:
            time.sleep(0.001)
        items.task_done()
threading.Thread(target=worker, daemon=True).start()
items.put(1)
items.join()
"""
    )


# --- A model --------------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(["put", "get", "get later", "put later", "kill getter", "kill putter", "turn"]),
    max_size=40,
)


@given(st.sampled_from(KINDS), st.integers(0, 2), STEPS)
def test_a_queue_does_what_its_container_does(make, maxsize, steps):
    items, log = make(maxsize), []
    model, getters, putters = [], [], []

    def take():
        if make is LifoQueue:
            return model.pop()
        if make is PriorityQueue:
            return heapq.heappop(model)
        return model.pop(0)

    def add(item):
        (heapq.heappush if make is PriorityQueue else list.append)(model, item)

    def flow():
        """Whoever waits and can go on does so, in the order they came."""
        ends = []
        moved = True
        while moved:
            moved = False
            if putters and (not maxsize or len(model) < maxsize):
                _tasklet, item = putters.pop(0)
                add(item)
                ends.append((item, "put"))
                moved = True
            if getters and model:
                ends.append((getters.pop(0), take()))
                moved = True
        return ends

    expected = []
    for number, step in enumerate(steps):
        if step == "put":
            try:
                items.put_nowait(number)
            except Full:
                assert maxsize
                assert len(model) == maxsize
            else:
                add(number)
        elif step == "get":
            try:
                item = items.get_nowait()
            except Empty:
                assert not model
            else:
                assert item == take()
        elif step == "get later":
            getters.append(spawn(getting, items, log, number))
            getters[-1].name = str(number)
        elif step == "put later":
            putters.append((spawn(putting, items, log, number), number))
        elif step == "kill getter" and getters:
            getters.pop(0).kill()
        elif step == "kill putter" and putters:
            putters.pop(0)[0].kill()
        settle()
        expected += [
            (int(first.name), item) if item != "put" else (first, item) for first, item in flow()
        ]
        seen = [entry for entry in log if entry[1] != "TaskletExit"]
        assert sorted(seen, key=repr) == sorted(expected, key=repr)
        assert items.qsize() == len(model)
    for tasklet in (*getters, *(tasklet for tasklet, _ in putters)):
        tasklet.kill()

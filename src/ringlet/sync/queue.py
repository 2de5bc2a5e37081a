"""Queues. Putting and getting is in C (corelib/queue.c); time limits and words are here.

So are containers that the core does not know: those of PriorityQueue, and of subclasses.
"""

import heapq
import queue
from collections import deque
from functools import partial
from queue import Empty, Full
from typing import Any, NoReturn, TypeVar

from ringlet import _core
from ringlet.sched import wait
from ringlet.sync.lock import Lock
from ringlet.sync.waiting import Statistics, name_of, words_on_waiting

__all__ = ("Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "ShutDown", "SimpleQueue")

T = TypeVar("T")

_NOTHING: Any = object()
# A subclass that has one of these for itself keeps its items in a way of its own.
_HOOKS = ("_get", "_init", "_put", "_qsize")


class _ShutDown(Exception):
    """Nothing can be put into the queue any more, or nothing is left in it."""


# The standard library's, where it has one: from Python 3.13 on.
ShutDown: type[Exception] = getattr(queue, "ShutDown", _ShutDown)


class SimpleQueue(_core.Queue[T]):
    """SimpleQueue(): any number of items, first in, first out, as queue.SimpleQueue.

    Those who wait are served in the order they came, of whatever thread. From any thread; in signal
    handlers and finalizers, what does not wait.
    """

    def __init__(self) -> None:
        self._keep(deque(), deque.append, deque.popleft, Lock(), False)

    def __repr__(self) -> str:
        return f"<{name_of(self)} at {id(self):#x}: {_words(self)}>"

    @property
    def statistics(self) -> Statistics:
        """What has happened to it since it was made; to acquire is to get an item."""
        return Statistics(*self._counts())

    def qsize(self) -> int:
        """How many items are in it, those not counted that are promised to who has waited."""
        return self._size()

    def empty(self) -> bool:
        """Whether get() would have to wait."""
        return not self._size()

    def put_nowait(self, item: T) -> None:
        """put(item, block=False)."""
        self.put(item, False)

    def get_nowait(self) -> T:
        """get(block=False)."""
        return self.get(False)

    def _put_otherwise(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """put() with more than an item."""
        seconds = _check_time(block, timeout)
        if self._try_put(item):
            return
        if not block or not wait.attempt(partial(self._wait_put, item), seconds, self):
            raise Full(f"no place in {self!r}")

    def _get_otherwise(self, block: bool = True, timeout: float | None = None) -> T:
        """get() with arguments."""
        seconds = _check_time(block, timeout)
        item: T = self._try_get(_NOTHING)
        if item is not _NOTHING:
            return item
        got: list[T] = []
        if not block or not wait.attempt(lambda: got.append(self._wait_get()), seconds, self):
            raise Empty(f"nothing in {self!r}")
        return got[0]

    def _refuse_put(self) -> NoReturn:
        raise ShutDown(f"cannot put into {self!r}")

    def _refuse_get(self) -> NoReturn:
        raise ShutDown(f"nothing is left in {self!r}")


class Queue(SimpleQueue[T]):
    """Queue(maxsize=0): items first in, first out, as queue.Queue; of any number if maxsize <= 0.

    Those who wait are served in the order they came, of whatever thread. shutdown() and ShutDown
    are there in all versions of Python. A subclass may keep the items in a way of its own by
    _init(), _qsize(), _put() and _get(), as with the standard library's; these are called holding
    `mutex`. From any thread.
    """

    _has_hooks = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._has_hooks |= any(name in vars(cls) for name in _HOOKS)

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        if self._has_hooks:
            self._keep(None, None, None, Lock(), True)
            self._init(maxsize)
        else:
            self._keep_as_usual(Lock())

    def full(self) -> bool:
        """Whether put() would have to wait."""
        return 0 < self.maxsize <= self.qsize()

    def task_done(self) -> None:
        """Say that what was got is done with: once for each item. The last one ends join().

        Raises ValueError when it is called more often than items were put.
        """
        self._task_done()

    def join(self) -> None:
        """Wait until task_done() was called for each item that was put."""
        self._join()

    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing be put any more; get() goes on until the queue is empty. Then: ShutDown.

        Those who wait get ShutDown at once. With immediate=True the items are dropped, each of
        them counted as done.
        """
        dropped = []
        with self.mutex:
            self._shut_down(0)
            while immediate and self._qsize():
                dropped.append(self._get())
            self._shut_down(len(dropped))

    def _keep_as_usual(self, mutex: Lock) -> None:
        """Have the container that this type has unless a subclass has hooks."""
        self._keep(deque(), deque.append, deque.popleft, mutex, False)

    # What a subclass may have in another way.

    def _init(self, maxsize: int) -> None:
        self.queue = deque()

    def _qsize(self) -> int:
        return len(self.queue)

    def _put(self, item: T) -> None:
        self.queue.append(item)

    def _get(self) -> T:
        item: T = self.queue.popleft()
        return item


class LifoQueue(Queue[T]):
    """LifoQueue(maxsize=0): a Queue that gives the item first that came last."""

    def _keep_as_usual(self, mutex: Lock) -> None:
        self._keep([], list.append, list.pop, mutex, False)

    def _init(self, maxsize: int) -> None:
        self.queue = []

    def _get(self) -> T:
        item: T = self.queue.pop()
        return item


class PriorityQueue(Queue[T]):
    """PriorityQueue(maxsize=0): a Queue that gives the smallest item first.

    An item whose comparison raises may be left in it, as with the standard library's.
    """

    def _keep_as_usual(self, mutex: Lock) -> None:
        self._keep([], heapq.heappush, heapq.heappop, mutex, True)

    def _init(self, maxsize: int) -> None:
        self.queue = []

    def _put(self, item: T) -> None:
        heapq.heappush(self.queue, item)

    def _get(self) -> T:
        item: T = heapq.heappop(self.queue)
        return item


# What these two have for the use of subclasses is what the core does for themselves.
LifoQueue._has_hooks = PriorityQueue._has_hooks = False


def _check_time(block: bool, timeout: float | None) -> float | None:
    """The seconds that may be waited, None for no limit. Raises ValueError for a negative time."""
    seconds = wait.check_timeout(timeout) if block else None
    if seconds is not None and seconds < 0:
        raise ValueError(f"'timeout' must be a non-negative number, not {timeout!r}")
    return seconds


def _words(items: SimpleQueue[Any]) -> str:
    words = f"{items.qsize()} items"
    if items.maxsize > 0:
        words += f" of at most {items.maxsize}"
    return words + words_on_waiting(items.waiting) + (", shut down" if items.is_shutdown else "")

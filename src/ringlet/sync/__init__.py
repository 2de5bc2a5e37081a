"""What tasklets, of any threads, agree by: locks, events, queues, with threading's interfaces."""

from ringlet.sync.barrier import Barrier, BrokenBarrierError
from ringlet.sync.condition import Condition
from ringlet.sync.event import Event
from ringlet.sync.group import Group
from ringlet.sync.lock import Lock, RLock
from ringlet.sync.queue import (
    Empty,
    Full,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)
from ringlet.sync.semaphore import BoundedSemaphore, Semaphore
from ringlet.sync.waiting import Statistics

__all__ = (
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Empty",
    "Event",
    "Full",
    "Group",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "ShutDown",
    "SimpleQueue",
    "Statistics",
)

"""What tasklets, of any threads, agree by: locks, events, queues, with threading's interfaces."""

from ringlet.sync.barrier import Barrier, BrokenBarrierError
from ringlet.sync.condition import Condition
from ringlet.sync.event import Event
from ringlet.sync.lock import Lock, RLock
from ringlet.sync.semaphore import BoundedSemaphore, Semaphore
from ringlet.sync.waiting import Statistics

__all__ = (
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "Semaphore",
    "Statistics",
)

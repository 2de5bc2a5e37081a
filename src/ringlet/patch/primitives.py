"""What the standard library writes in C and waits in: locks, simple queues; and thread locals.

threading's conditions, events, semaphores and barriers, and queue's queues, are Python written on
these, so they need no replacement: they stay the classes that programs know and derive from.
"""

from _thread import get_ident as native_ident
from typing import Any

from ringlet import _core
from ringlet.sched import local
from ringlet.sync import Lock as _Lock
from ringlet.sync import RLock as _RLock
from ringlet.sync import SimpleQueue as _SimpleQueue

__all__ = ("Lock", "RLock", "SimpleQueue", "get_ident", "local", "native_ident")


class Lock(_Lock):
    """A ringlet.sync.Lock with the names that _thread's locks have besides."""

    __slots__ = ()

    acquire_lock = _Lock.acquire
    release_lock = _Lock.release
    locked_lock = _Lock.locked


class RLock(_RLock):
    """A ringlet.sync.RLock."""

    __slots__ = ()


class SimpleQueue(_SimpleQueue[Any]):
    """A ringlet.sync.SimpleQueue."""


def get_ident() -> int:
    """What tells the caller's thread from others: that of the tasklet, where it is not the main.

    A main tasklet has the ident of its native thread, and so has what is called in the hub.
    """
    if not _core.has_ring():
        return native_ident()
    tasklet = _core.current()
    # The hub's own has the core's type; see Tasklet for all others.
    if tasklet is _core.main() or type(tasklet) is _core.Tasklet:
        return native_ident()
    return id(tasklet)

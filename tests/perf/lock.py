"""What does a lock cost that nobody else wants?"""

import asyncio
import threading
from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from time import process_time_ns
from typing import Protocol

from tests.perf import background, cli, clocks
from tests.perf.model import Faster, Figure, Question


class Lock(Protocol):
    """What all of them have."""

    def acquire(self) -> object: ...
    def release(self) -> object: ...


def pairs(peer: str, make: Callable[[], Lock], count: int) -> float:
    """ns to acquire and to release, together, beside the usual background."""
    background.START[peer]()
    lock = make()
    acquire, release = lock.acquire, lock.release

    def run() -> None:
        for _ in repeat(None, count):
            acquire()
            release()

    return clocks.best(run, count)


def pairs_ringlet(peer: str, count: int) -> float:
    """ns with ringlet.sync.Lock."""
    return pairs(peer, import_module("ringlet.sync").Lock, count)


def pairs_gevent(peer: str, count: int) -> float:
    """ns with gevent.lock.Semaphore, of which its locks are made."""
    return pairs(peer, import_module("gevent.lock").Semaphore, count)


def pairs_eventlet(peer: str, count: int) -> float:
    """ns with eventlet.semaphore.Semaphore."""
    return pairs(peer, import_module("eventlet.semaphore").Semaphore, count)


def pairs_threading(peer: str, count: int) -> float:
    """ns with the interpreter's own lock, which knows of threads alone."""
    return pairs("ringlet", threading.Lock, count)


def pairs_asyncio(peer: str, count: int) -> float:
    """ns with asyncio.Lock."""

    async def main() -> int:
        background.on_asyncio()
        lock = asyncio.Lock()
        acquire, release = lock.acquire, lock.release
        start = process_time_ns()
        for _ in repeat(None, count):
            await acquire()
            release()
        return process_time_ns() - start

    return min(asyncio.run(main()) for _ in range(3)) / count


QUESTION = Question(
    "lock",
    "Locks that nobody else wants",
    (
        Figure(
            "uncontended lock: acquire and release",
            "ns",
            {
                "ringlet": pairs_ringlet,
                "gevent": pairs_gevent,
                "asyncio": pairs_asyncio,
                "eventlet": pairs_eventlet,
                "threading": pairs_threading,
            },
            {"gevent": Faster(1, 1.5)},
            params={"count": 200_000},
            quick={"count": 1_000},
        ),
    ),
)

if __name__ == "__main__":
    cli.main("lock")

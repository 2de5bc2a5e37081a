"""What does something that waits take: a suspended greenlet, a sleeping tasklet, a connection?"""

import asyncio
import statistics
from importlib import import_module
from itertools import repeat
from typing import Any

from tests.perf import cli, clocks, echo, serving
from tests.perf.model import Figure, Question, Share
from tests.perf.switch import suspended

FAR = 3600.0  # seconds


def greenlets(peer: str, population: int) -> float:
    """Bytes in memory per raw greenlet that has started and is suspended."""
    suspended(peer, 100)
    room: list[Any] = [None] * population
    before = clocks.resident()
    room[:] = suspended(peer, population)
    return (clocks.resident() - before) / population


def sleepers(peer: str, population: int) -> float:
    """Bytes in memory per tasklet that sleeps."""
    api = import_module(peer)
    pause = api.schedule if peer == "ringlet" else lambda: api.sleep(0)

    def sleep(count: int) -> list[Any]:
        threads = [api.spawn(api.sleep, FAR) for _ in repeat(None, count)]
        pause()
        return threads

    kept = sleep(100)
    before = clocks.resident()
    kept += sleep(population)
    return (clocks.resident() - before) / population


def sleepers_asyncio(peer: str, population: int) -> float:
    """Bytes in memory per task that sleeps."""

    async def sleep(count: int) -> list[Any]:
        tasks = [asyncio.create_task(asyncio.sleep(FAR)) for _ in repeat(None, count)]
        await asyncio.sleep(0)
        return tasks

    async def grow() -> float:
        kept = await sleep(100)
        before = clocks.resident()
        kept += await sleep(population)
        used = clocks.resident() - before
        for task in kept:
            task.cancel()
        return used / population

    return asyncio.run(grow())


def idle(peer: str, connections: int) -> float:
    """Bytes in the server's memory per connection that has echoed once and is idle."""
    return serving.memory_per_connection(echo.SERVERS[peer], peer, connections)


QUESTION = Question(
    "memory",
    "Memory of what waits",
    (
        Figure(
            "suspended greenlet, 100,000 of them",
            "B",
            {"ringlet": greenlets, "greenlet": greenlets},
            {"greenlet": Share(0.40, 0.33)},
            unjudged=Share,
            params={"population": 100_000},
            quick={"population": 2_000},
            summary=statistics.median,
            rounds=3,
        ),
        Figure(
            "sleeping tasklet, 50,000 of them",
            "B",
            {
                "ringlet": sleepers,
                "gevent": sleepers,
                "asyncio": sleepers_asyncio,
                "eventlet": sleepers,
            },
            {"gevent": Share(0.9, 0.7)},
            unjudged=Share,
            params={"population": 50_000},
            quick={"population": 2_000},
            summary=statistics.median,
            rounds=3,
        ),
        Figure(
            "idle echo connection, 9,000 of them",
            "B",
            {peer: idle for peer in echo.SERVERS if peer != "C epoll loop"},
            {"gevent": Share(0.6, 0.45)},
            unjudged=Share,
            params={"connections": 9_000},
            quick={"connections": 500},
            summary=statistics.median,
            rounds=3,
        ),
    ),
)

if __name__ == "__main__":
    cli.main("memory")

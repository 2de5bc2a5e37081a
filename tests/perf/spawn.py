"""What does it cost to start something and see it end: a raw greenlet, a tasklet, a task?"""

import asyncio
from importlib import import_module
from itertools import repeat

from tests.perf import background, cli, clocks
from tests.perf.model import Faster, Figure, Question


def nothing() -> None:
    """What is spawned."""


def raw(peer: str, count: int) -> float:
    """ns to make a greenlet, run an empty function in it and let it finish."""
    greenlet = import_module(peer).greenlet

    def run() -> None:
        for _ in repeat(None, count):
            greenlet(nothing).switch()

    return clocks.best(run, count)


def joined(peer: str, batch: int, batches: int) -> float:
    """ns per tasklet spawned and joined, in batches."""
    spawn = import_module(peer).spawn
    background.START[peer]()

    def run() -> None:
        for _ in repeat(None, batches):
            for tasklet in [spawn(nothing) for _ in repeat(None, batch)]:
                tasklet.join()

    return clocks.best(run, batch * batches)


def waited_eventlet(peer: str, batch: int, batches: int) -> float:
    """ns per green thread spawned and waited for, in batches."""
    spawn = import_module(peer).spawn
    background.START[peer]()

    def run() -> None:
        for _ in repeat(None, batches):
            for thread in [spawn(nothing) for _ in repeat(None, batch)]:
                thread.wait()

    return clocks.best(run, batch * batches)


def awaited_asyncio(peer: str, batch: int, batches: int) -> float:
    """ns per task created and awaited, in batches."""

    async def empty() -> None:
        pass

    async def main() -> None:
        background.on_asyncio()
        create_task = asyncio.get_running_loop().create_task
        for _ in repeat(None, batches):
            for task in [create_task(empty()) for _ in repeat(None, batch)]:
                await task

    return clocks.best(lambda: asyncio.run(main()), batch * batches)


QUESTION = Question(
    "spawn",
    "Starting and finishing",
    (
        Figure(
            "raw greenlet: make, run an empty function, finish",
            "ns",
            {"ringlet": raw, "greenlet": raw},
            {"greenlet": Faster(40, 70)},
            params={"count": 20_000},
            quick={"count": 500},
        ),
        Figure(
            "tasklet: spawn and join, batches of 1000",
            "ns",
            {
                "ringlet": joined,
                "gevent": joined,
                "asyncio": awaited_asyncio,
                "eventlet": waited_eventlet,
            },
            {"gevent": Faster(20, 50), "asyncio": Faster(6, 15)},
            params={"batch": 1000, "batches": 20},
            quick={"batch": 100, "batches": 2},
        ),
    ),
)

if __name__ == "__main__":
    cli.main("spawn")

"""What does it cost to give everybody else a turn?"""

import asyncio
from importlib import import_module
from itertools import repeat
from time import process_time_ns

from tests.perf import background, cli
from tests.perf.model import Faster, Figure, Question

REPEATS = 3


def turns_ringlet(peer: str, population: int, turns: int) -> float:
    """ns per schedule(), from when all have started."""
    api = import_module(peer)
    background.START[peer]()

    def body() -> None:
        schedule = api.schedule
        for _ in repeat(None, turns):
            schedule()

    def run() -> int:
        tasklets = [api.spawn(body) for _ in repeat(None, population)]
        api.schedule()
        start = process_time_ns()
        for tasklet in tasklets:
            tasklet.join()
        return process_time_ns() - start

    return min(run() for _ in range(REPEATS)) / (population * turns)


def turns_sleeping(peer: str, population: int, turns: int) -> float:
    """ns per sleep(0) of gevent or eventlet, from when all have started."""
    api = import_module(peer)
    background.START[peer]()

    def body() -> None:
        sleep = api.sleep
        for _ in repeat(None, turns):
            sleep(0)

    def run() -> int:
        threads = [api.spawn(body) for _ in repeat(None, population)]
        api.sleep(0)
        start = process_time_ns()
        for thread in threads:
            (thread.wait if peer == "eventlet" else thread.join)()
        return process_time_ns() - start

    return min(run() for _ in range(REPEATS)) / (population * turns)


def turns_asyncio(peer: str, population: int, turns: int) -> float:
    """ns per await sleep(0), from when all have started."""

    async def body() -> None:
        sleep = asyncio.sleep
        for _ in repeat(None, turns):
            await sleep(0)

    async def main() -> int:
        background.on_asyncio()
        tasks = [asyncio.create_task(body()) for _ in repeat(None, population)]
        await asyncio.sleep(0)
        start = process_time_ns()
        await asyncio.gather(*tasks)
        return process_time_ns() - start

    return min(asyncio.run(main()) for _ in range(REPEATS)) / (population * turns)


QUESTION = Question(
    "yield",
    "Giving the others a turn",
    (
        Figure(
            "yield among 1000",
            "ns",
            {
                "ringlet": turns_ringlet,
                "gevent": turns_sleeping,
                "asyncio": turns_asyncio,
                "eventlet": turns_sleeping,
            },
            {"gevent": Faster(10, 16), "asyncio": Faster(8, 12)},
            params={"population": 1000, "turns": 200},
            quick={"population": 100, "turns": 10},
        ),
    ),
)

if __name__ == "__main__":
    cli.main("yield_")

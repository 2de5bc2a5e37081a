"""What does one sleep cost, when very many sleep at once?"""

import asyncio
import random
from importlib import import_module
from itertools import repeat
from time import process_time_ns

from tests.perf import background, cli, clocks
from tests.perf.model import Faster, Figure, Question

# Long enough that the last has begun to sleep before the first wakes, in every peer.
SHORTEST = 0.5  # seconds
REPEATS = 3


def lengths(population: int, spread: float) -> list[float]:
    """How many seconds each sleeps: in no order, and the same for every peer."""
    draw = random.Random(1)
    return [SHORTEST + draw.uniform(0, spread) for _ in range(population)]


def sleeps_green(peer: str, population: int, spread: float) -> float:
    """ns of CPU time per sleep: set the timer, switch away, fire, come back."""
    api = import_module(peer)
    pause = api.schedule if peer == "ringlet" else lambda: api.sleep(0)
    background.START[peer]()
    awake = 0
    end = 0

    def body(seconds: float) -> None:
        nonlocal awake, end
        pause()
        api.sleep(seconds)
        awake += 1
        if awake == population:
            end = process_time_ns()

    def run() -> int:
        nonlocal awake
        awake = 0
        threads = [api.spawn(body, seconds) for seconds in lengths(population, spread)]
        pause()
        start = process_time_ns()
        for thread in threads:
            (thread.wait if peer == "eventlet" else thread.join)()
        return end - start

    return min(run() for _ in range(REPEATS)) / population


def sleeps_asyncio(peer: str, population: int, spread: float) -> float:
    """ns of CPU time per await sleep()."""
    awake = 0
    end = 0

    async def body(seconds: float) -> None:
        nonlocal awake, end
        await asyncio.sleep(0)
        await asyncio.sleep(seconds)
        awake += 1
        if awake == population:
            end = process_time_ns()

    async def main() -> int:
        nonlocal awake
        awake = 0
        background.on_asyncio()
        tasks = [asyncio.create_task(body(seconds)) for seconds in lengths(population, spread)]
        await asyncio.sleep(0)
        start = process_time_ns()
        for task in tasks:
            await task
        return end - start

    return min(asyncio.run(main()) for _ in range(REPEATS)) / population


def set_and_cancel(peer: str, pending: int, count: int) -> float:
    """ns to set a timer and cancel it, while so many others are set."""
    background.START[peer]()
    if peer == "ringlet":
        after = import_module(peer)._core.hub().timers.after
        kept = [after(seconds, print) for seconds in far_ones(pending)]

        def run() -> None:
            for _ in repeat(None, count):
                after(60, print).cancel()
    else:
        timer = import_module(peer).get_hub().loop.timer
        kept = [timer(seconds) for seconds in far_ones(pending)]
        for each in kept:
            each.start(print)

        def run() -> None:
            for _ in repeat(None, count):
                limit = timer(60)
                limit.start(print)
                limit.close()

    spent = clocks.best(run, count)
    assert len(kept) == pending
    return spent


def set_and_cancel_asyncio(peer: str, pending: int, count: int) -> float:
    """ns of call_later() and cancel(), while so many others are set."""

    async def main() -> float:
        background.on_asyncio()
        later = asyncio.get_running_loop().call_later
        for seconds in far_ones(pending):
            later(seconds, print)

        def run() -> None:
            for _ in repeat(None, count):
                later(60, print).cancel()

        return clocks.best(run, count)

    return asyncio.run(main())


def limited_blocks(peer: str, count: int) -> float:
    """ns to enter and to leave a block with a time limit."""
    background.START[peer]()
    api = import_module(peer)
    limit = api.timeout if peer == "ringlet" else api.Timeout

    def run() -> None:
        for _ in repeat(None, count):
            with limit(60):
                pass

    return clocks.best(run, count)


def limited_blocks_asyncio(peer: str, count: int) -> float:
    """ns to enter and to leave a block of asyncio.timeout()."""

    async def main() -> int:
        background.on_asyncio()
        start = process_time_ns()
        for _ in repeat(None, count):
            async with asyncio.timeout(60):
                pass
        return process_time_ns() - start

    return min(asyncio.run(main()) for _ in range(REPEATS)) / count


def far_ones(count: int) -> list[float]:
    """So many times, in no order, none of which comes."""
    draw = random.Random(1)
    return [draw.uniform(3000, 4000) for _ in range(count)]


WORK = {
    "ringlet": sleeps_green,
    "gevent": sleeps_green,
    "asyncio": sleeps_asyncio,
    "eventlet": sleeps_green,
}

QUESTION = Question(
    "timers",
    "Sleeping in great numbers",
    (
        *(
            Figure(
                f"sleep, 20,000 at once, {manner}",
                "ns",
                WORK,
                {"gevent": Faster(6, 12), "asyncio": Faster(3, 6)},
                params={"population": 20_000, "spread": spread},
                quick={"population": 500},
            )
            for manner, spread in (("waking over 100 ms", 0.1), ("waking together", 0.0))
        ),
        Figure(
            "set and cancel a timer, 1,000,000 pending",
            "ns",
            {
                "ringlet": set_and_cancel,
                "gevent": set_and_cancel,
                "asyncio": set_and_cancel_asyncio,
            },
            params={"pending": 1_000_000, "count": 100_000},
            quick={"pending": 1_000, "count": 1_000},
            rounds=3,
        ),
        Figure(
            "a block with a time limit that is not reached",
            "ns",
            {
                "ringlet": limited_blocks,
                "gevent": limited_blocks,
                "asyncio": limited_blocks_asyncio,
                "eventlet": limited_blocks,
            },
            params={"count": 50_000},
            quick={"count": 1_000},
            rounds=3,
        ),
    ),
)

if __name__ == "__main__":
    cli.main("timers")

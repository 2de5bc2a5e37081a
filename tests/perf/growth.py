"""How do costs grow with the number of tasklets, from ten to a million?"""

import asyncio
import statistics
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import repeat
from time import process_time_ns
from typing import Any

from tests.perf import background, cli, clocks, memory, spawn, yield_
from tests.perf.model import Figure, Question, Share, Work

POPULATIONS = (10, 1_000, 100_000, 1_000_000)
# What does not manage more in 8 GiB and a few minutes; a million of gevent's take over 12 GiB.
MOST = {"gevent": 100_000}
# Operations in one run, where there are fewer tasklets than that.
OPERATIONS = 100_000


def messages_ringlet(peer: str, population: int, rounds: int) -> float:
    """ns per message, each to another of so many tasklets that wait."""
    api = import_module(peer)
    channels = [api.Channel() for _ in repeat(None, population)]
    return handed_out(
        peer, [c.receive for c in channels], [c.send for c in channels], api.schedule, rounds
    )


def messages_gevent(peer: str, population: int, rounds: int) -> float:
    """ns per message through gevent.queue.Channel, each to another of so many greenlets."""
    api, kind = import_module(peer), import_module("gevent.queue").Channel
    channels = [kind() for _ in repeat(None, population)]
    return handed_out(
        peer, [c.get for c in channels], [c.put for c in channels], lambda: api.sleep(0), rounds
    )


def handed_out(
    peer: str,
    receives: list[Callable[[], Any]],
    sends: list[Callable[[int], object]],
    pause: Callable[[], object],
    rounds: int,
) -> float:
    """ns per message from the main program to all who receive, in turn."""
    start = import_module(peer).spawn
    background.START[peer]()

    def body(receive: Callable[[], Any]) -> None:
        for _ in repeat(None):
            receive()

    def run() -> None:
        for _ in repeat(None, rounds):
            for send in sends:
                send(1)

    kept = [start(body, receive) for receive in receives]
    pause()
    return clocks.best(run, rounds * len(kept), repeats=3)


def messages_asyncio(peer: str, population: int, rounds: int) -> float:
    """ns per message through a Queue of one place, each to another of so many tasks."""

    async def body(queue: "asyncio.Queue[int]") -> None:
        for _ in repeat(None):
            await queue.get()

    async def main() -> float:
        background.on_asyncio()
        queues: list[asyncio.Queue[int]] = [asyncio.Queue(1) for _ in repeat(None, population)]
        kept = [asyncio.create_task(body(queue)) for queue in queues]
        await asyncio.sleep(0)
        best = float("inf")
        for _ in range(3):
            start = process_time_ns()
            for _ in repeat(None, rounds):
                for queue in queues:
                    await queue.put(1)
                # They have waited since the last time; now all of them run.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            best = min(best, process_time_ns() - start)
        # Closing the loop would end them one by one, and print what that cancels.
        for task in kept:
            task.cancel()
        return best / (rounds * population)

    return asyncio.run(main())


Params = Callable[[int], Mapping[str, Any]]

# Name, unit, who does it, and with what, for so many tasklets.
QUANTITIES: tuple[tuple[str, str, Mapping[str, Work], Params], ...] = (
    (
        "yield",
        "ns",
        {
            "ringlet": yield_.turns_ringlet,
            "gevent": yield_.turns_sleeping,
            "asyncio": yield_.turns_asyncio,
        },
        lambda count: {"population": count, "turns": max(2, OPERATIONS // count)},
    ),
    (
        "spawn and join",
        "ns",
        {"ringlet": spawn.joined, "gevent": spawn.joined, "asyncio": spawn.awaited_asyncio},
        lambda count: {"batch": count, "batches": max(1, OPERATIONS // 5 // count)},
    ),
    (
        "message",
        "ns",
        {"ringlet": messages_ringlet, "gevent": messages_gevent, "asyncio": messages_asyncio},
        lambda count: {"population": count, "rounds": max(1, OPERATIONS // count)},
    ),
    (
        "memory",
        "B",
        {
            "ringlet": memory.sleepers,
            "gevent": memory.sleepers,
            "asyncio": memory.sleepers_asyncio,
        },
        lambda count: {"population": count},
    ),
)


def figure(name: str, unit: str, work: Mapping[str, Work], params: Params, count: int) -> Figure:
    """One quantity at one population, of those who manage that many."""
    able = {peer: each for peer, each in work.items() if count <= MOST.get(peer, count)}
    small = params(min(count, 1_000))
    quick = {key: min(value, 5) if key != "population" else value for key, value in small.items()}
    return Figure(
        f"{name}, {count:,} tasklets",
        unit,
        able,
        unjudged=Share,
        params=params(count),
        quick=quick,
        summary=statistics.median if unit == "B" else min,
        rounds=3 if count <= 1_000 else 1,
        quantity=name,
        population=count,
    )


QUESTION = Question(
    "growth",
    "What one tasklet costs among so many",
    tuple(figure(*quantity, count) for quantity in QUANTITIES for count in POPULATIONS),
)

if __name__ == "__main__":
    cli.main("growth")

"""What does it cost to hand one value from one to another, with nothing in between?"""

import asyncio
from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from typing import Any

from tests.perf import background, cli, clocks
from tests.perf.model import Faster, Figure, Question


def messages_ringlet(peer: str, count: int) -> float:
    """ns per message through an unbuffered Channel."""
    api = import_module(peer)
    channel = api.Channel()
    return exchange(peer, channel.send, channel.receive, count)


def messages_gevent(peer: str, count: int) -> float:
    """ns per message through an unbuffered gevent.queue.Channel."""
    channel = import_module("gevent.queue").Channel()
    return exchange(peer, channel.put, channel.get, count)


def messages_eventlet(peer: str, count: int) -> float:
    """ns per message through an eventlet queue of size 0."""
    queue = import_module("eventlet.queue").LightQueue(0)
    return exchange(peer, queue.put, queue.get, count)


def exchange(
    peer: str, send: Callable[[int], object], receive: Callable[[], Any], count: int
) -> float:
    """ns per value from one sender to one receiver, beside the usual background."""
    spawn = import_module(peer).spawn
    background.START[peer]()

    def sender() -> None:
        for value in range(count):
            send(value)

    def receiver() -> None:
        for _ in repeat(None, count):
            receive()

    def run() -> None:
        for thread in (spawn(receiver), spawn(sender)):
            (thread.wait if peer == "eventlet" else thread.join)()

    return clocks.best(run, count, repeats=3)


def messages_asyncio(peer: str, count: int) -> float:
    """ns per message through a Queue of one place, the nearest thing asyncio has."""

    async def main() -> None:
        background.on_asyncio()
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def sender() -> None:
            for value in range(count):
                await queue.put(value)

        async def receiver() -> None:
            for _ in repeat(None, count):
                await queue.get()

        await asyncio.gather(receiver(), sender())

    return clocks.best(lambda: asyncio.run(main()), count, repeats=3)


def selects_ringlet(peer: str, count: int) -> float:
    """ns per message through one of two unbuffered channels to who selects from both."""
    api = import_module(peer)
    channels = api.Channel(), api.Channel()
    arms = tuple(channel.receiving() for channel in channels)
    background.START[peer]()

    def sender() -> None:
        for value in range(count):
            channels[value & 1].send(value)

    def receiver() -> None:
        select = api.select
        for _ in repeat(None, count):
            select(*arms)

    def run() -> None:
        for tasklet in (api.spawn(receiver), api.spawn(sender)):
            tasklet.join()

    return clocks.best(run, count, repeats=3)


def selects_asyncio(peer: str, count: int) -> float:
    """ns per message through one of two queues to who waits for both, with a task for each."""

    async def main() -> None:
        background.on_asyncio()
        queues: tuple[asyncio.Queue[int], ...] = asyncio.Queue(1), asyncio.Queue(1)

        async def sender() -> None:
            for value in range(count):
                await queues[value & 1].put(value)

        async def receiver() -> None:
            getters = {asyncio.ensure_future(queue.get()): queue for queue in queues}
            left = count
            while left:
                done, _ = await asyncio.wait(getters, return_when=asyncio.FIRST_COMPLETED)
                left -= len(done)
                for getter in done:
                    queue = getters.pop(getter)
                    getters[asyncio.ensure_future(queue.get())] = queue
            for getter in getters:
                getter.cancel()

        await asyncio.gather(receiver(), sender())

    return clocks.best(lambda: asyncio.run(main()), count, repeats=3)


QUESTION = Question(
    "channel",
    "Handing a value over",
    (
        Figure(
            "unbuffered channel, one message",
            "ns",
            {
                "ringlet": messages_ringlet,
                "gevent": messages_gevent,
                "asyncio": messages_asyncio,
                "eventlet": messages_eventlet,
            },
            {"gevent": Faster(14, 20), "asyncio": Faster(35, 50)},
            params={"count": 50_000},
            quick={"count": 1_000},
        ),
        Figure(
            "select from two channels, one message",
            "ns",
            {"ringlet": selects_ringlet, "asyncio": selects_asyncio},
            params={"count": 20_000},
            quick={"count": 1_000},
        ),
    ),
)

if __name__ == "__main__":
    cli.main("channel")

"""What do greenlet's own users, unchanged, gain by running on ringlet?"""

import asyncio
from importlib import import_module
from itertools import repeat
from time import process_time_ns
from typing import Any

from tests.perf import cli, clocks
from tests.perf.model import Figure, Question

REPEATS = 3


def client(peer: str, name: str) -> Any:
    """A library written for greenlet, on the greenlet of `peer`."""
    if peer == "ringlet":
        import_module("ringlet.compat.greenlet").install()
    return import_module(name)


def nothing() -> None:
    """What is spawned."""


def spawned_gevent(peer: str, batch: int, batches: int) -> float:
    """ns per greenlet spawned and joined, in batches."""
    gevent = client(peer, "gevent")

    def run() -> None:
        for _ in repeat(None, batches):
            gevent.joinall([gevent.spawn(nothing) for _ in repeat(None, batch)])

    return clocks.best(run, batch * batches)


def spawned_eventlet(peer: str, batch: int, batches: int) -> float:
    """ns per green thread spawned and waited for, in batches."""
    eventlet = client(peer, "eventlet")

    def run() -> None:
        for _ in repeat(None, batches):
            for thread in [eventlet.spawn(nothing) for _ in repeat(None, batch)]:
                thread.wait()

    return clocks.best(run, batch * batches)


def turns(peer: str, name: str, population: int, turns: int) -> float:
    """ns per sleep(0), from when all have started."""
    api = client(peer, name)

    def body() -> None:
        for _ in repeat(None, turns):
            api.sleep(0)

    def run() -> int:
        threads = [api.spawn(body) for _ in repeat(None, population)]
        api.sleep(0)
        start = process_time_ns()
        for thread in threads:
            (thread.wait if name == "eventlet" else thread.join)()
        return process_time_ns() - start

    return min(run() for _ in range(REPEATS)) / (population * turns)


def handed_over_gevent(peer: str, count: int) -> float:
    """ns per value through a gevent.queue.Channel, from one greenlet to another."""
    gevent = client(peer, "gevent")
    channel = import_module("gevent.queue").Channel()

    def send() -> None:
        for _ in repeat(None, count):
            channel.put(None)

    def run() -> None:
        gevent.spawn(send)
        for _ in repeat(None, count):
            channel.get()

    return clocks.best(run, count)


def bridged(peer: str, count: int) -> float:
    """ns per plain function that awaits once under SQLAlchemy's greenlet_spawn."""
    util = client(peer, "sqlalchemy.util")

    async def ready() -> None:
        pass

    def function() -> None:
        util.await_only(ready())

    async def main() -> None:
        for _ in repeat(None, count):
            await util.greenlet_spawn(function)

    return clocks.best(lambda: asyncio.run(main()), count)


def queried(peer: str, count: int) -> float:
    """ns per `select 1` through SQLAlchemy's asyncio engine and aiosqlite, its thread included."""
    engines = client(peer, "sqlalchemy.ext.asyncio")
    statement = import_module("sqlalchemy").text("select 1")

    async def main() -> None:
        engine = engines.create_async_engine("sqlite+aiosqlite://")
        async with engine.connect() as connection:
            for _ in repeat(None, count):
                await connection.scalar(statement)
        await engine.dispose()

    return clocks.best(lambda: asyncio.run(main()), count)


def figure(name: str, work: Any, params: dict[str, Any], quick: dict[str, Any]) -> Figure:
    """A library on one greenlet and the other."""
    return Figure(name, "ns", {"ringlet": work, "greenlet": work}, params=params, quick=quick)


BATCHES, QUICK_BATCHES = {"batch": 1000, "batches": 20}, {"batch": 100, "batches": 2}
TURNS, QUICK_TURNS = {"population": 1000, "turns": 50}, {"population": 50, "turns": 5}

QUESTION = Question(
    "clients",
    "greenlet's users, unchanged, on ringlet and on greenlet",
    (
        figure("gevent: spawn and join, batches of 1000", spawned_gevent, BATCHES, QUICK_BATCHES),
        figure(
            "gevent: sleep(0) among 1000",
            turns,
            {"name": "gevent", **TURNS},
            QUICK_TURNS,
        ),
        figure(
            "gevent: sleep(0) among 10",
            turns,
            {"name": "gevent", "population": 10, "turns": 5000},
            QUICK_TURNS,
        ),
        figure(
            "gevent: a value through a Channel",
            handed_over_gevent,
            {"count": 20_000},
            {"count": 50},
        ),
        figure(
            "eventlet: spawn and wait, batches of 1000", spawned_eventlet, BATCHES, QUICK_BATCHES
        ),
        figure(
            "eventlet: sleep(0) among 1000",
            turns,
            {"name": "eventlet", **TURNS},
            QUICK_TURNS,
        ),
        figure("SQLAlchemy: greenlet_spawn, one await", bridged, {"count": 20_000}, {"count": 50}),
        figure("SQLAlchemy: a query of aiosqlite", queried, {"count": 1000}, {"count": 20}),
    ),
)

if __name__ == "__main__":
    cli.main("clients")

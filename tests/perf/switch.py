"""What does a switch between raw greenlets cost, hot, colliding, and among very many?"""

import random
from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from typing import Any

from tests.perf import cli, clocks
from tests.perf.model import Faster, Figure, Question, Share


def ping_pong(peer: str, turns: int, nested: int = 0) -> float:
    """ns per switch between two greenlets, both `nested` calls of sorted() deep in the C stack."""
    greenlet = import_module(peer).greenlet

    made: dict[str, Any] = {}

    def ping(_: object = None) -> None:
        switch = made["pong"].switch
        for _ in repeat(None, turns):
            switch()

    def pong(_: object = None) -> None:
        switch = made["ping"].switch
        for _ in repeat(None):
            switch()

    def run() -> None:
        made.update(ping=greenlet(deeper(ping, nested)), pong=greenlet(deeper(pong, nested)))
        made["ping"].switch()

    return clocks.best(run, 2 * turns)


def deeper(body: Callable[..., None], levels: int) -> Callable[..., Any]:
    """`body` called through sorted(), which keeps 5 KB on the C stack, so many levels down."""
    if not levels:
        return body
    inner = deeper(body, levels - 1)
    return lambda _=None: sorted((0,), key=inner)


def resume_in_turn(peer: str, population: int, resumes: int) -> float:
    """ns to resume a suspended greenlet and come back, going round all of them in order."""
    switches = [each.switch for each in suspended(peer, population)]

    def run() -> None:
        for _ in repeat(None, resumes // population):
            for switch in switches:
                switch()

    return clocks.best(run, resumes // population * population, repeats=3)


def resume_at_random(peer: str, population: int, resumes: int) -> float:
    """ns to resume a suspended greenlet and come back, drawn at random each time."""
    switches = [each.switch for each in suspended(peer, population)]
    draw = random.Random(1).choices(switches, k=resumes)

    def run() -> None:
        for switch in draw:
            switch()

    return clocks.best(run, resumes, repeats=3)


def suspended(peer: str, population: int) -> list[Any]:
    """So many greenlets, each started and waiting in a loop to be resumed again."""
    raw = import_module(peer)
    back = raw.getcurrent().switch

    def body() -> None:
        for _ in repeat(None):
            back()

    started = [raw.greenlet(body) for _ in range(population)]
    for each in started:
        each.switch()
    return started


def no_op_call(peer: str, turns: int) -> float:
    """ns of a method call in C that does nothing, the loop included: the floor of any switch."""
    call = "".isascii

    def run() -> None:
        for _ in repeat(None, turns):
            call()

    return clocks.best(run, turns)


def both(work: Callable[..., float]) -> dict[str, Callable[..., float]]:
    """The same function for both: their raw greenlets have the same face."""
    return {"ringlet": work, "greenlet": work}


HOT = {"turns": 100_000}
SMOKE = {"turns": 2_000}
ONE_SLOT = {"RINGLET_SLOTS": "1"}

QUESTION = Question(
    "switch",
    "Switching raw greenlets",
    (
        Figure(
            "hot switch, one way",
            "ns",
            {**both(ping_pong), "no-op C call": no_op_call},
            {"greenlet": Faster(6, 8)},
            unjudged=Share,
            params=HOT,
            quick=SMOKE,
        ),
        Figure(
            "colliding switch, shallow (one slot)",
            "ns",
            both(ping_pong),
            {"greenlet": Faster(3, 4)},
            params=HOT,
            quick=SMOKE,
            env=ONE_SLOT,
        ),
        Figure(
            "colliding switch, up to 6 KB live",
            "ns",
            both(ping_pong),
            {"greenlet": Faster(1.2, 1.5)},
            params={**HOT, "nested": 1},
            quick=SMOKE,
            env=ONE_SLOT,
        ),
        Figure(
            "colliding switch, 25 KB live or more",
            "ns",
            both(ping_pong),
            {"greenlet": Faster(0.6, 1)},
            params={**HOT, "nested": 5},
            quick=SMOKE,
            env=ONE_SLOT,
        ),
        *(
            Figure(
                f"resume {population:,} in turn, there and back",
                "ns",
                both(resume_in_turn),
                {"greenlet": target},
                params={"population": population, "resumes": 200_000},
                quick={"population": population // 100, "resumes": population},
            )
            for population, target in (
                (1_000, Faster(2.5, 3)),
                (10_000, Faster(1.4, 2)),
                (100_000, Faster(1.3, 2)),
            )
        ),
        *(
            Figure(
                f"resume {population:,} in random order",
                "ns",
                both(resume_at_random),
                {"greenlet": Faster(2, 2.7)},
                params={"population": population, "resumes": 200_000},
                quick={"population": population // 100, "resumes": population},
            )
            for population in (10_000, 100_000)
        ),
    ),
)

if __name__ == "__main__":
    cli.main("switch")

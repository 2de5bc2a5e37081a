"""What does a value cost from a generator without `yield`, beside greenlet's recipe for one?

greenlet has no generators, but shows in its documentation how to make some: a greenlet that is its
own iterator, and a function that looks for the innermost of them. Our version of that recipe runs
on both, on ringlet as a floor for what its generators do beyond it: send(), throw(), close(), the
consumer's context, and an error for whoever asks while the body runs.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import repeat
from typing import Any

from ringlet import iterate, yield_
from tests.perf import cli, clocks
from tests.perf.model import Faster, Figure, Question

Tools = tuple[Callable[..., Iterator[Any]], Callable[[Any], Any]]


def recipe(peer: str) -> Tools:
    """iterate() and yield_(), as short as they can be on raw greenlets."""
    raw = import_module(peer)

    class Iterating(raw.greenlet):
        def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
            super().__init__()
            self.function, self.args = function, args

        def run(self) -> None:
            self.function(*self.args)

        def __iter__(self) -> "Iterating":
            return self

        def __next__(self) -> Any:
            self.parent = raw.getcurrent()
            value = self.switch()
            if not self:
                raise StopIteration
            return value

    def give(value: Any) -> Any:
        here = raw.getcurrent()
        while not isinstance(here, Iterating):
            if here is None:
                raise RuntimeError("outside of a generator")
            here = here.parent
        return here.parent.switch(value)

    return lambda function, *args: Iterating(function, args), give


def tools(peer: str) -> Tools:
    """How `peer` makes a generator, and how it yields."""
    return {
        "ringlet": lambda: (iterate, yield_),
        "greenlet": lambda: recipe("greenlet"),
        "its recipe on ringlet": lambda: recipe("ringlet"),
    }[peer]()


def flat(peer: str, values: int) -> float:
    """ns per value that a loop in the body yields."""
    iterate, give = tools(peer)

    def body() -> None:
        for _ in repeat(None, values):
            give(None)

    return clocks.best(lambda: exhaust(iterate(body)), values)


def recursive(peer: str, depth: int) -> float:
    """ns per node of a full binary tree that plain calls walk."""
    iterate, give = tools(peer)

    def visit(levels: int) -> None:
        if levels:
            visit(levels - 1)
            give(levels)
            visit(levels - 1)

    return clocks.best(lambda: exhaust(iterate(visit, depth)), 2**depth - 1)


def nested(peer: str, depth: int) -> float:
    """ns per node of a full binary tree with a generator for each node, which asks two others."""
    iterate, give = tools(peer)

    def node(levels: int) -> None:
        if levels:
            for below in iterate(node, levels - 1):
                give(below)
            give(levels)
            for below in iterate(node, levels - 1):
                give(below)

    return clocks.best(lambda: exhaust(iterate(node, depth)), 2**depth - 1, repeats=3)


def short(peer: str, count: int) -> float:
    """ns to make a generator of one value and take all it gives."""
    iterate, give = tools(peer)

    def run() -> None:
        for _ in repeat(None, count):
            exhaust(iterate(give, None))

    return clocks.best(run, count)


def exhaust(values: Iterator[Any]) -> None:
    """Ask for all of `values`."""
    for _ in values:
        pass


def figure(
    name: str, work: Callable[..., float], params: dict[str, int], quick: dict[str, int]
) -> Figure:
    """The same work for all; to be faster than greenlet is the least."""
    names = ("ringlet", "greenlet", "its recipe on ringlet")
    targets = {"greenlet": Faster(1, 2)}
    return Figure(name, "ns", dict.fromkeys(names, work), targets, params=params, quick=quick)


QUESTION = Question(
    "generators",
    "Generators without yield",
    (
        figure("a value from a loop", flat, {"values": 100_000}, {"values": 1_000}),
        figure("a node, walked by recursive calls", recursive, {"depth": 16}, {"depth": 8}),
        figure("a node, a generator for each", nested, {"depth": 13}, {"depth": 6}),
        figure("a generator of one value", short, {"count": 10_000}, {"count": 200}),
    ),
)

if __name__ == "__main__":
    cli.main("generators")

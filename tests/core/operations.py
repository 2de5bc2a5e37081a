"""What random programs of greenlets are made of.

A program is a list of operations. Each is done by the greenlet that is current in some thread, and
its operands are numbers that are taken modulo whatever there is at that time: so any list of
operations is a program, and so is any part of it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

# How greenlets are made: a callable, a subclass, a subclass that does an operation when it is
# asked what to run, something that cannot be called, and nothing at all.
KINDS = ("callable", "method", "asking", "callable", "none", "missing")

# What they do about exceptions: die of all; only of GreenletExit; of none; return at GreenletExit.
MORTAL, BRAVE, STUBBORN, POLITE = range(4)
STYLES = 4

TRACERS = (None, "reports", "raises")


class Operation(NamedTuple):
    """One step of a program; `thread` and the operands are any numbers from 0 on."""

    kind: str
    thread: int
    a: int
    b: int
    c: int


class Boom(Exception):
    """The error of all programs."""


def choose(number: int, things: Sequence[T]) -> T:
    """The thing that a number stands for; there is one."""
    return things[number % len(things)]


def arguments(number: int, other: T) -> tuple[tuple[Any, ...], dict[str, int]]:
    """What is passed to a switch: every shape, some with a greenlet in it."""
    return (
        ((), {}),
        ((number,), {}),
        ((other,), {}),
        ((number, other), {}),
        ((), {"x": number}),
        ((other,), {"x": number, "y": 1}),
        ((None,), {}),
    )[number % 7]

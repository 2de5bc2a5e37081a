"""What many tests of the core need: C code between Python frames, and evicted greenlets."""

import functools
import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ringlet import getcurrent, greenlet
from ringlet.core import stack_statistics

Call = Callable[[], Any]


class Odd:
    """An object that hands every question C code asks about it to a function."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer: Any = None

    def ask(self, *_: object) -> bool:
        self.answer = self.call()
        return True

    __eq__ = __contains__ = __lt__ = ask

    def __hash__(self) -> int:
        self.ask()
        return 1

    def __reduce__(self) -> tuple[Any, ...]:
        self.ask()
        return int, (1,)

    @property
    def attribute(self) -> Any:
        self.ask()
        return self.answer


def by_sorted(call: Call) -> Any:
    answers: list[Any] = []
    sorted([0], key=lambda _: answers.append(call()))
    return answers[0]


def by_map(call: Call) -> Any:
    return next(map(lambda _: call(), [0]))  # noqa: C417 - through C is the point


def by_reduce(call: Call) -> Any:
    return functools.reduce(lambda _, __: call(), [0, 0])


def by_generator(call: Call) -> Any:
    return next(call() for _ in [0])


def by_nested_generators(call: Call) -> Any:
    def inner() -> Iterator[Any]:
        yield call()

    def outer() -> Iterator[Any]:
        yield from inner()

    (answer,) = outer()
    return answer


def by_comparison(call: Call) -> Any:
    odd = Odd(call)
    assert [odd] == [0]
    return odd.answer


def by_hash(call: Call) -> Any:
    odd = Odd(call)
    assert {odd: 1}
    return odd.answer


def by_getattr(call: Call) -> Any:
    return getattr(Odd(call), "attribute")  # noqa: B009 - through C is the point


def by_regex(call: Call) -> Any:
    answers: list[Any] = []
    re.sub("x", lambda _: answers.append(call()) or "", "x")
    return answers[0]


def by_json(call: Call) -> Any:
    answers: list[Any] = []
    json.dumps([object()], default=lambda _: answers.append(call()))
    return answers[0]


def by_pickle(call: Call) -> Any:
    odd = Odd(call)
    pickle.dumps([odd])
    return odd.answer


def by_class_call(call: Call) -> Any:
    class Made:
        def __init__(self) -> None:
            self.answer = call()

    return Made().answer


WAYS: dict[str, Callable[[Call], Any]] = {
    name[3:]: function for name, function in list(globals().items()) if name.startswith("by_")
}


def every_way(call: Call) -> Any:
    """Call through all of them, one in the other."""
    for way in WAYS.values():
        call = functools.partial(way, call)
    return call()


def nested(depth: int, call: Call) -> Any:
    """Call with so many Python frames on top of each other, and no C code between them."""
    return call() if depth == 0 else nested(depth - 1, call)


def chain(frame: FrameType | None) -> list[FrameType]:
    """A frame and all those that it was called from."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def names(frame: FrameType | None) -> list[str]:
    """What the functions of a frame and of its callers are called."""
    return [each.f_code.co_name for each in chain(frame)]


def here() -> list[FrameType]:
    """The chain of the caller."""
    return chain(sys._getframe(1))


def park() -> Any:
    """Switch to the parent; what a greenlet waits in that somebody else resumes."""
    parent = getcurrent().parent
    assert parent is not None
    return parent.switch()


@contextmanager
def crowd(size: int | None = None) -> Iterator[list[greenlet]]:
    """So many suspended greenlets that whoever was suspended before has been copied out."""
    members = [greenlet(park) for _ in range(size or 2 * stack_statistics()["slots"])]
    try:
        for member in members:
            member.switch()
        yield members
    finally:
        for member in members:
            if member:
                member.switch()


def push_out() -> None:
    """Have every greenlet that is suspended now copied out of its slot."""
    with crowd():
        pass

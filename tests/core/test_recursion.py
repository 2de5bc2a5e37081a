"""Each greenlet has the whole recursion budget, in Python and in C, on a slot of full size."""

import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ringlet.core import greenlet, stack_statistics
from tests.core.paths import WAYS, by_sorted, crowd, nested, park, push_out
from tests.support.isolated import run_isolated


@contextmanager
def limit(calls: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(calls)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def depth_reached() -> int:
    """How many calls more are possible from here."""

    def deeper(depth: int) -> int:
        try:
            return deeper(depth + 1)
        except RecursionError:
            return depth

    return deeper(0)


def test_a_greenlet_has_the_whole_budget_wherever_it_is_made() -> None:
    from_here = greenlet(depth_reached).switch()
    assert from_here > sys.getrecursionlimit() - 10
    assert nested(300, lambda: greenlet(depth_reached).switch()) == from_here


def test_depth_is_counted_apart() -> None:
    """What one greenlet has used is not missing in another, before or after a switch."""

    def use(calls: int) -> int:
        nested(calls, park)
        return depth_reached()

    here = depth_reached()
    deep, shallow = greenlet(use), greenlet(use)
    deep.switch(sys.getrecursionlimit() - 100)
    assert depth_reached() == here
    shallow.switch(1)
    push_out()
    assert deep.switch() == shallow.switch() == greenlet(depth_reached).switch() - 1
    assert depth_reached() == here


def test_a_recursion_error_leaves_the_others_alone() -> None:
    def overflow() -> None:
        overflow()

    deep = greenlet(lambda: nested(100, park))
    deep.switch()
    for _ in range(3):
        with pytest.raises(RecursionError):
            greenlet(overflow).switch()
    assert deep.switch(5) == 5


def test_a_new_limit_holds_in_suspended_greenlets() -> None:
    def measure() -> int:
        park()
        return depth_reached()

    child = greenlet(measure)
    child.switch()
    with limit(5000):
        assert 4900 < child.switch() < 5000


def test_python_calls_are_limited_by_the_setting_alone() -> None:
    """A data stack of many chunks, left and found again."""

    def sink(depth: int) -> int:
        return park() if depth == 0 else 1 + sink(depth - 1)

    with limit(60_000):
        child = greenlet(lambda: sink(50_000))
        child.switch()
        push_out()
        assert child.switch(0) == 50_000


# --- C recursion ----------------------------------------------------------------------------------


def repr_of_nested_lists() -> None:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    try:
        repr(nest)
    finally:
        while nest:  # piece by piece, for the sake of what takes lists apart
            nest = nest.pop()


def json_of_nested_lists() -> None:
    json.loads("[" * 100_000)


def sorting_that_sorts() -> None:
    sorted([0], key=lambda _: sorting_that_sorts())


def mapping_that_maps() -> None:
    next(map(lambda _: mapping_that_maps(), [0]))  # noqa: C417 - C code is the point


def isinstance_that_asks() -> None:
    class Asking(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls)

    class Asked(metaclass=Asking):
        pass

    isinstance(0, Asked)


def attributes_that_look() -> None:
    class Looking:
        def __getattr__(self, name: str) -> Any:
            return getattr(self, name)

    Looking().anything  # noqa: B018


def calls_that_call() -> None:
    class Calling:
        pass

    Calling.__call__ = Calling()  # type: ignore[operator,assignment]
    Calling()()


def substitutions_in_substitutions() -> None:
    re.sub("x", lambda _: substitutions_in_substitutions() or "", "x")


OVERFLOWS: list[Callable[[], object]] = [
    repr_of_nested_lists,
    json_of_nested_lists,
    sorting_that_sorts,
    mapping_that_maps,
    isinstance_that_asks,
    attributes_that_look,
    calls_that_call,
    substitutions_in_substitutions,
]


@pytest.mark.no_leak_check("the interpreter keeps larger buffers after such depths")
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_too_deep_in_c_is_a_recursion_error(overflow: Callable[[], object]) -> None:
    def work() -> str:
        with pytest.raises(RecursionError):
            overflow()
        return "alive"

    with pytest.raises(RecursionError):  # as it is without greenlets
        overflow()
    assert greenlet(work).switch() == "alive"
    assert greenlet(lambda: greenlet(work).switch()).switch() == "alive"


@pytest.mark.parametrize("way", WAYS)
def test_deep_c_frames_are_left_and_found_again(way: str) -> None:
    """C and Python frames by turns, as deep as the default limit allows."""

    def sink(depth: int) -> int:
        return park() if depth == 0 else WAYS[way](lambda: sink(depth - 1)) + 1

    depth = 80  # each is several calls, and 3.11 counts C calls too
    children = [greenlet(sink) for _ in range(3)]
    for child in children:
        child.switch(depth)
    push_out()
    for child in reversed(children):
        assert child.switch(0) == depth


def test_the_default_limits_fit_in_a_slot_with_room_to_spare() -> None:
    """The deepest C recursion that the interpreter allows, many times over in one slot."""
    program = """
import sys
import threading
from ringlet.core import getcurrent, greenlet, stack_statistics

def deeper(depth):
    try:
        return sorted([0], key=lambda _: deeper(depth + 1)) and depth
    except RecursionError:
        return getcurrent().parent.switch(depth)

children = [greenlet(deeper) for _ in range(stack_statistics()["slots"] + 5)]
for child in children:
    child.switch(0)
for child in children:
    child.switch()
print("ended")
"""
    env = {"RINGLET_SLOTS": "2"}
    assert run_isolated(program, env=env).stdout == "ended\n"


def test_a_slot_is_at_least_as_large_as_the_threads_stack() -> None:
    assert stack_statistics()["slot_bytes"] >= 8 << 20


def test_a_stack_overflow_is_caught_by_the_guard_page() -> None:
    """It kills as it would on any thread's stack, and the report shows where."""
    program = """
import faulthandler
from ringlet.core import greenlet

def work():
    faulthandler._stack_overflow()

greenlet(work).switch()
"""
    outcome = run_isolated(program, exit=-signal.SIGSEGV)
    assert "Segmentation fault" in outcome.stderr
    assert "in work" in outcome.stderr


# --- Nesting --------------------------------------------------------------------------------------


@pytest.mark.no_leak_check("ten thousand at a time are slow enough once")
def test_ten_thousand_nested_greenlets() -> None:
    def nest(depth: int) -> int:
        return 0 if depth == 0 else greenlet(nest).switch(depth - 1) + 1

    assert greenlet(nest).switch(10_000) == 10_000


@pytest.mark.no_leak_check("ten thousand at a time are slow enough once")
def test_an_exception_through_ten_thousand_nested_greenlets() -> None:
    def nest(depth: int) -> None:
        if depth == 0:
            raise KeyError("deep")
        greenlet(nest).switch(depth - 1)

    with pytest.raises(KeyError, match="deep"):
        greenlet(nest).switch(10_000)


def test_a_long_line_of_ancestors_is_freed_without_recursion() -> None:
    """On a stack that would not hold a call for each of them."""
    program = """
import threading
from ringlet.core import getcurrent, greenlet

ended = 0

def work():
    box = []
    main = getcurrent()

    def live():
        global ended
        box.append(greenlet(live))
        try:
            main.switch()
        finally:
            ended += 1

    last = greenlet(live)
    for _ in range(50_000):
        last.switch()
        last = box.pop()

threading.stack_size(1 << 20)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(ended)
"""
    assert run_isolated(program).stdout == "50000\n"


def test_taking_nested_objects_apart_in_a_greenlet() -> None:
    """The trashcan's nesting belongs to each greenlet; what it has put off, to the thread."""
    ended = 0

    class Nest:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __del__(self) -> None:
            nonlocal ended
            ended += 1
            greenlet(lambda: None).switch()

    def work() -> None:
        nest: Any = None
        for level in range(500):
            nest = (Nest(nest), [nest]) if level % 100 == 0 else (nest,)
        del nest

    for _ in range(3):
        greenlet(work).switch()
    work()
    assert ended == 4 * 5


def test_parser_and_compiler_find_enough_stack() -> None:
    def work() -> str:
        with pytest.raises((RecursionError, MemoryError)):  # which of them is up to the parser
            eval("-" * 50_000 + "1")
        return "alive"

    assert greenlet(work).switch() == "alive"


def test_a_thread_with_a_small_stack_has_large_greenlets() -> None:
    outcomes = []

    def work() -> None:
        with pytest.raises(RecursionError):
            sorting_that_sorts()
        outcomes.append("alive")

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: greenlet(work).switch())
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert outcomes == ["alive"]


def test_deep_and_shallow_ones_take_turns() -> None:
    def work(number: int) -> int:
        total = number
        for depth in (10, 300, 1, 150):
            total += nested(depth, lambda: by_sorted(park))
        return total

    children = [greenlet(work) for _ in range(30)]
    with crowd(20):
        for number, child in enumerate(children):
            child.switch(number)
        for _ in range(3):
            for child in reversed(children):
                child.switch(1)
    assert [child.switch(1) for child in children] == [number + 4 for number in range(30)]

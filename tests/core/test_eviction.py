"""Many greenlets in few slots: copied out and back, whatever lives on their stacks."""

import array
import collections
import ctypes
import ctypes.util
import functools
import heapq
import itertools
import json
import pickle
import platform
import random
import re
import struct

import pytest

from ringlet import getcurrent, greenlet
from ringlet.core import stack_statistics
from tests.core.paths import WAYS, Odd, by_sorted, crowd, every_way, nested, park, push_out

pytestmark = pytest.mark.core_subset


def test_statistics_tell_what_is_copied() -> None:
    before = stack_statistics()
    assert set(before) == {"slots", "mapped", "slot_bytes", "evictions", "evicted_bytes"}
    child = greenlet(park)
    child.switch()
    push_out()
    after = stack_statistics()
    assert after["slots"] == before["slots"]
    # One more may be needed while a collection is at work in the only one.
    assert after["slots"] <= after["mapped"] <= max(2, after["slots"])
    assert after["evictions"] > before["evictions"]
    assert after["evicted_bytes"] - before["evicted_bytes"] >= 200 * (
        after["evictions"] - before["evictions"]
    )
    child.switch()


def test_hot_greenlets_are_not_copied() -> None:
    slots = stack_statistics()["slots"]
    main = getcurrent()

    def body():
        while True:
            main.switch()

    children = [greenlet(body) for _ in range(slots)]
    for child in children:
        child.switch()
    before = stack_statistics()["evictions"]
    for _ in range(10):
        for child in children:
            child.switch()
    evictions = stack_statistics()["evictions"] - before
    # Hard mode copies at every switch.
    assert evictions in (0, 10 * slots)


def test_ended_greenlets_leave_their_slots_to_others() -> None:
    slots = stack_statistics()["slots"]
    children = [greenlet(park) for _ in range(slots)]
    for child in children:
        child.switch()
    children[slots // 2].switch()
    before = stack_statistics()["evictions"]
    other = greenlet(park)
    other.switch()
    hard = before > 0 and stack_statistics()["evictions"] - before == 1
    assert stack_statistics()["evictions"] == before or hard
    other.switch()


def test_a_slot_that_is_in_use_again_is_not_empty() -> None:
    """One ends, another of its slot comes back into it; a newcomer must not take it for empty."""
    slots = stack_statistics()["slots"]
    first = [greenlet(park) for _ in range(slots)]
    second = [greenlet(park) for _ in range(slots)]
    for child in (*first, *second):
        child.switch()
    for child in second:
        child.switch()  # ends, and leaves an empty slot whose other greenlet is copied out

    def body():
        newcomers = [greenlet(park) for _ in range(3 * slots)]
        for newcomer in newcomers:
            newcomer.switch()
        return [newcomer.switch(number) for number, newcomer in enumerate(newcomers)]

    def spawner():
        park()
        return body()

    spawners = [greenlet(spawner) for _ in range(slots)]
    for spawner in spawners:
        spawner.switch()
    for spawner in spawners:
        assert spawner.switch() == list(range(3 * slots))
    for number, child in enumerate(first):
        assert child.switch(number) == number


@pytest.mark.parametrize("way", list(WAYS))
def test_all_kinds_of_frames_survive(way) -> None:
    def body(number):
        total = number
        for _ in range(3):
            total += WAYS[way](park)
        return total

    size = stack_statistics()["slots"] + 20
    children = [greenlet(body) for _ in range(size)]
    for number, child in enumerate(children):
        child.switch(number)
    for _ in range(2):
        for child in children:
            child.switch(1)
    assert [child.switch(1) for child in children] == [number + 3 for number in range(size)]


@pytest.mark.parametrize("depth", [0, 1, 5, 20, 60, 200, 700])
def test_every_depth_of_python_frames_survives(depth) -> None:
    """The interpreter keeps them in chunks, of which the first is ours and small."""

    def deep(depth, value):
        local = [value, depth]
        result = deep(depth - 1, value) if depth else park()
        assert local == [value, depth]
        return result

    children = [greenlet(deep) for _ in range(10)]
    for number, child in enumerate(children):
        child.switch(depth, number)
    push_out()
    assert [child.switch(number) for number, child in enumerate(children)] == list(range(10))


def test_calls_that_cross_the_first_chunk_again_and_again() -> None:
    def body(depth):
        return nested(depth, lambda: [nested(step % 5, str) for step in range(50)])

    for depth in range(30):
        assert greenlet(body).switch(depth) == [""] * 50


def test_frames_too_large_for_the_first_chunk() -> None:
    names = [f"v{number}" for number in range(400)]
    source = "def large(x):\n" + "".join(f"    {name} = x\n" for name in names)
    source += "    park()\n    return sum((" + ", ".join(names) + "))\n"
    namespace = {"park": park}
    exec(source, namespace)
    large = namespace["large"]
    children = [greenlet(lambda number: nested(number, lambda: large(number))) for _ in range(20)]
    for number, child in enumerate(children):
        child.switch(number)
    push_out()
    assert [child.switch() for child in children] == [400 * number for number in range(20)]


# ---- C code that is interrupted deep inside


def test_sorting_that_is_interrupted_at_every_comparison() -> None:
    rng = random.Random(1)
    lists = [
        [rng.randrange(1000) for _ in range(40)] for _ in range(stack_statistics()["slots"] + 10)
    ]

    @functools.total_ordering
    class Slow:
        def __init__(self, value):
            self.value = value

        def __eq__(self, other):
            return self.value == other.value

        def __lt__(self, other):
            park()
            return self.value < other.value

    def sort(values):
        return [one.value for one in sorted(map(Slow, values))]

    assert run_all(sort, lists) == [sorted(values) for values in lists]


def run_all(function, inputs) -> list:
    """Run function(input) in a greenlet each, one step at a time in turn; their results."""
    children = [greenlet(function) for _ in inputs]
    results = [child.switch(given) for child, given in zip(children, inputs, strict=True)]
    while not all(child.dead for child in children):
        for number, child in enumerate(children):
            if not child.dead:
                results[number] = child.switch()
    return results


class Slow:
    """A number that parks whenever C code asks it for something."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        park()
        return Slow, (self.value,)

    def __eq__(self, other):
        return self.value == other.value

    def __hash__(self):
        park()
        return hash(self.value)

    def __lt__(self, other):
        park()
        return self.value < other.value

    def __index__(self):
        park()
        return self.value

    def __iter__(self):
        return (park() or number for number in range(self.value))


def test_c_libraries_that_are_interrupted() -> None:
    def work(number):
        ones = [Slow(number + step) for step in range(5)]
        return [
            pickle.loads(pickle.dumps({1: [ones]})) == {1: [ones]},
            json.loads(json.dumps({"a": [ones]}, default=lambda one: park() or one.value)),
            re.sub("[a-e]", lambda match: park() or match[0].upper(), "abcdefg" * 3),
            [one.value for one in heapq.nsmallest(3, ones)],
            sorted({one.value for one in {*ones}}),
            bytes(ones[:3])[0] if number < 200 else None,
            struct.pack("<5i", *ones),
            list(array.array("i", ones)),
            list(ones[0]),
            functools.reduce(lambda left, right: park() or left + right.value, ones, 0),
            [len(list(group)) for _, group in itertools.groupby(ones, lambda one: park() or one)],
            collections.Counter(map(lambda one: park() or one.value % 2, ones)),  # noqa: C417
            max(ones, key=lambda one: park() or -one.value).value,
            max(*ones, Slow(0)).value,
            len(collections.deque(map(lambda _: park(), ones), 3)),  # noqa: C417
            dict(zip(ones[0], ones[0], strict=True)),
        ]

    inputs = [2 + number % 3 for number in range(stack_statistics()["slots"] + 5)]

    def undisturbed(number):
        values = [number + step for step in range(5)]
        return [
            True,
            {"a": [values]},
            "ABCDEfg" * 3,
            values[:3],
            values,
            values[0],
            struct.pack("<5i", *values),
            values,
            list(range(number)),
            sum(values),
            [1] * 5,
            collections.Counter(value % 2 for value in values),
            values[0],
            values[-1],
            3,
            {value: value for value in range(number)},
        ]

    assert run_all(work, inputs) == [undisturbed(number) for number in inputs]


def test_c_callbacks_through_ctypes() -> None:
    libc = ctypes.CDLL(None)
    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def sort(values):
        def compare(left, right):
            park()
            ends = (ctypes.c_int.from_address(end).value for end in (left, right))
            return next(ends) - next(ends)

        numbers = (ctypes.c_int * len(values))(*values)
        libc.qsort(numbers, len(values), ctypes.sizeof(ctypes.c_int), compare_type(compare))
        return list(numbers)

    rng = random.Random(2)
    lists = [
        [rng.randrange(100) for _ in range(10)] for _ in range(stack_statistics()["slots"] + 5)
    ]
    assert run_all(sort, lists) == [sorted(values) for values in lists]


def test_rounding_modes_belong_to_the_greenlet_that_set_them() -> None:
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    by_machine = {"aarch64": (0, 0x400000, 0x800000), "arm64": (0, 0x400000, 0x800000)}
    nearest, upward, downward = by_machine.get(platform.machine(), (0, 0x800, 0x400))
    assert libm.fegetround() == nearest

    def body(mode):
        libm.fesetround(mode)
        for _ in range(3):
            park()
            assert libm.fegetround() == mode
        libm.fesetround(nearest)
        return mode

    children = [greenlet(body) for _ in range(stack_statistics()["slots"] + 6)]
    modes = list(itertools.islice(itertools.cycle((upward, downward, nearest)), len(children)))
    for child, mode in zip(children, modes, strict=True):
        child.switch(mode)
        assert libm.fegetround() == nearest
    for _ in range(2):
        for child in children:
            child.switch()
            assert libm.fegetround() == nearest
    assert [child.switch() for child in children] == modes
    assert libm.fegetround() == nearest


# ---- Everything at once


def deeply(rng, depth, call):
    """Through a random mixture of frames."""
    if depth == 0:
        return call()
    way = rng.choice([nested_once, *WAYS.values()])
    return way(lambda: deeply(rng, depth - 1, call))


def nested_once(call):
    return call()


@pytest.mark.parametrize("seed", range(3))
def test_random_turns_at_random_depths(seed) -> None:
    rng = random.Random(seed)
    size, steps = 300, 3000

    def body(number):
        mine = random.Random(number)
        total = number
        while True:
            total += deeply(mine, mine.randrange(12), functools.partial(main.switch, total))

    main = getcurrent()
    children = [greenlet(body) for _ in range(size)]
    model = list(range(size))
    for number, child in enumerate(children):
        assert child.switch(number) == number
    for _ in range(steps):
        number, change = rng.randrange(size), rng.randrange(100)
        model[number] += change
        assert children[number].switch(change) == model[number]
        if rng.random() < 0.02:
            children[number] = greenlet(body)
            model[number] = number
            assert children[number].switch(number) == number


def test_a_greenlet_that_starts_another_in_its_own_slot() -> None:
    """The running stack makes way for the newcomer, again and again."""

    def body(depth):
        if depth == 0:
            return by_sorted(park)
        child = greenlet(body)
        every_way(lambda: child.switch(depth - 1))
        return child.switch(park())

    with crowd(stack_statistics()["slots"]):
        children = [greenlet(body) for _ in range(10)]
        for child in children:
            child.switch(5)
        push_out()
        for number, child in enumerate(children):
            assert child.switch(number) == number


def test_evicted_objects_can_ask_back() -> None:
    """C code calls into a greenlet that is copied out, whose frames wait in C code."""
    main = getcurrent()
    answering = greenlet(lambda: every_way(lambda: [main.switch(step) for step in range(50)]))
    assert answering.switch() == 0

    def ask():
        push_out()
        return answering.switch()

    odd = Odd(ask)
    for step in range(1, 20):
        assert [odd] == [0]
        assert odd.answer == step
    answering.throw()

"""The states of a greenlet, and how one ends."""

import sys

import pytest

from ringlet import GreenletExit, getcurrent, greenlet
from tests.core.paths import every_way, park, push_out

pytestmark = pytest.mark.core_subset


def state(one: greenlet) -> tuple[bool, bool]:
    return bool(one), one.dead


PENDING, ACTIVE, DEAD = (False, False), (True, False), (False, True)


def test_states_by_switches() -> None:
    child = greenlet(lambda: park() and state(child))
    assert state(child) == PENDING
    child.switch()
    assert state(child) == ACTIVE
    assert child.switch("go on") == ACTIVE
    assert state(child) == DEAD
    assert state(getcurrent()) == ACTIVE


def test_dead_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        greenlet().dead = True


@pytest.mark.parametrize("ending", ["return", "raise", "exit", "throw", "throw before the start"])
def test_every_ending_leaves_it_dead(ending) -> None:
    def body():
        if ending == "raise":
            raise KeyError
        if ending == "exit":
            raise GreenletExit
        if ending == "throw":
            park()

    child = greenlet(body)
    if ending.startswith("throw"):
        if ending == "throw":
            child.switch()
        child.throw()
    elif ending == "raise":
        with pytest.raises(KeyError):
            child.switch()
    else:
        child.switch()
    assert state(child) == DEAD
    assert child.gr_frame is None
    assert child.switch("passed on") == "passed on"
    with pytest.raises(AttributeError):
        child.run  # noqa: B018


def test_locals_are_freed_at_the_end() -> None:
    class Value:
        pass

    value = Value()

    def body(given):
        kept = [given]
        park()
        return len(kept)

    child = greenlet(body)
    before = sys.getrefcount(value)
    child.switch(value)
    assert sys.getrefcount(value) > before
    child.switch()
    assert sys.getrefcount(value) == before


def test_run_is_freed_when_it_starts_and_ends() -> None:
    def body():
        return sys.getrefcount(body)

    before = sys.getrefcount(body)
    child = greenlet(body)
    during = child.switch()
    assert sys.getrefcount(body) == before
    assert during > before


def test_the_last_thing_a_greenlet_does_may_be_its_end_by_another() -> None:
    """It drops the last reference to itself while it runs."""
    children = []

    def body():
        children.clear()
        return "still ran to the end"

    children.append(greenlet(body))
    assert children[0].switch() == "still ran to the end"


def test_a_callable_object_that_ends_the_greenlet_from_its_finalizer() -> None:
    class Run:
        def __call__(self):
            return "called"

        def __del__(self):
            log.append(state(getcurrent()))

    log = []
    child = greenlet(Run())
    assert child.switch() == "called"
    assert len(log) == 1


def test_a_finalizer_of_run_may_switch_during_the_start() -> None:
    main = getcurrent()

    class Run:
        def __call__(self):
            return "called"

        def __del__(self):
            log.append(main.switch("from the finalizer"))

    log = []
    child = greenlet(Run())
    first = child.switch()
    second = child.switch("back")
    assert [first, second] == ["from the finalizer", "called"]
    assert log == ["back"]


def test_many_die_at_once_in_any_order() -> None:
    order = []

    def body(number):
        try:
            every_way(park)
        finally:
            order.append(number)

    children = [greenlet(body) for _ in range(200)]
    for number, child in enumerate(children):
        child.switch(number)
    push_out()
    wanted = sorted(range(200), key=lambda number: number * 77 % 200)
    for number in wanted:
        children[number].throw()
    assert order == wanted
    assert all(child.dead for child in children)


def test_one_ends_another_ends_another() -> None:
    """Each is thrown at from the `finally` of the one before, all in deep frames."""
    count = 0

    def body(rest):
        nonlocal count
        try:
            every_way(park)
        finally:
            count += 1
            if rest:
                rest[0].parent = getcurrent()
                rest[0].throw()

    children: list[greenlet] = []
    for _ in range(40):
        child = greenlet(body)
        child.switch(children[-1:])
        children.append(child)
    children[-1].throw()
    assert count == 40
    assert all(child.dead for child in children)
    children.clear()


def test_nested_starts_ten_thousand_deep() -> None:
    def nest(depth):
        return depth if depth == 10_000 else greenlet(nest).switch(depth + 1)

    assert greenlet(nest).switch(0) == 10_000


def test_ten_thousand_nested_ones_suspended_at_the_bottom_and_resumed() -> None:
    main = getcurrent()
    bottom = []

    def nest(depth):
        if depth:
            return 1 + greenlet(nest).switch(depth - 1)
        bottom.append(getcurrent())
        return main.switch("suspended")

    assert greenlet(nest).switch(10_000) == "suspended"
    assert bottom[0].switch(5) == 10_005
    bottom.clear()


def test_a_deep_object_is_freed_in_a_greenlet() -> None:
    """The interpreter limits the nesting of deallocations by counting it, per greenlet."""

    def build(depth):
        nested: list[object] = []
        for _ in range(depth):
            nested = [nested]
        return nested

    def body():
        keep = build(100_000)
        park()
        del keep
        return "freed"

    children = [greenlet(body) for _ in range(3)]
    for child in children:
        child.switch()
    push_out()
    assert [child.switch() for child in children] == ["freed"] * 3


def test_switches_in_the_midst_of_nested_deallocations() -> None:
    """At a depth where the interpreter begins to defer deallocations, and back again."""
    main = getcurrent()
    count = 0

    class Link:
        def __init__(self, below):
            self.below = below

        def __del__(self):
            nonlocal count
            count += 1
            if count % 50 == 0:
                main.switch(count)

    def body(size):
        chain = None
        for _ in range(size):
            chain = Link((chain,))
        del chain
        return "freed"

    def free_nested():
        nested: list[object] = []
        for _ in range(1000):
            nested = [nested]

    first, second = greenlet(body), greenlet(body)
    outcomes = [first.switch(1000), second.switch(1000)]
    while not (first.dead and second.dead):
        for child in (first, second):
            if not child.dead:
                free_nested()
                push_out()
                outcomes.append(child.switch())
    assert count == 2000
    assert outcomes.count("freed") == 2

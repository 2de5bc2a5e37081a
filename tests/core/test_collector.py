"""The collector keeps lists on the stack it runs on, and finalizers switch away in its midst."""

import gc
from collections.abc import Callable, Iterator

import pytest

from ringlet import GreenletError, getcurrent, greenlet
from ringlet.core import stack_statistics
from tests.support.isolated import run_isolated

child_process = pytest.mark.no_leak_check("runs in a child process")


@pytest.fixture(autouse=True)
def collect_when_told() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Finalized:
    """In a cycle with itself; calls a function when the collector finds it."""

    def __init__(self, then: Callable[["Finalized"], object]) -> None:
        self.then = then
        self.cycle = self

    def __del__(self) -> None:
        self.then(self)


def collect(then: Callable[[Finalized], object]) -> str:
    Finalized(then)
    gc.collect()
    return "collected"


# Two greenlets that share one slot if there is but one: what is garbage is taken apart in the
# second while the first, in the middle of the collection, is suspended.
TAKEN_APART = """
import gc
from ringlet.core import GreenletError, getcurrent, greenlet

gc.disable()

class Node:
    pass

class Root:
    def __init__(self):
        self.cycle = self
        self.nodes = [Node() for _ in range(50)]
        for node in self.nodes:
            node.cycle, node.root = node, self

    def __del__(self):
        try:
            other.switch(self)
        except GreenletError as error:
            refused.append(str(error))

def take_apart():
    root = getcurrent().parent.switch()
    while True:
        nodes, root.nodes = root.nodes, None
        for node in nodes:
            node.__dict__.clear()
        del nodes, node
        root = worker.switch()

def work():
    for _ in range(20):
        Root()
        gc.collect()
    return "ended"

refused = []
other = greenlet(take_apart)
other.switch()
worker = greenlet(work)
print(worker.switch(), len(refused), len({text.partition(">: ")[2] for text in refused}))
"""


@child_process
@pytest.mark.parametrize(("slots", "refusals"), [("1", "20 1"), ("64", "0 0")])
def test_garbage_is_taken_apart_elsewhere_while_its_collector_waits(slots, refusals) -> None:
    """With one slot there is no room for both, and that is refused in words."""
    env = {"RINGLET_SLOTS": slots, "RINGLET_HARD": ""}
    assert run_isolated(TAKEN_APART, env=env).stdout == f"ended {refusals}\n"


def test_a_finalizer_in_a_collection_may_switch_to_the_parent() -> None:
    worker = greenlet(lambda: collect(lambda _: getcurrent().parent.switch("finalizing")))
    assert worker.switch() == "finalizing"
    assert gc.collect() == 0, "one collection at a time"
    assert worker.switch() == "collected"


def test_a_finalizer_in_a_collection_may_start_greenlets() -> None:
    """Even where there is but one slot, and that is taken."""
    started = []

    def start(_: Finalized) -> None:
        children = [
            greenlet(lambda: started.append(getcurrent().parent.switch())) for _ in range(9)
        ]
        for child in children:
            child.switch()
        for number, child in enumerate(children):
            child.switch(number)

    assert greenlet(lambda: collect(start)).switch() == "collected"
    assert started == list(range(9))


def test_who_shares_its_slot_is_refused_until_the_collection_ends() -> None:
    """As many as there are slots and more: some share one with it."""
    others = [
        greenlet(lambda: getcurrent().parent.switch())
        for _ in range(2 * stack_statistics()["slots"])
    ]
    for other in others:
        other.switch()
    worker = greenlet(lambda: collect(lambda _: getcurrent().parent.switch("finalizing")))
    assert worker.switch() == "finalizing"
    refused = []
    for other in others:
        other.parent = getcurrent()
        try:
            other.switch()
        except GreenletError:
            refused.append(other)
    assert refused
    assert all(refused), "they are suspended as before"
    with pytest.raises(GreenletError, match="middle of a garbage collection"):
        refused[0].throw(ValueError("is not raised"))
    assert worker.switch() == "collected"
    for other in refused:
        assert other.switch("late") == "late"


@child_process
def test_one_that_ends_while_its_parent_cannot_be_entered_tells_the_next() -> None:
    """The parent shares its slot with a collection; its own parent is told."""
    program = """
import gc
from ringlet.core import GreenletError, getcurrent, greenlet

gc.disable()
main = getcurrent()

class Finalized:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        main.switch("finalizing")

def collect():
    Finalized()
    gc.collect()
    return "collected"

parent = greenlet(lambda: main.switch("waiting"))
print(parent.switch())
worker = greenlet(collect)
print(worker.switch())
child = greenlet(lambda: "lost", parent)
try:
    child.switch()
except GreenletError as error:
    print(str(error).partition(">: ")[2].partition(";")[0])
print(worker.switch(), parent.switch("late"))
"""
    env = {"RINGLET_SLOTS": "1", "RINGLET_HARD": ""}
    assert run_isolated(program, env=env).stdout == (
        "waiting\nfinalizing\n"
        "it shares its slot with a greenlet that is in the middle of a garbage collection\n"
        "collected late\n"
    )


@child_process
@pytest.mark.parametrize("slots", ["1", "64"])
def test_the_program_ends_in_the_midst_of_a_collection(slots: str) -> None:
    program = """
import gc
from ringlet.core import getcurrent, greenlet

class Finalized:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        getcurrent().parent.switch()

def collect():
    Finalized()
    gc.collect()

worker = greenlet(collect)
worker.switch()
print("ended")
"""
    env = {"RINGLET_SLOTS": slots, "RINGLET_HARD": ""}
    assert run_isolated(program, env=env).stdout == "ended\n"


# ---- Up to CPython 3.11 a collection may begin in any allocation

AMBUSH = """
import gc
from ringlet import getcurrent, greenlet

class Node:
    def __init__(self, then):
        self.itself, self.then = self, then

    def __del__(self):
        self.then()

def ambush(operation, then, allocations):
    gc.collect()
    Node(then)
    # So that none of them finds its memory in the interpreter's lists of free objects.
    kept = [[(n,), (n, n), {}] for n in range(3000)]
    gc.set_threshold(gc.get_count()[0] + allocations, 1000, 1000)
    gc.enable()
    try:
        return operation()
    finally:
        gc.disable()

gc.disable()
main = getcurrent()
"""


@child_process
@pytest.mark.parametrize("arguments", ["", "1", "1, 2", "1, k=2"])
def test_a_greenlet_may_end_in_a_collection_while_a_switch_to_it_begins(arguments: str) -> None:
    program = f"""
for allocations in range(10):
    child = greenlet(lambda: main.switch())
    child.switch()
    ambush(lambda: child.switch({arguments}), lambda: child.dead or child.switch(), allocations)
    assert child.dead
"""
    run_isolated(AMBUSH + program)


@child_process
def test_a_greenlet_may_end_in_a_collection_while_it_is_thrown_at() -> None:
    program = """
for allocations in range(10):
    parent = greenlet(lambda *values: "ended")
    dead = greenlet(lambda: None)
    dead.switch()
    dead.parent = parent
    ambush(lambda: dead.throw(), lambda: parent.dead or parent.switch(), allocations)
    assert parent.dead
"""
    run_isolated(AMBUSH + program)


@child_process
def test_a_collection_while_a_frame_is_asked_for_runs_in_the_greenlet_that_asks() -> None:
    program = """
import traceback

def body():
    main.switch()

def finalizer():
    stacks.append([frame.name for frame in traceback.extract_stack()])
    child.dead or child.switch()

for allocations in range(10):
    stacks = []
    child = greenlet(body)
    child.switch()
    ambush(lambda: child.gr_frame, finalizer, allocations)
    gc.collect()
    assert child.dead
    assert stacks and "body" not in stacks[0], stacks
"""
    run_isolated(AMBUSH + program)

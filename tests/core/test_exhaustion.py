"""Out of memory: MemoryError where it happened, and everybody as they were before.

What a switch may need memory for is copying out a stack that is in the way. Each program has few
slots and one deep stack that has never been copied out; then it fills up its address space.
"""

import textwrap

import pytest

from tests.support.isolated import run_isolated

PRELUDE = """
import resource, sys
from ringlet.core import getcurrent, greenlet, stack_statistics

sys.setrecursionlimit(100_000)
# Its own report of an error imports modules, and no CPython lives through the end of memory in
# the midst of making their classes.
sys.unraisablehook = lambda unraisable: print(unraisable.exc_type.__name__, file=sys.stderr)
main = getcurrent()
_, most = resource.getrlimit(resource.RLIMIT_AS)

def exhaust():
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), most))

def relieve():
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

def park():
    return main.switch()

def sink(depth, bottom=park):
    '''Goes down C frames of a megabyte in all.'''
    if depth == 0:
        return bottom()
    found = []
    sorted([0], key=lambda _: found.append(sink(depth - 1, bottom)))
    return found[0]

def suspend(run, *args):
    child = greenlet(run)
    child.switch(*args)
    return child

"""


def run(program: str, slots: int) -> str:
    """Run a program with so many slots; returns what it said."""
    return run_isolated(
        PRELUDE + textwrap.dedent(program),
        env={"RINGLET_SLOTS": str(slots), "RINGLET_HARD": "0", "MALLOC_MMAP_THRESHOLD_": "65536"},
    ).stdout


def test_a_switch_without_memory_changes_nothing() -> None:
    program = """
    shallow = suspend(park)
    deep = suspend(sink, 300)
    before = stack_statistics()
    exhaust()
    for _ in range(3):
        try:
            shallow.switch("lost")
        except MemoryError:
            print("no memory")
    for _ in range(3):
        try:
            shallow.throw(KeyError)
        except MemoryError:
            print("no memory")
    assert getcurrent() is main and shallow and deep
    assert stack_statistics() == before
    relieve()
    assert shallow.switch("found") == "found"
    assert deep.switch("bottom") == "bottom"
    """
    assert run(program, slots=1) == "no memory\n" * 6


def test_the_one_who_would_have_to_go_can_still_be_resumed() -> None:
    program = """
    shallow = suspend(park)
    deep = suspend(sink, 300)
    exhaust()
    assert deep.switch("bottom") == "bottom"
    assert shallow.switch("found") == "found"
    """
    assert run(program, slots=1) == ""


def test_a_deep_one_cannot_leave_and_says_so_at_the_bottom() -> None:
    program = """
    shallow = suspend(park)
    def bottom():
        exhaust()
        try:
            shallow.switch()
        except MemoryError:
            return "could not leave"
    print(greenlet(sink).switch(300, bottom))
    assert shallow.switch("found") == "found"
    """
    assert run(program, slots=1) == "could not leave\n"


def test_a_start_without_memory_can_be_tried_again() -> None:
    program = """
    deep = suspend(sink, 300)
    new = greenlet(print)
    exhaust()
    for _ in range(3):
        try:
            new.switch("lost")
        except MemoryError:
            print("no memory")
    assert not new and not new.dead and new.run is print
    relieve()
    new.switch("started")
    assert deep.switch("bottom") == "bottom"
    """
    assert run(program, slots=1) == "no memory\n" * 3 + "started\n"


def test_an_end_without_memory_for_the_parent_goes_to_its_parent() -> None:
    """Like any other error that keeps a parent from going on."""
    program = """
    def parent():
        child = greenlet(lambda: park() and "result")
        box.append(child)
        return child.switch()

    box = []
    waiting = suspend(parent)
    [child] = box
    deep = suspend(sink, 300)
    exhaust()
    try:
        child.switch(True)
    except MemoryError:
        print("main is told")
    assert child.dead and waiting and deep
    relieve()
    assert waiting.switch("another result") == "another result"
    assert deep.switch("bottom") == "bottom"
    """
    assert run(program, slots=2) == "main is told\n"


def test_an_end_that_starts_its_parent_needs_no_memory() -> None:
    program = """
    parent = greenlet(lambda value: value + 1)
    children = [greenlet(park, parent=parent) for _ in range(2)]
    for child in children:
        child.switch()
    deep = suspend(sink, 300)
    exhaust()
    print(children[1].switch(41))
    assert parent.dead and deep
    """
    assert run(program, slots=2) == "42\n"


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_limits_met_while_greenlets_come_and_go(slots: int) -> None:
    """A random program under a limit that grows: errors may happen, anything else may not."""
    program = """
    import random
    dice = random.Random(7)
    def live(depth):
        while True:
            wish = sink(depth)
            if wish == "end":
                return
            depth = wish
    greenlets = []
    errors = 0
    for step in range(3000):
        if step % 300 == 0:
            relieve()
        elif step % 300 == 150:
            exhaust()
        try:
            choice = dice.random()
            if choice < 0.3:
                child = greenlet(live)
                child.switch(dice.choice([0, 1, 5, 40]))
                greenlets.append(child)
            elif greenlets and choice < 0.4:
                dice.choice(greenlets).switch("end")
            elif greenlets and choice < 0.5:
                greenlets.pop(dice.randrange(len(greenlets)))
            elif greenlets:
                dice.choice(greenlets).switch(dice.choice([0, 1, 5, 40]))
        except MemoryError:
            errors += 1
    relieve()
    for child in greenlets:
        if child:
            child.switch("end")
    assert not any(greenlets)
    print("errors" if errors else "none")
    """
    outcome = run_isolated(
        PRELUDE + textwrap.dedent(program),
        env={"RINGLET_SLOTS": str(slots), "MALLOC_MMAP_THRESHOLD_": "16384"},
    )
    assert outcome.stdout in ("errors\n", "none\n")


TASKLETS = """
import ringlet
from ringlet import Channel, schedule, spawn
"""


def test_a_tasklet_ends_and_the_next_one_lacks_memory_so_another_goes_first() -> None:
    program = """
    def next_one():
        wakes.receive()
        print("next one")

    def ending():
        schedule()
        exhaust()
        print("ends")

    wakes, never = Channel(preference=1), Channel()
    tasklets = [spawn(next_one), spawn(ending)]
    deep = spawn(sink, 300, never.receive)
    schedule()
    wakes.send(None)
    schedule()
    print("main")
    try:
        schedule()
    except MemoryError:
        print("still no memory")
    relieve()
    schedule()
    never.send("bottom")
    assert deep.result() == "bottom"
    assert all(tasklet.finished for tasklet in tasklets)
    """
    said = run(TASKLETS + textwrap.dedent(program), slots=2)
    assert said == "ends\nmain\nstill no memory\nnext one\n"


def test_a_tasklet_ends_and_a_new_one_needs_no_memory() -> None:
    program = """
    def ending():
        schedule()
        exhaust()
        new.append(spawn(print, "new one"))

    new = []
    never = Channel()
    spawn(int)
    spawn(ending)
    deep = spawn(sink, 300, never.receive)
    schedule()
    schedule()
    relieve()
    never.send("bottom")
    assert deep.result() == "bottom"
    """
    assert run(TASKLETS + textwrap.dedent(program), slots=2) == "new one\n"


def test_when_nobody_can_go_on_main_is_told() -> None:
    """Slot 0 is that of the hub, of the greenlet main waits in, of the next tasklet and of the
    deep one; slot 1 is that of the tasklet that ends."""
    program = """
    def ending():
        first.receive()
        exhaust()
        print("ends")

    def next_one():
        second.receive()
        print("next one")

    def between():
        schedule()
        third.receive()

    def part_of_main():
        spawn(ending)
        tasklets.append(spawn(next_one))
        tasklets.append(spawn(between))
        schedule()
        deep.append(spawn(sink, 300, never.receive))
        first.send(None)
        second.send(None)
        schedule()
        print("never")

    tasklets, deep = [], []
    first, second, third = [Channel(preference=1) for _ in range(3)]
    never = Channel()
    ringlet.sleep(0.001)
    dummy = suspend(park)
    lost = greenlet(part_of_main)
    try:
        lost.switch()
    except MemoryError:
        print("main is told")
    assert lost.dead
    relieve()
    assert ringlet.current() is ringlet.main()
    never.send("bottom")
    assert deep[0].result() == "bottom"
    third.send(None)
    assert all(tasklet.join(10) for tasklet in tasklets)
    dummy.switch()
    """
    said = run(TASKLETS + textwrap.dedent(program), slots=2)
    assert said == "ends\nmain is told\nnext one\n"

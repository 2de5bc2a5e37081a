"""Memory that deep stacks took goes back; many deep stacks get slots of their own."""

import textwrap

from tests.support.isolated import run_isolated

PRELUDE = """
import sys
from ringlet.core import getcurrent, greenlet, stack_statistics

sys.setrecursionlimit(100_000)
main = getcurrent()
MIB = 1 << 20

def resident():
    # Counts the pages; what /proc/self/status says may lag behind, more so with many CPUs.
    with open("/proc/self/smaps_rollup") as file:
        [line] = [line for line in file if line.startswith("Rss:")]
    return int(line.split()[1]) * 1024

def dive(levels, bottom=lambda: None):
    '''Goes down C frames of some 4 KiB a level. CPython 3.12.1 allows 499 levels.'''
    if levels == 0:
        return bottom()
    found = []
    sorted([0], key=lambda _: found.append(dive(levels - 1, bottom)))
    return found[0]

def park():
    return main.switch()

"""


def run(program: str, slots: str = "") -> None:
    """Run a program that asserts what it claims; slots as the environment would set them."""
    run_isolated(
        PRELUDE + textwrap.dedent(program),
        env={"RINGLET_SLOTS": slots, "RINGLET_HARD": "0"},
    )


def test_stacks_that_were_deep_are_small_again_when_their_greenlets_end() -> None:
    program = """
    def body():
        dive(400)
        park()

    def population():
        members = [greenlet(body) for _ in range(20)]
        for member in members:
            member.switch()
        return members

    before = resident()
    members = population()
    deep = resident()
    assert deep - before > 20 * MIB, (before, deep)
    for member in members:
        member.switch()
    assert all(member.dead for member in members)
    del member, members
    assert resident() - before < (deep - before) / 3, (before, deep, resident())
    """
    run(program)


def test_stacks_that_were_deep_are_small_again_when_they_are_copied_out() -> None:
    program = """
    def body():
        while park():
            dive(400)

    members = [greenlet(body) for _ in range(20)]
    for member in members:
        member.switch()
    before = resident()
    for member in members[:10]:
        member.switch(True)
    deep = resident()
    assert deep - before > 10 * MIB, (before, deep)
    for member in members[10:]: # They share the slots of the others.
        member.switch(True)
        assert resident() - before < (deep - before) + 8 * MIB
    for member in members * 2:
        member.switch(False)
    assert all(member.dead for member in members)
    assert resident() - before < (deep - before) / 2, (before, deep, resident())
    """
    run(program, slots="10")


def test_copies_of_deep_stacks_are_freed() -> None:
    program = """
    deep, other = greenlet(dive), greenlet(lambda: [park() for _ in range(3)])
    before = resident()
    deep.switch(400, park)
    taken = resident() - before
    assert taken > MIB
    for _ in range(2): # Now it is in the copy, and the slot is small.
        other.switch()
        assert MIB / 2 < resident() - before < 1.5 * taken, (before, taken, resident())
    deep.switch()
    assert deep.dead
    other.switch()
    assert resident() - before < taken / 2, (before, taken, resident())
    """
    run(program, slots="1")


def test_a_thread_gives_back_its_stacks_however_deep() -> None:
    program = """
    import threading

    def work():
        members = [greenlet(dive) for _ in range(20)]
        here = getcurrent()
        for member in members:
            member.switch(300, here.switch)
        seen.append(resident())

    seen = []
    before = resident()
    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert seen.pop() - before > 10 * MIB
        assert resident() - before < 10 * MIB, (before, resident())
    """
    run(program)


MANY_DEEP = """
    members = [greenlet(dive) for _ in range(100)]
    for member in members:
        member.switch(5, park)
    said = stack_statistics()
    for member in members:
        member.switch()
    assert all(member.dead for member in members)
"""


def test_there_are_more_slots_while_all_are_deep() -> None:
    program = """
    assert said["slots"] == said["mapped"] == 100
    assert said["evictions"] == 0
    """
    run(MANY_DEEP + program)


def test_who_says_how_many_slots_there_are_gets_no_more() -> None:
    program = """
    assert said["slots"] == said["mapped"] == 20
    assert said["evictions"] >= 80
    """
    run(MANY_DEEP + program, slots="20")


def test_there_is_an_end_to_more_slots() -> None:
    program = """
    members = [greenlet(dive) for _ in range(400)]
    for member in members:
        member.switch(5, park)
    assert stack_statistics()["slots"] == 256
    for member in members:
        member.switch()
    assert all(member.dead for member in members)
    """
    run(program)


def test_shallow_ones_share_the_slots_there_are() -> None:
    program = """
    members = [greenlet(park) for _ in range(1000)]
    for member in members:
        member.switch()
    assert stack_statistics()["slots"] == 64
    """
    run(program)

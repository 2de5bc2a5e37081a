"""From CPython 3.14 on a thread state has the bounds of the C stack it runs on: every switch has
to change them. With wrong ones, deep recursion is a crash and finalizers run late or never."""

import sys
import threading

import pytest

from ringlet._core import _stack_bounds
from ringlet.core import greenlet, stack_statistics
from tests.core.paths import park, push_out

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="C recursion is limited by counting up to 3.13"
)


def bounds() -> tuple[int, int, int]:
    found = _stack_bounds()
    assert found
    return found[2]


def parked_with_bounds() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """What a greenlet sees before and after it was suspended."""
    before = bounds()
    park()
    return before, bounds()


def test_both_ways_find_them_in_the_same_place() -> None:
    """One of them is for 3.14.0, which has no function to set bounds that can then be seen."""
    found = _stack_bounds()
    assert found
    by_setting, by_value, (top, soft, hard) = found
    assert by_setting == by_value > 0
    assert top > soft > hard > 0


def test_looking_for_them_changes_nothing() -> None:
    assert bounds() == bounds()
    assert greenlet(lambda: bounds() == bounds()).switch()


def test_they_are_those_of_a_slot() -> None:
    top, soft, hard = greenlet(bounds).switch()
    # Below the base there is the whole slot but its guard page and what staggers the bases.
    slot = stack_statistics()["slot_bytes"]
    assert slot - (256 << 10) <= top - hard <= slot
    main_top, main_soft, main_hard = bounds()
    assert soft - hard == main_soft - main_hard
    assert hard > main_top or top < main_hard


def test_they_come_and_go_with_switches() -> None:
    here = bounds()
    children = [greenlet(parked_with_bounds) for _ in range(5)]
    for child in children:
        child.switch()
        assert bounds() == here
    push_out()
    seen = [child.switch() for child in reversed(children)]
    assert all(before == after != here for before, after in seen)
    assert len(set(seen)) == min(5, stack_statistics()["slots"])
    assert bounds() == here


def test_one_that_inherits_the_slot_of_another_has_its_bounds() -> None:
    """A greenlet that ends and whose parent was not started leaves the parent its stack."""
    seen = []
    parent = greenlet(lambda _: seen.append(bounds()))
    greenlet(lambda: seen.append(bounds()), parent).switch()
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_after_the_end_the_parent_has_its_own() -> None:
    here = bounds()
    greenlet(lambda: greenlet(bounds).switch()).switch()
    assert bounds() == here
    with pytest.raises(KeyError):
        greenlet(lambda: {}["missing"]).switch()
    assert bounds() == here


def test_each_thread_has_its_own() -> None:
    here = bounds()
    seen = []

    def work() -> None:
        mine = bounds()
        inside = greenlet(bounds).switch()
        seen.append((mine, inside, bounds()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    ((mine, inside, after),) = seen
    assert mine == after
    assert len({here, mine, inside}) == 3


def test_finalizers_in_a_greenlet_run_at_once() -> None:
    """With bounds of another stack every container would be put off to be freed later."""
    log: list[str] = []

    class Loud:
        def __del__(self) -> None:
            log.append("freed")

    def body() -> list[str]:
        held = [[Loud()]]
        del held
        return [*log]

    assert greenlet(body).switch() == ["freed"]

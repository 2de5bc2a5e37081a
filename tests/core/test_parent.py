"""Parents: who gets control and the outcome when a greenlet ends."""

import gc
import threading
import weakref

import pytest

from ringlet import GreenletError, getcurrent, greenlet
from tests.core.paths import park

pytestmark = pytest.mark.core_subset


def test_a_new_parent_gets_the_result() -> None:
    log = []

    def collect():
        while True:
            log.append(park())

    collector = greenlet(collect)
    collector.switch()
    child = greenlet(lambda: park() and "unused")
    child.switch()
    child.parent = collector
    child.switch()
    assert log == [()]
    child = greenlet(lambda: "result", collector)
    child.switch()
    assert log == [(), "result"]


def test_a_new_parent_gets_the_exception() -> None:
    def handle():
        try:
            park()
        except KeyError as error:
            return f"handled {error}"

    def bad():
        park()
        raise KeyError("it")

    handler, child = greenlet(handle), greenlet(bad)
    handler.switch()
    child.switch()
    child.parent = handler
    assert child.switch() == "handled 'it'"


def test_parents_form_a_tree_up_to_main() -> None:
    main = getcurrent()

    def body(depth):
        if depth:
            return greenlet(body).switch(depth - 1)
        ancestors = []
        one = getcurrent()
        while one is not None:
            ancestors.append(one)
            one = one.parent
        return ancestors

    ancestors = greenlet(body).switch(10)
    assert len(ancestors) == 12
    assert ancestors[-1] is main
    assert len(set(ancestors)) == 12
    ancestors.clear()


def test_what_is_no_greenlet_is_refused() -> None:
    child = greenlet()
    for wrong in (3, None, object(), greenlet):
        with pytest.raises(TypeError, match="Expected any type of greenlet, not "):
            child.parent = wrong
    with pytest.raises(TypeError, match="not int"):
        child.parent = 3
    assert child.parent is getcurrent()


def test_it_cannot_be_deleted() -> None:
    with pytest.raises(AttributeError, match="can't delete attribute"):
        del greenlet().parent


def test_main_greenlets_cannot_have_one() -> None:
    with pytest.raises(AttributeError, match="cannot set the parent of a main greenlet"):
        getcurrent().parent = greenlet()
    with pytest.raises(AttributeError, match="can't delete attribute"):
        del getcurrent().parent


def test_a_cycle_is_refused() -> None:
    first = greenlet()
    second = greenlet(parent=first)
    third = greenlet(parent=second)
    for ancestor, descendant in ((first, first), (first, second), (first, third), (second, third)):
        with pytest.raises(ValueError, match="cyclic parent chain"):
            ancestor.parent = descendant
    third.parent = first
    second.parent = third
    assert [second.parent, third.parent, first.parent] == [third, first, getcurrent()]


def test_a_parent_is_kept_alive_by_its_children() -> None:
    child = greenlet(lambda: "value", greenlet(lambda value: ("parent got", value)))
    gc.collect()
    assert child.switch() == ("parent got", "value")


def test_an_old_parent_is_let_go() -> None:
    parent = greenlet()
    reference = weakref.ref(parent)
    child = greenlet(parent=parent)
    del parent
    assert reference() is child.parent
    child.parent = getcurrent()
    assert reference() is None


def test_the_current_greenlet_may_change_its_own_parent() -> None:
    other = greenlet(lambda value: ("other got", value))

    def body():
        getcurrent().parent = other
        return "result"

    assert greenlet(body).switch() == ("other got", "result")


def test_a_dead_greenlet_may_change_its_parent() -> None:
    living = greenlet(park)
    living.switch()
    child = greenlet(lambda: None)
    child.switch()
    child.parent = living
    assert child.switch("to the new parent") == "to the new parent"
    assert living.dead


def test_a_parent_in_another_thread_is_taken_before_the_start_only() -> None:
    seen = []
    proceed = threading.Event()
    ready = threading.Event()

    def other():
        seen.append(getcurrent())
        ready.set()
        assert proceed.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    assert ready.wait(30)
    foreign = seen.pop()
    try:
        child = greenlet(lambda: "ran", foreign)
        assert child.parent is foreign
        with pytest.raises(GreenletError, match="Cannot switch to a different thread"):
            child.switch()
        child.parent = getcurrent()
        assert child.switch() == "ran"
        suspended = greenlet(park)
        suspended.switch()
        with pytest.raises(ValueError, match="parent cannot be on a different thread"):
            suspended.parent = foreign
        suspended.switch()
    finally:
        proceed.set()
        thread.join()


def test_a_parent_that_ends_before_its_child_is_passed_over() -> None:
    log = []

    def grandparent():
        log.append(park())

    top = greenlet(grandparent)
    middle = greenlet(park, top)
    child = greenlet(lambda: "result", middle)
    top.switch()

    def start_middle():
        middle.switch()

    # Ends by a value that goes to `top`, which is suspended.
    keeper = greenlet(start_middle)
    keeper.parent = getcurrent()
    middle.parent = keeper
    keeper.switch()
    middle.parent = top
    middle.throw()
    assert middle.dead
    assert top.dead
    assert child.switch() == "result"
    assert len(log) == 1


def test_one_that_is_dropped_may_make_its_parent_its_child() -> None:
    """While it ends, its parent is who has dropped it; had it the old one back, both would be
    ancestors of each other."""
    main, former = getcurrent(), greenlet(lambda: "ran")

    def body():
        try:
            main.switch()
        finally:
            former.parent = getcurrent()

    child = greenlet(body, former)
    child.switch()
    del child
    assert former.parent.dead
    assert former.parent.parent is main
    assert former.switch() == "ran"

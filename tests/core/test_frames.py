"""What can be seen of a greenlet's frames: while it runs, waits in its slot, or is copied out."""

import gc
import io
import itertools
import sys
import threading
import traceback
from collections.abc import Callable

import pytest

from ringlet import getcurrent, greenlet
from ringlet.core import stack_statistics
from tests.core.paths import WAYS, chain, crowd, every_way, here, names, nested, park, push_out
from tests.support.isolated import run_isolated


def leaf() -> list:
    """Hand the chain of frames to the parent; give it again to whoever resumes."""
    return park_with(here())


def park_with(value: object) -> object:
    parent = getcurrent().parent
    assert parent is not None
    return parent.switch(value)


def test_a_new_greenlet_has_no_frames_below_its_first() -> None:
    def body():
        frame = sys._getframe()
        return frame.f_back, len(traceback.extract_stack())

    assert greenlet(body).switch() == (None, 1)
    assert nested(10, lambda: greenlet(body).switch()) == (None, 1)


def test_gr_frame_is_the_top_frame_while_suspended() -> None:
    child = greenlet(lambda: nested(3, park))
    assert child.gr_frame is None
    child.switch()
    assert names(child.gr_frame) == ["park", *["nested"] * 4, "<lambda>"]
    assert child.gr_frame is child.gr_frame
    child.switch()
    assert child.gr_frame is None


def test_gr_frame_of_oneself_is_none() -> None:
    assert getcurrent().gr_frame is None
    assert greenlet(lambda: getcurrent().gr_frame).switch() is None


def test_gr_frame_of_the_parent_is_where_it_waits() -> None:
    def look():
        return names(getcurrent().parent.gr_frame)[:2]

    def test():
        return greenlet(look).switch()

    assert test() == ["test", "test_gr_frame_of_the_parent_is_where_it_waits"]


def test_gr_frame_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        greenlet().gr_frame = None


def test_gr_frame_of_a_greenlet_without_python_frames_is_none() -> None:
    """It runs a built-in function that switches away by itself."""
    main = getcurrent()
    child = greenlet(main.switch)
    assert child.switch("there") == "there"
    assert child.gr_frame is None
    push_out()
    assert child.gr_frame is None
    assert child.switch("back") == "back"


def test_looking_leaves_the_running_stack_alone() -> None:
    child = greenlet(lambda: nested(3, park))
    child.switch()
    before = here()
    assert child.gr_frame is not None
    assert here() == before
    assert len(traceback.extract_stack()) == len(before)
    child.switch()


def seen_from_outside(call: Callable[[], object]) -> None:
    """A chain that was seen inside must be the same from outside, resident and copied out."""

    def body():
        inside = leaf()
        assert here()[0] is sys._getframe()
        return inside

    def outermost():
        return call(body)

    child = greenlet(outermost)
    inside = child.switch()
    assert inside[-1].f_code is outermost.__code__
    for _ in range(3):
        for frame, expected in itertools.pairwise(inside):
            assert frame.f_back is expected
        outside = chain(child.gr_frame)
        assert outside == [child.gr_frame, *inside]
        assert [frame.f_lineno for frame in outside[1:]] == [frame.f_lineno for frame in inside]
        assert all(isinstance(frame.f_locals, object) for frame in inside)
        push_out()
    assert child.switch("through") == "through"


@pytest.mark.parametrize("way", list(WAYS))
def test_frames_are_the_same_inside_and_outside(way) -> None:
    seen_from_outside(WAYS[way])


def test_frames_below_all_kinds_of_c_code() -> None:
    seen_from_outside(every_way)


def test_frames_below_much_of_everything() -> None:
    seen_from_outside(lambda call: every_way(lambda: nested(50, lambda: every_way(call))))


def test_frames_of_many_evicted_greenlets_stay_apart() -> None:
    def body(number):
        inside = park_with(here())
        return nested(number % 7, lambda: every_way(lambda: (inside, number)))

    children = [greenlet(body) for _ in range(150)]
    inside = [child.switch(number) for number, child in enumerate(children)]
    for number, child in enumerate(children):
        assert chain(child.gr_frame)[1:] == inside[number]
        assert child.gr_frame.f_back.f_locals["number"] == number
    gc.collect()
    for number, child in enumerate(children):
        assert child.switch(number) == (number, number)


def test_a_walk_from_another_thread() -> None:
    child = greenlet(lambda: every_way(leaf))
    inside = child.switch()
    push_out()
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(chain(child.gr_frame)))
    thread.start()
    thread.join()
    assert seen[1:] == inside
    seen.clear()
    child.switch()


def test_sys_current_frames_shows_the_running_greenlet() -> None:
    def body():
        return names(sys._current_frames()[threading.get_ident()])

    assert greenlet(body).switch() == ["body"]


def test_locals_of_a_suspended_frame_can_be_read() -> None:
    def body(argument):
        local = "here"
        park()
        return argument, local

    child = greenlet(body)
    child.switch("given")
    push_out()
    frame = child.gr_frame.f_back
    assert (frame.f_locals["argument"], frame.f_locals["local"]) == ("given", "here")
    assert frame.f_lineno > body.__code__.co_firstlineno
    assert child.switch() == ("given", "here")
    assert frame.f_locals["local"] == "here"


def test_a_suspended_frame_cannot_be_cleared() -> None:
    child = greenlet(lambda: nested(1, park))
    child.switch()
    with pytest.raises(RuntimeError, match="cannot clear an executing frame"):
        child.gr_frame.clear()
    child.switch()


def test_frames_outlive_their_greenlet() -> None:
    def body():
        kept = "value"
        return leaf() and kept

    child = greenlet(lambda: every_way(body))
    frames = child.switch()
    push_out()
    child.switch("end")
    del child
    assert frames[1].f_code is body.__code__
    assert frames[1].f_locals["kept"] == "value"
    assert chain(frames[0])[:2] == frames[:2]
    frames.clear()


def test_frames_of_a_killed_greenlet_outlive_it() -> None:
    child = greenlet(lambda: every_way(leaf))
    frames = child.switch()
    push_out()
    del child
    for frame in frames:
        assert frame.f_code
        frame.clear()
    assert names(frames[0])[0] == "leaf"
    frames.clear()


def test_one_that_parks_while_a_calls_variables_are_dropped() -> None:
    """The frame of that call is gone already. If C code made the call, then what is left on top
    is a frame of the interpreter's own, on the C stack."""
    main = getcurrent()
    dying = []

    def ends_slowly():
        try:
            main.switch()
        finally:
            dying.append(getcurrent())
            main.switch()

    def holder(_: object) -> int:
        held = greenlet(ends_slowly)
        held.switch()
        return 0

    def body():
        return sorted([1], key=holder)

    child = greenlet(body)
    child.switch()
    child.switch()
    push_out()
    assert names(child.gr_frame) == ["body"]
    dying.pop().switch()
    assert child.dead


def test_a_traceback_holds_the_frames_of_both_sides() -> None:
    def bad():
        raise KeyError("bad")

    def outer():
        every_way(lambda: greenlet(lambda: every_way(bad)).switch())

    with pytest.raises(KeyError) as caught:
        greenlet(outer).switch()
    functions = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert functions[-1] == "bad"
    assert functions.count("every_way") == 2
    assert functions.index("outer") < functions.index("every_way")


def test_a_stack_summary_can_be_made_of_a_suspended_greenlet() -> None:
    child = greenlet(lambda: every_way(park))
    child.switch()
    push_out()
    out = io.StringIO()
    traceback.print_stack(child.gr_frame, file=out)
    assert "in by_sorted" in out.getvalue()
    assert out.getvalue().splitlines()[-1].strip() == "return parent.switch()"
    child.switch()


@pytest.mark.no_leak_check("the module keeps its own records")
def test_tracemalloc_walks_evicted_frames() -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    tracemalloc.start(30)
    try:
        children = [greenlet(lambda: every_way(lambda: [park(), [object()]])) for _ in range(100)]
        for child in children:
            child.switch()
        results = [child.switch() for child in children]
        trace = tracemalloc.get_object_traceback(results[0][1])
        assert trace is not None
        assert len(trace) > 10
    finally:
        tracemalloc.stop()


FAULT = """
import faulthandler, sys
from ringlet import greenlet
from tests.core.paths import crowd, every_way

def body():
    with crowd():
        faulthandler.dump_traceback()
greenlet(lambda: every_way(body)).switch()
"""


@pytest.mark.no_leak_check("runs in a child process")
def test_the_fault_handler_shows_the_running_greenlet() -> None:
    said = run_isolated(FAULT).stderr
    assert "in body" in said
    assert "in every_way" in said
    assert "<module>" not in said


def test_a_crowd_is_enough_to_have_everybody_copied_out() -> None:
    """What the tests here rely on."""
    child = greenlet(park)
    child.switch()
    before = stack_statistics()["evictions"]
    with crowd() as members:
        assert stack_statistics()["evictions"] - before >= len(members) // 2
    child.switch()

"""Every greenlet has a context of its own, empty at first, which gr_context shows and sets."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from ringlet.core import getcurrent, greenlet
from tests.core.paths import park, push_out
from tests.support.isolated import run_isolated

pytestmark = pytest.mark.core_subset

VAR: ContextVar[Any] = ContextVar("var", default="default")


@contextmanager
def value(new: Any) -> Iterator[None]:
    token = VAR.set(new)
    try:
        yield
    finally:
        VAR.reset(token)


def test_a_new_greenlet_does_not_see_its_makers_values() -> None:
    with value("outside"):
        assert greenlet(VAR.get).switch() == "default"


def test_values_are_kept_across_switches() -> None:
    def work(mine: str) -> list[str]:
        seen = [VAR.get()]
        VAR.set(mine)
        for _ in range(3):
            park()
            seen.append(VAR.get())
        return seen

    children = [greenlet(work) for _ in range(3)]
    with value("outside"):
        for number, child in enumerate(children):
            child.switch(str(number))
        for _ in range(2):
            push_out()
            for child in children:
                child.switch()
                assert VAR.get() == "outside"
        for number, child in enumerate(children):
            assert child.switch() == ["default", *[str(number)] * 3]
        assert VAR.get() == "outside"


def test_a_cached_lookup_does_not_survive_a_switch() -> None:
    """Variables remember the last context they were looked up in."""

    def work() -> None:
        for number in range(10):
            VAR.set(number)
            park()
            assert VAR.get() == number

    with value("outside"):
        child = greenlet(work)
        child.switch()
        for _ in range(10):
            assert VAR.get() == "outside"
            child.switch()


def test_a_context_is_given_before_the_start() -> None:
    with value("given"):
        context = copy_context()
    child = greenlet(VAR.get)
    child.gr_context = context
    assert child.gr_context is context
    assert child.switch() == "given"


def test_the_context_can_be_read_in_every_state() -> None:
    context = Context()

    def work() -> None:
        assert getcurrent().gr_context is context
        park()

    child = greenlet(work)
    assert child.gr_context is None
    child.gr_context = context
    assert child.gr_context is context
    child.switch()
    assert child.gr_context is context
    child.switch()
    assert child.dead
    assert child.gr_context is context
    child.gr_context = None
    assert child.gr_context is None


def test_a_context_made_inside_is_shown_outside() -> None:
    def work() -> None:
        assert getcurrent().gr_context is None
        VAR.set("inside")
        park()

    child = greenlet(work)
    child.switch()
    context = child.gr_context
    assert context is not None
    assert context[VAR] == "inside"
    child.switch()
    assert child.gr_context is context


def test_a_suspended_greenlet_goes_on_in_the_context_it_is_given() -> None:
    def work() -> tuple[Any, Any]:
        VAR.set("before")
        park()
        return VAR.get(), VAR.set("after")

    with value("given"):
        context = copy_context()
    child = greenlet(work)
    child.switch()
    child.gr_context = context
    assert child.switch()[0] == "given"
    assert context[VAR] == "after"


def test_the_running_one_can_change_its_own() -> None:
    def work() -> list[Any]:
        seen = [VAR.get()]
        for context in (contexts[0], None, contexts[1]):
            getcurrent().gr_context = context
            assert getcurrent().gr_context is context
            seen.append(VAR.get())
        return seen

    contexts = [Context(), Context()]
    for number, context in enumerate(contexts):
        context.run(VAR.set, number)
    assert greenlet(work).switch() == ["default", 0, "default", 1]


def test_main_greenlets_have_one_too() -> None:
    main = getcurrent()
    before = main.gr_context
    try:
        main.gr_context = None
        assert VAR.get() == "default"
        VAR.set("set")
        assert main.gr_context is not None
        assert greenlet(lambda: main.gr_context).switch()[VAR] == "set"  # type: ignore[index]
    finally:
        main.gr_context = before


def test_what_is_no_context_is_refused() -> None:
    child = greenlet()
    for bad in ({}, 1, "context", object()):
        with pytest.raises(TypeError, match=r"context must be a contextvars\.Context or None"):
            child.gr_context = bad  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="can't delete context attribute"):
        del child.gr_context
    assert child.gr_context is None


def test_context_run_reaches_over_switches_within_it() -> None:
    def work() -> None:
        VAR.set("inside")
        park()
        assert VAR.get() == "inside"

    context = Context()
    child = greenlet(lambda: context.run(work))
    child.switch()
    assert VAR.get() == "default"
    assert child.gr_context is context
    with pytest.raises(RuntimeError, match="cannot enter context"):
        context.run(work)
    child.switch()
    assert context[VAR] == "inside"
    context.run(lambda: None)


def test_a_running_greenlet_of_another_thread_is_left_alone() -> None:
    entered, leave = threading.Event(), threading.Event()
    found: list[greenlet] = []

    def thread() -> None:
        def wait() -> None:
            found.append(getcurrent())
            entered.set()
            leave.wait()

        found.append(greenlet(park))
        found[0].switch()
        greenlet(wait).switch()
        found[0].switch()

    other = threading.Thread(target=thread)
    other.start()
    entered.wait()
    suspended, running = found
    context = Context()
    try:
        suspended.gr_context = context  # as from its own thread
        assert suspended.gr_context is context
        message = "context of a greenlet that is running in a different thread"
        with pytest.raises(ValueError, match=f"cannot get {message}"):
            _ = running.gr_context
        with pytest.raises(ValueError, match=f"cannot set {message}"):
            running.gr_context = context
    finally:
        leave.set()
        other.join()
    assert running.gr_context is None


def test_contexts_die_with_their_greenlets() -> None:
    alive: list[bool] = []

    class Watched:
        def __del__(self) -> None:
            alive.append(False)

    def work() -> None:
        VAR.set(Watched())
        park()

    for end in (lambda child: child.switch(), lambda child: child.throw()):
        child = greenlet(work)
        child.switch()
        end(child)
        assert alive == []
        del child
        assert alive == [False]
        alive.clear()
    child = greenlet(work)
    child.switch()
    del child
    assert alive == [False]


def test_the_context_of_a_threads_main_greenlet_outlives_the_thread() -> None:
    """It is freed once, by whoever holds it last."""
    program = """
import contextvars, gc, threading
from ringlet.core import getcurrent, greenlet
var = contextvars.ContextVar("var")
kept = []

def thread():
    var.set(["a value"])
    greenlet(int).switch()
    kept.append(getcurrent().gr_context)

for _ in range(20):
    one = threading.Thread(target=thread)
    one.start()
    one.join()
    others = [contextvars.Context() for _ in range(50)]
    assert dict(kept[-1].items()) == {var: ["a value"]}
kept.clear()
gc.collect()
print("ended")
"""
    assert run_isolated(program).stdout == "ended\n"


def test_several_greenlets_can_share_a_context() -> None:
    shared = Context()
    shared.run(VAR.set, ())

    def work(name: str) -> None:
        for _ in range(3):
            VAR.set((*VAR.get(), name))
            park()

    children = [greenlet(work), greenlet(work)]
    for name, child in zip("ab", children, strict=True):
        child.gr_context = shared
        child.switch(name)
    for _ in range(3):
        for child in children:
            child.switch()
    assert shared[VAR] == tuple("ababab")


def test_a_context_in_a_cycle_with_its_greenlet_is_collected() -> None:
    child = greenlet(lambda: VAR.set(getcurrent()) and None)
    child.switch()
    reference = weakref.ref(child)
    del child
    gc.collect()
    assert reference() is None

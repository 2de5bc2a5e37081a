"""Every thread has greenlets of its own; what crosses threads is refused or left to the owner."""

import contextvars
import gc
import os
import re
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from ringlet import GreenletError, GreenletExit, getcurrent, greenlet
from ringlet._core import _unwind_at_thread_end
from ringlet.core import stack_statistics
from tests.core.paths import chain, every_way, park
from tests.support.isolated import run_isolated

child_process = pytest.mark.no_leak_check("runs in a child process")


def in_thread(function: Callable[[], Any]) -> Any:
    """What a function returns or raises in a thread that then ends."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)
            raise

    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = hook
    if isinstance(outcome[0], BaseException):
        try:
            raise outcome[0]
        finally:
            outcome.clear()
    return outcome[0]


def test_each_thread_has_a_main_greenlet_of_its_own() -> None:
    def look():
        main = getcurrent()
        child = greenlet(lambda: (getcurrent().parent is main, getcurrent() is main))
        return main, main.parent, bool(main), child.switch()

    main, parent, alive, inside = in_thread(look)
    assert main is not getcurrent()
    assert (parent, alive, inside) == (None, True, (True, False))


def test_the_main_greenlet_of_a_thread_that_has_ended_is_dead() -> None:
    main = in_thread(getcurrent)
    assert main.dead
    assert not main
    assert "(thread exited) dead" in repr(main)
    assert main.gr_frame is None
    assert main.gr_context is None


def test_threads_run_their_greenlets_side_by_side() -> None:
    rounds, size, threads = 20, 30, 4
    turn = threading.Barrier(threads)

    def work():
        main = getcurrent()

        def body(start):
            total = start
            while True:
                total += every_way(partial(main.switch, total))

        children = [greenlet(body) for _ in range(size)]
        for number, child in enumerate(children):
            assert child.switch(number) == number
        for step in range(1, rounds + 1):
            turn.wait(30)
            for number, child in enumerate(children):
                assert child.switch(1) == number + step
        return "done"

    outcomes = []
    workers = [threading.Thread(target=lambda: outcomes.append(work())) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert outcomes == ["done"] * threads


# ---- Refusals


def test_a_switch_to_another_thread_is_refused_naming_both() -> None:
    main = getcurrent()
    child = greenlet(park)
    child.switch()
    for target in (main, child):
        for operation in (target.switch, target.throw):
            with pytest.raises(GreenletError) as caught:
                in_thread(operation)
            assert re.fullmatch(
                r"Cannot switch to a different thread\n"
                r"\tCurrent:  <ringlet\.greenlet object .* main>\n"
                rf"\tExpected: {re.escape(repr(main)).replace('current', '(current|suspended)')}",
                str(caught.value),
            )
    assert child.switch("still here") == "still here"


def test_who_is_named_in_a_refusal_may_end_meanwhile() -> None:
    begun, asked, ended, refused = (threading.Event() for _ in range(4))
    mains: list[greenlet] = []

    class Slow(greenlet):
        def __repr__(self) -> str:
            asked.set()
            assert ended.wait(30)
            return "slow"

    def work() -> None:
        def short() -> None:
            mains.append(getcurrent().parent)
            begun.set()
            assert asked.wait(30)

        greenlet(short).switch()
        # One of these would be where the ended one was, had it been freed.
        others = [greenlet() for _ in range(10)]
        ended.set()
        assert refused.wait(30)
        del others[:]

    def refuse() -> str:
        with pytest.raises(GreenletError) as caught:
            mains[0].switch()
        refused.set()
        return str(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert begun.wait(30)
        assert re.search(r"Current:  slow\n\tExpected: <.* dead>", Slow(refuse).switch())
    finally:
        asked.set()
        refused.set()
        thread.join()


def test_what_a_refused_start_has_found_may_start_the_greenlet_when_it_is_dropped() -> None:
    log: list[object] = []

    class Found:
        def __init__(self, child: greenlet | None) -> None:
            self.child = child

        def __call__(self) -> str:
            return "ran"

        def __del__(self) -> None:
            child, self.child = self.child, None
            if child is not None:
                log.append(child.switch())

    class Moving(greenlet):
        first = True

        @property
        def run(self) -> Found:
            if not self.first:
                return Found(None)
            self.first = False
            self.parent = elsewhere
            return Found(self)

    asked, done = threading.Event(), threading.Event()
    mains: list[greenlet] = []

    def work() -> None:
        mains.append(getcurrent())
        asked.set()
        assert done.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert asked.wait(30)
        elsewhere = mains.pop()
        child = Moving()
        with pytest.raises(GreenletError, match="different thread"):
            child.switch()
        child.parent = getcurrent()
        assert child.switch("late") == "late"
        assert log == ["ran"]
        assert child.dead
    finally:
        done.set()
        thread.join()


def test_a_greenlet_that_was_not_started_belongs_to_its_parents_thread() -> None:
    child = greenlet(lambda: "ran")
    with pytest.raises(GreenletError, match="Cannot switch to a different thread"):
        in_thread(child.switch)
    with pytest.raises(GreenletError, match="Cannot switch to a different thread"):
        in_thread(child.throw)
    assert not child.dead
    assert child.switch() == "ran"


def test_a_greenlet_that_was_not_started_can_move_to_another_thread() -> None:
    child = greenlet(threading.get_ident)

    def adopt():
        child.parent = getcurrent()
        return child.switch() == threading.get_ident()

    assert in_thread(adopt) is True
    assert child.dead


def test_a_started_greenlet_cannot_get_a_parent_of_another_thread() -> None:
    child = greenlet(park)
    child.switch()

    def adopt():
        child.parent = getcurrent()

    with pytest.raises(ValueError, match="parent cannot be on a different thread"):
        in_thread(adopt)
    child.switch()


def test_greenlets_of_a_thread_that_has_ended_are_refused() -> None:
    def leave():
        return greenlet(lambda: "never"), getcurrent()

    child, main = in_thread(leave)
    assert not child.dead
    for target in (child, main):
        for operation in (target.switch, target.throw):
            with pytest.raises(
                GreenletError,
                match=r"cannot switch to a different thread \(which happens to have exited\)",
            ):
                operation()


def test_a_dead_greenlet_of_another_thread_is_refused_too() -> None:
    child = greenlet(lambda: None)
    child.switch()
    with pytest.raises(GreenletError, match="Cannot switch to a different thread"):
        in_thread(child.switch)


def test_a_greenlet_that_ends_cannot_go_to_a_parent_of_another_thread() -> None:
    """The error goes on to the next ancestor that can take it: this thread's main greenlet."""
    foreign = in_thread(getcurrent)
    middle = greenlet(lambda: None)
    child = greenlet(lambda: "lost", middle)

    class Moving(greenlet):
        @property
        def run(self):
            middle.parent = foreign
            return lambda: "lost"

    child = Moving(parent=middle)
    with pytest.raises(GreenletError, match="different thread"):
        child.switch()


def test_whether_it_is_dead_can_be_asked_from_any_thread() -> None:
    child = greenlet(park)
    child.switch()
    assert in_thread(lambda: (child.dead, bool(child), child.gr_frame is not None)) == (
        False,
        True,
        True,
    )
    child.switch()
    assert in_thread(lambda: (child.dead, bool(child), child.gr_frame)) == (True, False, None)


# ---- Threads that end


def test_suspended_greenlets_are_ended_with_their_thread() -> None:
    log = []

    def body(number):
        try:
            every_way(park)
        except GreenletExit:
            log.append((number, threading.get_ident(), getcurrent().parent))
            raise

    def leave():
        children = [greenlet(body) for _ in range(5)]
        for number, child in enumerate(children):
            child.switch(number)
        kept.extend(children)
        return threading.get_ident(), getcurrent()

    kept = []
    ident, main = in_thread(leave)
    assert sorted(entry[0] for entry in log) == list(range(5))
    assert {entry[1:] for entry in log} == {(ident, main)}
    assert all(child.dead for child in kept)
    assert [child.gr_frame for child in kept] == [None] * 5


def test_unreferenced_ones_are_ended_with_their_thread_too() -> None:
    log = []

    def body():
        child = greenlet(body, main) if len(log) < 3 else None
        log.append("begun")
        try:
            if child is not None:
                child.switch()
            main.switch()
        finally:
            log.append("ended")

    def leave():
        nonlocal main
        main = getcurrent()
        greenlet(body).switch()
        main = None

    main = None
    in_thread(leave)
    assert log.count("begun") == log.count("ended") == 4


def stubborn() -> None:
    while True:
        with suppress(GreenletExit):
            park()


leaks_by_design = pytest.mark.no_leak_check("what a dropped greenlet refers to is never freed")


@leaks_by_design
def test_one_that_refuses_to_end_is_dropped_with_its_thread() -> None:
    def leave():
        child = greenlet(lambda: every_way(stubborn))
        child.switch()
        return child

    child = in_thread(leave)
    assert child.dead
    assert child.gr_frame is None


@pytest.fixture
def nothing_unwinds():
    """Threads end as they do for programs written for greenlet."""
    before = _unwind_at_thread_end(False)
    yield before
    assert _unwind_at_thread_end(before) is False


@leaks_by_design
def test_greenlets_can_be_dropped_with_their_thread_without_running(nothing_unwinds) -> None:
    """A hub that takes every exception for a failed callback would never let its thread end."""
    log = []

    def hub():
        while True:
            try:
                every_way(park)
            except BaseException as error:
                log.append(error)

    def leave():
        child = greenlet(hub)
        child.switch()
        return child

    child = in_thread(leave)
    assert nothing_unwinds is True
    assert (log, child.dead, child.gr_frame) == ([], True, None)


def test_one_that_is_unreferenced_before_its_thread_ends_is_always_unwound(
    nothing_unwinds,
) -> None:
    log = []

    def body():
        try:
            every_way(park)
        finally:
            log.append(threading.get_ident())

    def leave():
        greenlet(body).switch()
        gc.collect()
        return threading.get_ident()

    ident = in_thread(leave)
    assert log == [ident]


@leaks_by_design
def test_the_frames_of_a_dropped_greenlet_can_still_be_walked() -> None:
    """They outlive its stack, through which the interpreter had linked them."""

    def body():
        every_way(stubborn)

    def leave():
        child = greenlet(body)
        child.switch()
        return child, chain(child.gr_frame)

    child, frames = in_thread(leave)
    assert child.dead
    others = [greenlet(lambda: every_way(park)) for _ in range(100)]
    for other in others:
        other.switch()
    assert frames[-1].f_code is body.__code__
    assert chain(frames[0]) == frames
    assert [frame.f_locals.get("call") for frame in frames].count(stubborn) > 0


def test_a_dying_greenlet_may_start_others_while_its_thread_ends() -> None:
    log = []

    def body(depth):
        try:
            park()
        finally:
            log.append(depth)
            if depth:
                child = greenlet(body)
                child.switch(depth - 1)
                kept.append(child)

    def leave():
        child = greenlet(body)
        child.switch(3)
        kept.append(child)

    kept = []
    in_thread(leave)
    assert log == [3, 2, 1, 0]
    assert all(child.dead for child in kept)


def test_what_was_doomed_is_ended_with_its_thread() -> None:
    log = []
    ready, dropped = threading.Event(), threading.Event()
    children = []

    def body():
        try:
            park()
        finally:
            log.append(threading.get_ident())

    def leave():
        child = greenlet(body)
        child.switch()
        children.append(child)
        del child
        ready.set()
        assert dropped.wait(30)

    thread = threading.Thread(target=leave)
    thread.start()
    assert ready.wait(30)
    children.clear()
    assert log == []
    dropped.set()
    thread.join()
    assert log == [thread.ident]


def test_the_context_of_an_ended_thread_is_freed_once() -> None:
    variable = contextvars.ContextVar("variable")

    class Value:
        pass

    def leave():
        value = Value()
        variable.set(value)
        child = greenlet(park)
        child.switch()
        child.switch()
        return getcurrent(), contextvars.copy_context(), weakref.ref(value)

    main, context, reference = in_thread(leave)
    assert main.gr_context is None
    assert context[variable] is reference()
    del context
    gc.collect()
    assert reference() is None
    del main
    gc.collect()


def test_a_thread_gives_its_slots_back() -> None:
    def mappings() -> int:
        with open("/proc/self/maps") as maps:
            return sum(1 for _ in maps)

    def fill():
        children = [greenlet(park) for _ in range(stack_statistics()["slots"])]
        for child in children:
            child.switch()
        return mappings(), stack_statistics()["mapped"]

    in_thread(fill)
    before = mappings()
    for _ in range(5):
        during, mapped = in_thread(fill)
        assert during >= before + mapped
    assert mappings() <= before + 10


def test_greenlets_of_many_short_threads() -> None:
    def work():
        children = [greenlet(lambda: every_way(park)) for _ in range(3)]
        for child in children:
            child.switch()
        children[0].switch()
        return [child.dead for child in children]

    for _ in range(30):
        assert in_thread(work) == [True, False, False]


def test_a_thread_that_the_interpreter_does_not_know() -> None:
    """Its state in the interpreter lasts for one call: each call has a main greenlet of its own."""
    ctypes = pytest.importorskip("ctypes")
    libc = ctypes.CDLL(None)
    seen = []

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def routine(_):
        main = getcurrent()
        child = greenlet(park)
        child.switch()
        seen.append((main, child))

    for _ in range(3):
        thread = ctypes.c_ulong()
        assert libc.pthread_create(ctypes.byref(thread), None, routine, None) == 0
        assert libc.pthread_join(thread, None) == 0
    assert len({main for main, _ in seen}) == 3
    assert all(main.dead and child.dead for main, child in seen)
    seen.clear()


# ---- fork


def forked(child: Callable[[], object]) -> None:
    """Run a function in a forked child, which must end well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_fork_in_a_greenlet_keeps_all_greenlets_of_the_thread() -> None:
    main = getcurrent()
    others = [greenlet(lambda: every_way(park)) for _ in range(100)]
    for other in others:
        other.switch()

    def in_child():
        assert getcurrent().parent is main
        for other in others:
            other.parent = getcurrent()
        assert [other.switch(number) for number, other in enumerate(others)] == list(range(100))

    def body():
        forked(in_child)
        return "parent"

    assert greenlet(body).switch() == "parent"
    for number, other in enumerate(others):
        assert other.switch(number) == number


FORK = """
import gc, os, threading, warnings
from ringlet import getcurrent, greenlet
from tests.core.paths import chain, every_way, park

warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads
mine = [greenlet(lambda: every_way(park)) for _ in range(10)]
for one in mine:
    one.switch()
ready, done = threading.Event(), threading.Event()
foreign, frames = [], []

def wait():
    foreign.append(getcurrent())
    ready.set()
    done.wait()

def work():
    foreign.append(getcurrent())
    for _ in range(5):
        other = greenlet(lambda: every_way(park))
        other.switch()
        foreign.append(other)
        frames.extend(chain(other.gr_frame))
    greenlet(lambda: every_way(wait)).switch()

thread = threading.Thread(target=work)
thread.start()
ready.wait()
pid = os.fork()
if pid == 0:
    # Nothing of the other thread runs any more; its greenlets are dead.
    assert all(one.dead for one in foreign), foreign
    gc.collect()
    fresh = [greenlet(lambda: every_way(park)) for _ in range(100)]
    for one in fresh:
        one.switch()
    for frame in frames:
        chain(frame)
        frame.f_locals
    for one in (*fresh, *mine):
        assert one.switch(1) == 1
    foreign.clear()
    gc.collect()
    os._exit(7)
_, status = os.waitpid(pid, 0)
done.set()
thread.join()
assert os.waitstatus_to_exitcode(status) == 7, status
"""


@child_process
def test_a_fork_ends_the_greenlets_of_all_other_threads() -> None:
    run_isolated(FORK)

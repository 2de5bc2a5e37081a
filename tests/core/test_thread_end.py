"""What still runs while a thread is being taken apart."""

import _thread
import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ringlet import getcurrent, greenlet
from tests.support.isolated import run_isolated

child_process = pytest.mark.no_leak_check("runs in a child process")

variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")


class AtEnd:
    def __init__(self, then: Callable[[], object]) -> None:
        self.then = then

    def __del__(self) -> None:
        self.then()


def run_thread(function: Callable[[], object]) -> None:
    """In a context that belongs to the thread's state, not to its Thread as from 3.14 on."""
    if sys.version_info >= (3, 13):
        _thread.start_joinable_thread(function).join()
    else:
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()


def test_what_a_threads_context_holds_finds_greenlets_at_work() -> None:
    seen = []

    def work() -> None:
        variable.set(AtEnd(lambda: seen.append(greenlet(lambda: "at work").switch())))
        greenlet(lambda: None).switch()

    run_thread(work)
    assert seen == ["at work"]


def test_what_a_threads_context_leaves_suspended_is_ended_too() -> None:
    seen = []

    def linger() -> None:
        try:
            getcurrent().parent.switch()
        finally:
            seen.append("ended")

    def start() -> None:
        child = greenlet(linger)
        child.switch()
        kept.append(child)

    kept: list[greenlet] = []

    def work() -> None:
        variable.set(AtEnd(start))
        getcurrent()

    run_thread(work)
    assert seen == ["ended"]
    assert kept.pop().dead


def test_a_thread_that_has_lost_its_greenlets_gets_no_new_ones() -> None:
    """Locals of a thread are freed with its state, some of them after greenlets have ended."""
    seen: list[Any] = []

    def use() -> None:
        try:
            seen.append(greenlet(lambda: "at work").switch())
        except RuntimeError as error:
            seen.append(str(error))

    def work() -> None:
        use()
        for place in places:
            place.value = AtEnd(use)

    places = [threading.local() for _ in range(6)]
    run_thread(work)
    assert len(seen) == 7
    assert set(seen) <= {"at work", "greenlet is being finalized"}
    assert seen[0] == "at work"


@child_process
def test_late_finalizers_of_many_threads_leave_no_stacks_behind() -> None:
    program = """
import threading
from ringlet.core import greenlet

class Late:
    def __del__(self):
        try:
            greenlet(lambda: None).switch()
        except RuntimeError:
            pass

def work():
    greenlet(lambda: None).switch()
    for place in places:
        place.value = Late()

def maps():
    with open("/proc/self/maps") as lines:
        return sum(1 for _ in lines)

places = [threading.local() for _ in range(5)]
for number in range(60):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if number == 19:
        before = maps()
assert maps() - before < 20, (before, maps())
"""
    run_isolated(program)

"""A signal handler runs in whichever greenlet is running, and may switch away itself."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from ringlet.core import getcurrent, greenlet
from tests.core.paths import every_way, nested, park, push_out
from tests.support.isolated import run_isolated

NUMBER = signal.SIGUSR1


@contextmanager
def handler(handle: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    before = signal.signal(NUMBER, handle)
    try:
        yield
    finally:
        signal.signal(NUMBER, before)


def interrupt() -> None:
    signal.raise_signal(NUMBER)


def test_a_handler_runs_in_the_greenlet_that_is_running() -> None:
    seen: list[object] = []
    child = greenlet(interrupt)
    with handler(lambda *_: seen.append(getcurrent())):
        child.switch()
        interrupt()
    assert seen == [child, getcurrent()]


def test_a_handler_sees_the_frames_of_that_greenlet_alone() -> None:
    names: list[str] = []

    def look(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back

    with handler(look):
        greenlet(lambda: nested(2, interrupt)).switch()
    assert names == ["interrupt", "nested", "nested", "nested", "<lambda>"]


def test_an_exception_of_a_handler_goes_where_the_signal_came() -> None:
    def fail(*_: object) -> None:
        raise KeyError("handler")

    def suffer() -> str:
        try:
            interrupt()
        except KeyError:
            return "suffered"
        return "spared"

    with handler(fail):
        assert greenlet(suffer).switch() == "suffered"
        with pytest.raises(KeyError):
            greenlet(interrupt).switch()


def test_a_handler_may_switch_away_and_be_resumed() -> None:
    log = []
    main = getcurrent()

    def leave(*_: object) -> None:
        log.append("leaves")
        log.append(main.switch())

    def work() -> str:
        every_way(interrupt)
        return "done"

    child = greenlet(work)
    with handler(leave):
        child.switch()
        push_out()
        log.append("main")
        assert child.switch("resumed") == "done"
    assert log == ["leaves", "main", "resumed"]


def test_greenlets_switch_in_handlers_of_handlers() -> None:
    depth = 0

    def deeper(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth < 20:
            greenlet(interrupt).switch()

    with handler(deeper):
        greenlet(interrupt).switch()
    assert depth == 20


def test_signals_between_any_two_instructions_of_a_switch() -> None:
    """A timer interrupts at random; each handler switches to another greenlet and back."""
    visits = 0

    def visit(*_: object) -> None:
        nonlocal visits
        visits += 1
        greenlet(lambda: None).switch()

    def ping() -> None:
        count = 0
        while True:
            count += 1
            assert park() == count

    before = signal.signal(signal.SIGALRM, visit)
    try:
        players = [greenlet(ping) for _ in range(10)]
        for player in players:
            player.switch()
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        count = 0
        while visits < 50:
            count += 1
            for player in players:
                player.switch(count)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for player in players:
        player.throw()


def test_an_interrupt_from_the_keyboard_passes_through_greenlets() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            greenlet(lambda: greenlet(work).switch()).switch()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_may_start_and_end_greenlets() -> None:
    results = []

    def handle(*_: object) -> None:
        parked = greenlet(park)
        parked.switch()
        results.append(greenlet(lambda: "from a fresh one").switch())

    with handler(handle):
        greenlet(lambda: every_way(interrupt)).switch()
    assert results == ["from a fresh one"]


def test_a_handler_may_drop_the_greenlet_it_interrupts() -> None:
    children = []

    def work() -> str:
        every_way(interrupt)
        return "ran to the end"

    children.append(greenlet(work))
    with handler(lambda *_: children.clear()):
        assert children[0].switch() == "ran to the end"


@pytest.mark.no_leak_check("runs in a child process")
@pytest.mark.parametrize("slots", ["1", "64"])
def test_the_fault_handler_may_look_in_the_midst_of_a_switch(slots: str) -> None:
    """It walks the frames without the GIL, on a stack of its own, wherever the signal came."""
    program = """
import faulthandler
import os
import signal
from ringlet.core import getcurrent, greenlet

def loop(depth):
    if depth:
        sorted([0], key=lambda _: loop(depth - 1))
    while True:
        getcurrent().parent.switch()

children = [greenlet(loop) for _ in range(10)]
for number, child in enumerate(children):
    child.switch(number % 5)
with open(os.devnull, "w") as nowhere:
    faulthandler.register(signal.SIGPROF, file=nowhere)
    signal.setitimer(signal.ITIMER_PROF, 0.0005, 0.0005)
    for _ in range(4000):
        for child in children:
            child.switch()
    signal.setitimer(signal.ITIMER_PROF, 0)
    faulthandler.unregister(signal.SIGPROF)
print("ended")
"""
    assert run_isolated(program, env={"RINGLET_SLOTS": slots}).stdout == "ended\n"

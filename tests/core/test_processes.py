"""Other processes made from within a greenlet: forks that go on, end or become another program."""

import subprocess
import sys

import pytest

from ringlet.core import greenlet
from tests.core.paths import crowd, every_way
from tests.support.isolated import run_isolated

child_process = pytest.mark.no_leak_check("runs in a child process")

PRELUDE = """
import os, sys, threading, warnings
from ringlet.core import getcurrent, greenlet
from tests.core.paths import every_way, park

warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads
others = [greenlet(lambda: every_way(park)) for _ in range(70)]
for other in others:
    other.switch()

def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""


def test_a_greenlet_runs_another_program() -> None:
    def work() -> str:
        return subprocess.run(
            [sys.executable, "-c", "print('hello')"], capture_output=True, text=True, check=True
        ).stdout

    with crowd(5):
        assert greenlet(lambda: every_way(work)).switch() == "hello\n"


@child_process
@pytest.mark.parametrize("slots", ["1", "64"])
def test_a_fork_becomes_another_program(slots: str) -> None:
    program = """
def work():
    pid = os.fork()
    if pid == 0:
        every_way(lambda: os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(7)"]))
    return status_of(pid)

assert greenlet(work).switch() == 7
assert [other.switch(number) for number, other in enumerate(others)] == list(range(70))
"""
    run_isolated(PRELUDE + program, env={"RINGLET_SLOTS": slots})


@child_process
def test_a_greenlet_becomes_another_program() -> None:
    program = """
def work():
    every_way(lambda: os.execv(sys.executable, [sys.executable, "-c", "print('another')"]))

greenlet(work).switch()
"""
    assert run_isolated(PRELUDE + program).stdout == "another\n"


@child_process
@pytest.mark.parametrize("end", ["sys.exit(7)", "os._exit(7)", "return_to_main()"])
def test_a_fork_ends_in_each_way(end: str) -> None:
    """With greenlets suspended, of which those that may still run are ended as usual."""
    program = f"""
ended = []
def linger():
    try:
        getcurrent().parent.switch()
    finally:
        ended.append(os.getpid())

lingering = greenlet(linger)
lingering.switch()

def return_to_main():
    others.clear()
    main.switch(7)

def work():
    pid = os.fork()
    if pid == 0:
        every_way(lambda: {end})
    return pid

main = getcurrent()
result = greenlet(lambda: greenlet(work).switch()).switch()
if result == 7:
    del lingering
    assert ended == [os.getpid()]
    sys.exit(7)
assert status_of(result) == 7
assert ended == []
"""
    run_isolated(PRELUDE + program)


@child_process
@pytest.mark.parametrize("slots", ["1", "64"])
def test_forks_while_other_threads_switch_and_fork(slots: str) -> None:
    """The child has none of their greenlets, wherever they were, and makes new ones."""
    program = """
stop = False
statuses = []

def fork():
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            fresh = [greenlet(lambda: every_way(park)) for _ in range(10)]
            for one in fresh:
                one.switch()
            for one in fresh:
                assert one.switch(2) == 2
            fresh.clear()
            others.clear()
            status = 7
        finally:
            os._exit(status)
    statuses.append(status_of(pid))

def work():
    mine = [greenlet(lambda: every_way(park)) for _ in range(10)]
    for one in mine:
        one.switch()
    for one in mine:
        for _ in range(20):
            greenlet(lambda: every_way(lambda: None)).switch()
        greenlet(fork).switch()
        one.switch()

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(10):
    greenlet(fork).switch()
for thread in threads:
    thread.join()
assert statuses == [7] * 40, statuses
"""
    run_isolated(PRELUDE + program, env={"RINGLET_SLOTS": slots}, timeout=60)

"""Who walks the C stack of a greenlet finds its end, and does not run on into other memory."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ringlet.core import greenlet
from tests.core.paths import by_sorted, crowd, park, push_out
from tests.support.isolated import ROOT

MOST = 4000
libc = ctypes.CDLL(None)


def c_frames() -> int:
    """How many frames libc's own unwinder finds from here."""
    return int(libc.backtrace((ctypes.c_void_p * MOST)(), MOST))


def below(levels: int, call: Callable[[], int] = c_frames) -> int:
    """What a function returns below so many C calls of sorted()."""
    return call() if levels == 0 else by_sorted(lambda: below(levels - 1, call))


@pytest.mark.no_leak_check("the first use loads libgcc")
def test_a_backtrace_ends_where_the_greenlet_begins() -> None:
    shallow, deep, deeper = (greenlet(below).switch(levels) for levels in (0, 10, 20))
    assert 0 < shallow < deep < deeper < MOST
    # Each call is several frames, fewer once the interpreter has got used to it.
    assert below(80, lambda: greenlet(below).switch(10)) < deep + 40
    assert below(80) > deep + 80


@pytest.mark.no_leak_check("the first use loads libgcc")
def test_a_backtrace_is_the_same_after_being_copied_out() -> None:
    def measure() -> tuple[int, int]:
        before = below(5)
        park()
        return before, below(5)

    with crowd(5):
        child = greenlet(measure)
        child.switch()
        push_out()
        before, after = child.switch()
    assert 5 < before < MOST
    assert abs(before - after) < 40


PROGRAM = """
import os, signal
from ringlet.core import getcurrent, greenlet

def below(levels):
    if levels:
        return sorted([0], key=lambda _: below(levels - 1))
    os.kill(os.getpid(), signal.SIGTRAP)

def work():
    child = greenlet(getcurrent().switch)
    child.switch()  # which has its slot, if there is but one
    child.switch()
    below(3)

greenlet(work).switch()
print("ended")
"""


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
@pytest.mark.no_leak_check("runs in a child process")
@pytest.mark.parametrize("slots", ["1", "64"])
def test_a_debugger_shows_the_stack_of_a_greenlet_to_its_end(slots: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    commands = (
        "set confirm off",
        f"set environment RINGLET_SLOTS {slots}",
        "run",
        "bt",
        "continue",
    )
    done = subprocess.run(
        [
            *("gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off"),
            *(part for command in commands for part in ("-ex", command)),
            *("--args", sys.executable, str(program)),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "ptrace" in done.stderr:
        pytest.skip("no process may be traced here")
    said = done.stdout
    frames = [line for line in said.splitlines() if line.startswith("#")]
    assert sum("builtin_sorted" in line or "list_sort" in line for line in frames) >= 3
    assert "rl_switch_boot" in frames[-1]
    assert "Backtrace stopped" not in said
    assert "ended" in said, "and the program goes on"

"""Greenlets that are suspended inside code of CPython's JIT, which may be discarded meanwhile."""

import subprocess
import sys

import pytest

from tests.support.isolated import run_isolated


def has_jit() -> bool:
    """Whether this interpreter was built with one; it need not be on."""
    jit = getattr(sys, "_jit", None)
    return jit is not None and jit.is_available()


pytestmark = pytest.mark.skipif(not has_jit(), reason="this CPython was built without the JIT")

PREAMBLE = """
import gc, sys
from ringlet.core import getcurrent, greenlet

assert sys._jit.is_enabled()
main = getcurrent()

SOURCE = '''
def hot(main):
    i = 0
    while True:
        for j in range(7):
            i += j
        i += 1
        main.switch(i)
'''

def fresh():
    "A function of its own each time, for what is compiled belongs to one code object."
    space = {}
    exec(SOURCE, space)
    return space["hot"]

def compile_something_else():
    "Discarded code is freed in the midst of much else, and its memory gets other contents."
    for _ in range(4):
        lists = [[i] for i in range(100_000)]
        del lists
    for _ in range(30):
        space = {}
        exec("def other(n):\\n s = 0\\n for i in range(n):\\n  s += i * 2\\n  s ^= i\\n", space)
        space["other"](12_000)
"""

JIT = {"PYTHON_JIT": "1"}


def run(program: str) -> str:
    return run_isolated(PREAMBLE + program, env=JIT, timeout=50).stdout


def test_the_environment_turns_it_on() -> None:
    command = [sys.executable, "-c", "import sys; print(sys._jit.is_enabled())"]
    done = subprocess.run(command, env=JIT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.no_leak_check("it runs in a child")
@pytest.mark.parametrize(
    "discard",
    [
        "sys._clear_internal_caches()",
        "sys.settrace(lambda *_: None); sys.settrace(None)",
        "sys.monitoring.use_tool_id(4, 't'); sys.monitoring.set_events(4, 32);"
        "sys.monitoring.set_events(4, 0); sys.monitoring.free_tool_id(4)",
    ],
    ids=["caches cleared", "traced", "monitored"],
)
def test_code_in_use_by_suspended_greenlets_stays(discard: str) -> None:
    """Each is in a loop that was compiled; the interpreter would free that code, for it looks only
    at what its threads are running."""
    program = f"""
children = []
for _ in range(40):
    child = greenlet(fresh())
    child.switch(main)
    for _ in range(5000):
        child.switch()
    children.append(child)
before = [child.switch() for child in children]
for _ in range(3):
    {discard}
    gc.collect()
    compile_something_else()
    for child in children:
        for _ in range(30):
            child.switch()
after = [child.switch() for child in children]
print({{b - a for a, b in zip(before, after)}})
"""
    assert run(program) == f"{{{91 * 22}}}\n"


@pytest.mark.no_leak_check("it runs in a child")
def test_they_can_end_and_be_dropped_inside_it() -> None:
    program = """
children = []
for _ in range(40):
    child = greenlet(fresh())
    child.switch(main)
    for _ in range(3000):
        child.switch()
    children.append(child)
sys._clear_internal_caches()
for child in children[::2]:
    child.throw()
del children[1::2], child
gc.collect()
compile_something_else()
print(sum(child.dead for child in children))
"""
    assert run(program) == "20\n"


@pytest.mark.no_leak_check("it runs in a child")
def test_many_greenlets_share_one_compiled_loop() -> None:
    """More than there are slots, so that they are copied out while they are in it."""
    program = """
hot = fresh()
children = [greenlet(hot) for _ in range(200)]
for child in children:
    child.switch(main)
for round in range(300):
    for child in children:
        child.switch()
    if round % 50 == 49:
        sys._clear_internal_caches()
print({child.switch() for child in children})
"""
    assert run(program) == f"{{{22 * 302}}}\n"


@pytest.mark.no_leak_check("it runs in a child")
def test_one_that_parks_while_its_loop_is_being_recorded_harms_nobody() -> None:
    """3.15 compiles what it sees a loop do; one that never comes back is in the middle of that."""
    program = """
parked = []
for pause in range(0, 9000, 100):
    def stops(n=pause):
        i = 0
        while True:
            i += 1
            if i == n:
                main.switch()
    parked.append(greenlet(stops))
    if pause:
        parked[-1].switch()
compile_something_else()
child = greenlet(fresh())
child.switch(main)
for _ in range(5000):
    last = child.switch()
print(last)
for other in parked[1:]:
    other.throw()
for _ in range(5000):
    last = child.switch()
print(last)
"""
    assert run(program) == f"{22 * 5001}\n{22 * 10001}\n"

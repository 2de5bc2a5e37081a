"""C++ exceptions belong to the greenlet that throws and catches them."""

import gc
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ringlet import GreenletExit, greenlet
from tests.core.paths import every_way, park, push_out
from tests.support.compiled import compile_extension, load_extension
from tests.support.isolated import run_isolated

COMPILER = shutil.which("g++") or shutil.which("clang++")
SOURCE = Path(__file__).parent / "extensions" / "catching.cpp"
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler: neither g++ nor clang++")

WAYS_TO_WAIT: list[Callable[[], Any]] = [lambda: None, push_out]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert COMPILER is not None
    return compile_extension(COMPILER, SOURCE, tmp_path_factory.mktemp("catching"))


@pytest.fixture(scope="session")
def cxx(built: Path) -> ModuleType:
    return load_extension(built)


@pytest.mark.parametrize("meanwhile", WAYS_TO_WAIT, ids=["resident", "evicted"])
def test_switching_in_a_catch_block(cxx: ModuleType, meanwhile: Callable[[], Any]) -> None:
    child = greenlet(cxx.catching)
    child.switch("of the child", park)
    assert cxx.current() is None
    meanwhile()

    def resume() -> None:
        assert cxx.current() == "of main"
        assert child.switch() == "of the child"
        assert cxx.current() == "of main"

    assert cxx.catching("of main", resume) == "of main"
    assert cxx.current() is None
    assert child.dead


def test_an_exception_is_still_caught_after_others_have_caught_theirs(cxx: ModuleType) -> None:
    def waits() -> None:
        assert cxx.current() == "first"
        park()
        assert cxx.current() == "first"
        assert cxx.catching("nested", lambda: None) == "nested"
        assert cxx.current() == "first"

    child = greenlet(cxx.catching)
    child.switch("first", waits)
    assert cxx.catching("second", lambda: None) == "second"
    assert child.switch() == "first"


def test_nested_catches_of_many_greenlets_interleaved(cxx: ModuleType) -> None:
    def descend(name: str, depth: int) -> None:
        if depth == 0:
            return
        value = f"{name} at {depth}"

        def inside() -> None:
            park()
            assert cxx.current() == value
            descend(name, depth - 1)
            assert cxx.current() == value
            park()
            assert cxx.current() == value

        assert every_way(lambda: cxx.catching(value, inside)) == value

    chance = random.Random(7)
    # As few as have their turns between others', and more than there are slots for in hard mode.
    living = [greenlet(descend) for _ in range(12)]
    for number, child in enumerate(living):
        child.switch(str(number), 4)
    while living:
        child = chance.choice(living)
        child.switch()
        assert cxx.current() is None
        if child.dead:
            living.remove(child)


def test_switching_in_a_destructor_while_an_exception_unwinds(cxx: ModuleType) -> None:
    def leave() -> None:
        assert cxx.in_flight() == 1
        park()
        assert cxx.in_flight() == 1

    child = greenlet(cxx.unwinding)
    child.switch("thrown", leave)
    assert cxx.in_flight() == 0
    push_out()

    def both() -> None:
        assert cxx.in_flight() == 1
        assert child.switch() == "thrown"
        assert cxx.in_flight() == 1

    assert cxx.unwinding("mine", both) == "mine"
    assert cxx.in_flight() == 0


@pytest.mark.parametrize("meanwhile", WAYS_TO_WAIT, ids=["resident", "evicted"])
def test_a_kill_runs_destructors(cxx: ModuleType, meanwhile: Callable[[], Any]) -> None:
    left: list[str] = []

    def guarded(*names: str) -> Any:
        if not names:
            return park()
        return cxx.guarded(lambda: guarded(*names[1:]), lambda: left.append(names[0]))

    child = greenlet(guarded)
    child.switch("outer", "middle", "inner")
    meanwhile()
    assert left == []
    assert isinstance(child.throw(), GreenletExit)
    assert left == ["inner", "middle", "outer"]
    assert cxx.current() is None


@pytest.mark.parametrize("meanwhile", WAYS_TO_WAIT, ids=["resident", "evicted"])
def test_losing_the_last_reference_runs_destructors(
    cxx: ModuleType, meanwhile: Callable[[], Any]
) -> None:
    left: list[Any] = []
    child = greenlet(cxx.guarded)
    child.switch(lambda: cxx.catching("caught", park), lambda: left.append(cxx.in_flight()))
    meanwhile()
    del child
    gc.collect()
    assert left == [1]
    assert (cxx.current(), cxx.in_flight()) == (None, 0)


def test_a_destructor_may_switch_while_its_greenlet_is_killed(cxx: ModuleType) -> None:
    child = greenlet(cxx.guarded)
    child.switch(park, park)
    child.throw(KeyError("passes through C++"))
    assert cxx.in_flight() == 0
    with pytest.raises(KeyError, match="passes through"):
        child.switch()


def test_threads_have_exceptions_of_their_own(cxx: ModuleType) -> None:
    seen: list[Any] = []

    def elsewhere() -> None:
        child = greenlet(cxx.catching)
        child.switch("there", park)
        seen.append(cxx.current())
        seen.append(cxx.catching("inner", child.switch))

    def here() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        seen.append(cxx.current())

    child = greenlet(cxx.catching)
    child.switch("here", here)
    assert seen == [None, "inner", "here"]


@pytest.mark.no_leak_check("the exception is leaked, which nobody has finished with")
def test_an_unfinished_catch_ends_with_its_greenlet(cxx: ModuleType) -> None:
    def body() -> None:
        cxx.unfinished("left behind")
        assert cxx.current() == "left behind"

    greenlet(body).switch()
    assert cxx.current() is None

    def inside() -> None:
        greenlet(body).switch()
        assert cxx.current() == "mine"

    assert cxx.catching("mine", inside) == "mine"


LOAD = """
import sys, threading
from pathlib import Path
from ringlet import getcurrent, greenlet
from tests.support.compiled import load_extension

def park():
    return getcurrent().parent.switch()

def load():
    return load_extension(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("hard", ["0", "1"])
def test_an_exception_that_nobody_catches_terminates(built: Path, hard: str) -> None:
    outcome = run_isolated(
        f"""{LOAD}
cxx = load()
child = greenlet(cxx.uncaught)
child.switch(park)
other = greenlet(park)
other.switch()
print("so far", flush=True)
child.switch()
""",
        str(built),
        exit=-6,
        env={"RINGLET_HARD": hard},
    )
    assert outcome.stdout == "so far\n"
    assert "terminate called" in outcome.stderr


@pytest.mark.skipif(
    "LD_PRELOAD" in os.environ, reason="what is preloaded brings a C++ runtime along"
)
@pytest.mark.parametrize("hard", ["0", "1"])
def test_a_runtime_that_is_loaded_after_the_greenlets_have_started(built: Path, hard: str) -> None:
    run_isolated(
        f"""{LOAD}
def runtimes():
    maps = Path("/proc/self/maps")
    return maps.exists() and "libstdc++" in maps.read_text()

def look():
    seen.append(cxx.current())

def elsewhere():
    child = greenlet(lambda: (park(), look()))
    child.switch()
    started.set()
    loaded.wait()
    assert cxx.catching("the thread's", child.switch) == "the thread's"

seen = []
started, loaded = threading.Event(), threading.Event()
other = threading.Thread(target=elsewhere, daemon=True)
other.start()
started.wait()
early = [greenlet(lambda: (park(), look())) for _ in range(3)]
for child in early:
    child.switch()
before = runtimes()
assert not before, "a C++ runtime was loaded by the interpreter or by ringlet"

# Libraries that are none are loaded, and greenlets switch, before the one is.
import _ctypes
idle = greenlet(lambda: (park(), park()))
idle.switch()
import _decimal, _bz2
idle.switch()
cxx = load()
assert cxx.catching("main's", early[0].switch) == "main's"
loaded.set()
other.join()
for child in early[1:]:
    assert cxx.catching("main's", child.switch) == "main's"
assert seen == [None] * 4, seen
""",
        str(built),
        env={"RINGLET_HARD": hard},
    )

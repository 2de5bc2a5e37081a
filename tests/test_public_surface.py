"""What users may rely on is written down, complete, and explained."""

import importlib
import inspect
import socket
import types

import pytest

import ringlet
import ringlet.io.socket

# The modules users import, and what they find there. A name that comes or goes does so here too.
SURFACE = {
    "ringlet": (
        # errors
        *("ChannelClosed", "Deadlock", "GreenletError", "GreenletExit", "TaskletError"),
        *("Cancelled", "TaskletExit", "Timeout", "WouldBlock", "error"),
        # greenlets
        *("get_include", "getcurrent", "gettrace", "greenlet", "settrace"),
        # tasklets
        *("Tasklet", "call_threadsafe", "current", "dump", "excepthook", "main", "run", "schedule"),
        *("shield", "sleep", "spawn", "spawn_later", "tasklets", "timeout"),
        *("Future", "local", "wait"),
        # channels, groups, generators
        *("Group",),
        *("Channel", "Selection", "select"),
        *("generator", "iterate", "yield_", "yield_from"),
    ),
    "ringlet.servers": ("Access", "DatagramServer", "HTTPLimits", "StreamServer", "WSGIServer"),
    "ringlet.io": ("wait_readable", "wait_writable"),
    "ringlet.sync": (
        *("Barrier", "BoundedSemaphore", "BrokenBarrierError", "Condition", "Event", "Lock"),
        *("Group", "RLock", "Semaphore", "Statistics"),
        *("Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "ShutDown", "SimpleQueue"),
    ),
    "ringlet.tools": (
        *("Event", "Trace", "Watchdog", "dump", "dump_on_signal", "trace", "watchdog"),
    ),
    "ringlet.testing": (
        *("FakeClock", "LeakError", "Transcript", "fake_clock", "no_leaks", "run_until_blocked"),
    ),
}

MODULES = pytest.mark.parametrize(
    "module", [importlib.import_module(name) for name in SURFACE], ids=list(SURFACE)
)


def reading_order(name: str) -> tuple[int, str]:
    """Constants, classes, everything else: the order the linter keeps such lists in."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def undocumented(name: str, thing: object) -> list[str]:
    """`name` itself and those of its public methods and properties that have no docstring."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return []
    missing = [] if inspect.getdoc(thing) else [name]
    if inspect.isclass(thing):
        for base in thing.__mro__:
            if (base.__module__ or "").partition(".")[0] == ringlet.__name__:
                missing += [
                    f"{name}.{attribute}"
                    for attribute, value in vars(base).items()
                    if not attribute.startswith("_")
                    and (inspect.isroutine(value) or isinstance(value, property | staticmethod))
                    and not inspect.getdoc(getattr(thing, attribute))
                ]
    return missing


@MODULES
def test_shows_exactly_this(module: types.ModuleType) -> None:
    assert set(module.__all__) == set(SURFACE[module.__name__])


def test_sockets_go_by_the_names_of_the_standard_library() -> None:
    assert set(ringlet.io.socket.__all__) >= set(socket.__all__)
    gaps = [name for name in ringlet.io.socket.__all__ if not hasattr(ringlet.io.socket, name)]
    assert gaps == []


@MODULES
def test_list_is_a_sorted_tuple_of_what_is_there(module: types.ModuleType) -> None:
    assert isinstance(module.__all__, tuple)
    assert list(module.__all__) == sorted(set(module.__all__), key=reading_order)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@MODULES
def test_everything_public_is_explained(module: types.ModuleType) -> None:
    assert inspect.getdoc(module), "the module has no docstring"
    assert [gap for name in module.__all__ for gap in undocumented(name, vars(module)[name])] == []


@MODULES
def test_nothing_defined_here_is_public_by_accident(module: types.ModuleType) -> None:
    accidents = [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and name not in module.__all__
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]
    assert accidents == []


def test_undocumented_finds_what_is_missing() -> None:
    class Told:
        """A class with a docstring."""

        def told(self) -> None:
            """Told."""

        def untold(self) -> None: ...

        @property
        def bare(self) -> int:
            return 1

    Told.__module__ = "ringlet.example"
    assert undocumented("Told", Told) == ["Told.untold", "Told.bare"]
    assert undocumented("f", lambda: None) == ["f"]
    assert undocumented("NUMBER", 3) == []

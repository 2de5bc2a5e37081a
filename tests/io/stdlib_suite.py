"""The interpreter's own tests of sockets, select and selectors, run as they come on ringlet's.

    python -m pytest tests/io/stdlib_suite.py

Not collected with the other tests: it takes a minute or two. It needs an interpreter that was
installed with its tests. What cannot pass is listed with the reason, and must fail.
"""

import functools
import importlib.util
import sys
import threading
import types
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ringlet
from ringlet.io import dns, select, selectors, socket

support = pytest.importorskip("test.support", reason="the interpreter comes without tests")
support.use_resources = []  # as unattended runs of the suite do: nothing beyond this machine

pytestmark = pytest.mark.filterwarnings("default")

OURS = {"select": select, "selectors": selectors, "socket": socket}

NON_BLOCKING = "looks at the descriptor's mode: our sockets are non-blocking, whatever the timeout"
COUNTS = "counts references, of which the traceback of a function in Python holds one"
SEVERAL = "several tasklets may wait with one poll object"
A_CLASS = "poll is a class here"
FALLBACK = "changes what the standard library makes socketpairs of where the system has none"
LOOKS_INSIDE = "replaces what the standard library's own selector is made of"

# What cannot pass, and why.
IMPOSSIBLE = {
    "test_socket": {
        ("GeneralModuleTests", "testRefCountGetNameInfo"): COUNTS,
        ("NonBlockingTCPTests", "testSetBlocking"): NON_BLOCKING,
        ("NonBlockingTCPTests", "testSetBlocking_overflow"): NON_BLOCKING,
        ("NonblockConstantTest", "test_SOCK_NONBLOCK"): NON_BLOCKING,
        ("PurePythonSocketPairTest", "test_injected_authentication_failure"): FALLBACK,
    },
    "test_select": {("SelectTestCase", "test_disallow_instantiation"): A_CLASS},
    "test_poll": {("PollTests", "test_threaded_poll"): SEVERAL},
    "test_epoll": {},
    "test_selectors": {
        ("DefaultSelectorTestCase", "test_modify_unregister"): LOOKS_INSIDE,
        ("EpollSelectorTestCase", "test_modify_unregister"): LOOKS_INSIDE,
        ("PollSelectorTestCase", "test_modify_unregister"): LOOKS_INSIDE,
    },
}

if sys.version_info >= (3, 12):  # where it looks at the timeout alone
    del IMPOSSIBLE["test_socket"]["NonBlockingTCPTests", "testSetBlocking_overflow"]

# What depends on more than this machine, and may wait for it without end.
ELSEWHERE = {"test_socket": {"ThreadedVSOCKSocketStreamTest": "talks to the machine's host"}}


def load(name: str) -> types.ModuleType:
    """The module test.`name`, made anew with our modules where it imports theirs."""
    spec = importlib.util.find_spec(f"test.{name}")
    assert spec is not None
    assert spec.origin is not None
    module = types.ModuleType(f"test.{name}")
    module.__file__ = spec.origin
    theirs = {name: sys.modules[name] for name in OURS}
    sys.modules |= OURS
    try:
        exec(compile(Path(spec.origin).read_bytes(), spec.origin, "exec"), module.__dict__)
    finally:
        sys.modules |= theirs
    return module


def failing(test: Callable[[Any], None], reason: str) -> Callable[[Any], None]:
    """The same test, expected to fail."""

    @functools.wraps(test)
    def copy(self: Any) -> None:
        test(self)

    return pytest.mark.xfail(strict=True, reason=reason)(copy)


def collect(name: str) -> dict[str, type]:
    """The test classes of a module, for pytest to find, with marks on what cannot pass."""
    module = load(name)
    for (where, test), reason in IMPOSSIBLE[name].items():
        case = getattr(module, where, None)
        if case is not None:  # not all versions have it
            setattr(case, test, failing(getattr(case, test), reason))
    for where, reason in ELSEWHERE.get(name, {}).items():
        setattr(module, where, unittest.skip(reason)(getattr(module, where)))
    return {
        f"{name}_{thing.__name__}": thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, unittest.TestCase)
    }


def start_all_threads() -> None:
    """The tests complain of threads that were not there when they began: ours stay."""
    barrier = threading.Barrier(dns.THREADS)
    looking = [ringlet.spawn(dns._look_up, barrier.wait) for _ in range(dns.THREADS)]
    for tasklet in looking:
        tasklet.join()


start_all_threads()
for _name in IMPOSSIBLE:
    globals().update(collect(_name))

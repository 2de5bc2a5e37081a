"""The interpreter's own tests of locks, run as they come against ours, where they are installed."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from ringlet import sync

lock_tests = pytest.importorskip("test.lock_tests", reason="the interpreter comes without tests")

# What cannot pass, and why.
IMPOSSIBLE = {
    ("EventTests", "test_at_fork_reinit"): "takes the Condition that threading.Event is made of",
}


def failing(test: Callable[[Any], None], reason: str) -> Callable[[Any], None]:
    """The same test, expected to fail; the original is shared with tests of other types."""

    @functools.wraps(test)
    def copy(self: Any) -> None:
        test(self)

    return pytest.mark.xfail(strict=True, reason=reason)(copy)


def against(name: str, **types: Any) -> type:
    """The test class `name`, testing these types of ours."""
    original = getattr(lock_tests, name)
    changed: dict[str, Any] = {kind: staticmethod(ours) for kind, ours in types.items()}
    for (where, test), reason in IMPOSSIBLE.items():
        if where == name:
            changed[test] = failing(getattr(original, test), reason)
    return type(name, (original,), changed)


LockTests = against("LockTests", locktype=sync.Lock)
RLockTests = against("RLockTests", locktype=sync.RLock)
EventTests = against("EventTests", eventtype=sync.Event)
ConditionTests = against("ConditionTests", condtype=sync.Condition)
SemaphoreTests = against("SemaphoreTests", semtype=sync.Semaphore)
BoundedSemaphoreTests = against("BoundedSemaphoreTests", semtype=sync.BoundedSemaphore)
BarrierTests = against("BarrierTests", barriertype=sync.Barrier)

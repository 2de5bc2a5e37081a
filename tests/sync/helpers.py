"""Native threads that are known to wait, and the state of tasklets once nobody is ready."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ringlet

PATIENCE = 30.0  # seconds after which a thread that was to end has failed to


def settle() -> None:
    """Let everybody ready run until nobody is."""
    while any(tasklet.state == "ready" for tasklet in ringlet.tasklets()):
        ringlet.schedule()


@contextlib.contextmanager
def blocked_thread(f: Callable[[], Any]) -> Iterator[list[Any]]:
    """Have a native thread call f(), which waits; go on once it does. What f returned, at the end.

    The block must let f() end.
    """
    waits, results = threading.Event(), []

    def body() -> None:
        # Runs when the thread's own program has parked, and not before.
        ringlet.spawn(waits.set)
        results.append(f())

    thread = threading.Thread(target=body)
    thread.start()
    try:
        assert waits.wait(PATIENCE)
        yield results
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def in_thread(f: Callable[[], Any]) -> Any:
    """What f() returns in a native thread of its own, or the exception it raises."""
    results: list[Any] = []

    def body() -> None:
        try:
            results.append(f())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(PATIENCE)
    return results[0]

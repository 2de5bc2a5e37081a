"""Running what blocks the thread in another thread."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ringlet import _core
from ringlet.sched import Tasklet, wait

__all__ = ("to_thread",)

P = ParamSpec("P")
T = TypeVar("T")

_executor: ThreadPoolExecutor | None = None


def to_thread(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call f(*args, **kwargs) in a thread of a pool, and park the tasklet until it has returned.

    f runs in a copy of the caller's context, and must not touch the caller's tasklets or sockets.
    Returns what f returns or raises what it raises. When the tasklet is killed meanwhile, f is
    not called if no thread was free yet; else it runs to its end, and nobody learns of it. The
    program's end waits for it.
    """
    arrival = _Arrival()
    job = _pool().submit(copy_context().run, partial(f, *args, **kwargs))
    job.add_done_callback(arrival.announce)
    try:
        arrival.wait(f"{getattr(f, '__qualname__', f)} in a thread")
        return job.result()
    finally:
        job.cancel()
        del job  # an error would hold this frame, which holds the job, which holds the error


class _Arrival:
    """Tells the tasklet that made it when a job in another thread has ended."""

    # Invariant: _waiting is the tasklet from the beginning until it has been told or has given up.

    def __init__(self) -> None:
        self._hub = _core.hub()
        self._waiting: Tasklet[Any] | None = _core.current()
        self._hub.expect(1)  # while it is to come, tasklets that wait are no deadlock

    def announce(self, _: Future[Any]) -> None:
        """For the other thread: the job has ended."""
        self._hub.call_threadsafe(self._arrive)

    def _arrive(self) -> None:
        self._hub.expect(-1)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            wait.wake(waiting)

    def wait(self, waiting_on: str) -> None:
        """Park until the job has ended."""
        try:
            while self._waiting is not None:
                wait.park(waiting_on)
        finally:
            self._waiting = None


def _pool() -> ThreadPoolExecutor:
    """The pool, which the threads of the process share, made on first use."""
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(
            thread_name_prefix="ringlet-pool", initializer=_mark_as_worker
        )
    return _executor


def _mark_as_worker() -> None:
    """Tell hubs that this thread wakes nobody of its own accord."""
    threading.current_thread().ringlet_worker = True  # type: ignore[attr-defined]


def _forget_pool() -> None:
    """In a forked child: the threads are not there."""
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget_pool)

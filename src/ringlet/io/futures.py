"""Futures of concurrent.futures whose waiters let other tasklets run."""

import concurrent.futures as stdlib
import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any, NamedTuple, TypeVar

from ringlet import _core
from ringlet.errors import Timeout
from ringlet.io.arrival import Arrival
from ringlet.sched.wait import check_timeout

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "as_completed",
    "await_done",
    "wait",
)

T = TypeVar("T")


class Future(stdlib.Future[T]):
    """What a job in a thread will return. To wait for it parks the tasklet.

    Everything else is as in the standard library. Usable from any thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._generation = _generation

    def result(self, timeout: float | None = None) -> T:
        """What the job has returned, or what it has raised is raised.

        Raises Timeout, a TimeoutError, when it is not done in `timeout` seconds; CancelledError
        when it was cancelled; RuntimeError in a forked child, where nobody will do it.
        """
        await_done(self, timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the job has raised, or None. Raises as result() does when there is neither."""
        await_done(self, timeout)
        return super().exception(0)


#: Counts the forks of this process and its parents.
_generation = 0


def _count_fork() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_count_fork)


def await_done(future: stdlib.Future[Any], timeout: float | None = None) -> None:
    """Park until `future`, of any executor, is done. Raises Timeout."""
    if not future.done():
        _park_until([future], future.done, timeout, future)


def _park_until(
    pending: Iterable[stdlib.Future[Any]],
    enough: Callable[[], bool],
    timeout: float | None,
    waiting_on: object,
) -> None:
    """Park until enough() is true, which it may become when one of `pending` is done.

    Raises Timeout when it is not in `timeout` seconds.
    """
    seconds = check_timeout(timeout)
    for future in pending:
        if getattr(future, "_generation", _generation) != _generation:
            raise RuntimeError(
                f"{future!r} is the parent's, and will not be done in a forked child"
            )
    bell = _Bell()
    for future in pending:
        future.add_done_callback(bell.ring)
    clock = _core.hub().clock
    end = None if seconds is None else clock.time() + seconds
    try:
        while not enough():
            arrival = bell.arrival = Arrival()
            try:
                if not enough():  # it may have rung before there was somebody to hear it
                    arrival.wait(waiting_on, None if end is None else end - clock.time())
            finally:
                arrival.give_up()
    except Timeout:
        if not enough():
            raise Timeout(f"{waiting_on} was not done in {seconds:g} s") from None
    finally:
        bell.arrival = None


class _Bell:
    """Tells a waiter of each of several futures that is done, until it waits no more.

    Futures keep what they are to call until they are done; this is little.
    """

    __slots__ = ("arrival",)

    def __init__(self) -> None:
        self.arrival: Arrival | None = None

    def ring(self, _: object) -> None:
        arrival = self.arrival
        if arrival is not None:
            arrival.announce()


class DoneAndNotDoneFutures(NamedTuple):
    """What wait() returns."""

    done: set[stdlib.Future[Any]]
    not_done: set[stdlib.Future[Any]]


def wait(
    fs: Iterable[stdlib.Future[Any]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> DoneAndNotDoneFutures:
    """Park until all of `fs` are done, or the first, or the first that failed.

    For futures of any executor. Returns the sets of those that are done and that are not; after
    `timeout` seconds it returns too. Raises ValueError for another `return_when` than
    ALL_COMPLETED, FIRST_COMPLETED and FIRST_EXCEPTION.
    """
    futures = set(fs)

    def all_done() -> bool:
        return all(future.done() for future in futures)

    def some_done() -> bool:
        return not futures or any(future.done() for future in futures)

    def some_failed() -> bool:
        return all_done() or any(_has_failed(future) for future in futures)

    conditions = {
        ALL_COMPLETED: all_done,
        FIRST_COMPLETED: some_done,
        FIRST_EXCEPTION: some_failed,
    }
    enough = conditions.get(return_when)
    if enough is None:
        raise ValueError(f"Invalid return condition: {return_when!r}")
    if not enough():
        try:
            pending = [future for future in futures if not future.done()]
            _park_until(pending, enough, timeout, f"{len(pending)} futures")
        except Timeout:
            pass
    done = {future for future in futures if future.done()}
    return DoneAndNotDoneFutures(done, futures - done)


def _has_failed(future: stdlib.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception(0) is not None


def as_completed(
    fs: Iterable[stdlib.Future[T]], timeout: float | None = None
) -> Generator[stdlib.Future[T], None, None]:
    """Iterate over `fs` as they are done, those first that are done already.

    For futures of any executor. Raises Timeout when not all of them are done `timeout` seconds
    after the call; `next()` parks the tasklet.
    """
    pending = dict.fromkeys(fs)
    seconds = check_timeout(timeout)
    clock = _core.hub().clock
    return _iterate(pending, None if seconds is None else clock.time() + seconds)


def _iterate(
    pending: dict[stdlib.Future[T], None], end: float | None
) -> Generator[stdlib.Future[T], None, None]:
    total = len(pending)
    while pending:
        ready = [future for future in pending if future.done()]
        for future in ready:
            del pending[future]
        while ready:
            # Popped, so that we do not keep alive what the caller has dropped.
            yield ready.pop(0)
        if not pending or any(future.done() for future in pending):
            continue
        left = None if end is None else end - _core.hub().clock.time()
        try:
            _park_until(pending, lambda: any(map(_is_done, pending)), left, "the next future")
        except Timeout:
            raise Timeout(f"{len(pending)} (of {total}) futures unfinished") from None


def _is_done(future: stdlib.Future[Any]) -> bool:
    return future.done()

"""Trying several ways at once, each a little later than the one before: the first that works wins.

Connecting to a host with addresses of both families does so (RFC 8305, "happy eyeballs").
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, Generic, TypeVar

from ringlet.sched import Tasklet, spawn
from ringlet.sync import Empty, SimpleQueue

__all__ = ("ATTEMPT_DELAY", "in_turns", "race")

T = TypeVar("T")

#: Seconds an attempt has for itself before the next one begins beside it: what RFC 8305 recommends.
ATTEMPT_DELAY = 0.25


def in_turns(found: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Addresses as getaddrinfo() returns them, families taking turns, the first one beginning."""
    families: dict[Any, list[tuple[Any, ...]]] = {}
    for entry in found:
        families.setdefault(entry[0], []).append(entry)
    rounds = zip_longest(*families.values())
    return [entry for entry in chain.from_iterable(rounds) if entry is not None]


def race(
    attempts: Sequence[Callable[[], T]], discard: Callable[[T], object], errors: list[OSError]
) -> T | None:
    """What the first of `attempts` to succeed returns, or None when each has raised OSError.

    Each begins when the one before has failed, or ATTEMPT_DELAY seconds after it began. The others
    are killed when one has won, or when this is killed, and what they have got by then is given to
    discard(). The errors are put into `errors` in the order of the attempts. Other exceptions end
    the race and are raised.
    """
    if len(attempts) == 1:
        try:
            return attempts[0]()
        except OSError as error:
            errors.append(error)
            return None
    return _Race(attempts, errors).run(discard)


class _Race(Generic[T]):
    """One race, from its beginning until everybody is gone."""

    def __init__(self, attempts: Sequence[Callable[[], T]], errors: list[OSError]) -> None:
        self._left = list(enumerate(attempts))
        self._errors = errors
        # Who has arrived, and is to be looked at: the number, the result, the error.
        self._arrived: SimpleQueue[tuple[int, T | None, Exception | None]] = SimpleQueue()
        self._runners: list[Tasklet[None]] = []

    def run(self, discard: Callable[[T], object]) -> T | None:
        failed: dict[int, OSError] = {}
        try:
            winner = self._watch(failed)
        finally:
            self._stop(discard)
        if winner is None:
            self._errors.extend(error for _, error in sorted(failed.items()))
        return winner

    def _watch(self, failed: dict[int, OSError]) -> T | None:
        running = 0
        while running or self._left:
            if self._left:
                running += 1
                self._runners.append(spawn(self._try, *self._left.pop(0)))
            try:
                number, winner, error = self._arrived.get(
                    timeout=ATTEMPT_DELAY if self._left else None
                )
            except Empty:
                continue  # the next one begins
            running -= 1
            if error is None:
                return winner
            if not isinstance(error, OSError):
                raise error
            failed[number] = error
        return None

    def _try(self, number: int, attempt: Callable[[], T]) -> None:
        try:
            self._arrived.put((number, attempt(), None))
        except Exception as error:
            self._arrived.put((number, None, error))

    def _stop(self, discard: Callable[[T], object]) -> None:
        for runner in self._runners:
            runner.kill(wait=False)  # all of them, before anything can keep us from it
        for runner in self._runners:
            runner.join()
        while not self._arrived.empty():
            _, late, error = self._arrived.get_nowait()
            if error is None and late is not None:
                discard(late)

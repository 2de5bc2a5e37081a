"""What the objects of this package that tasklets wait for have in common."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ringlet.sched import wait
from ringlet.sched.words import label

__all__ = (
    "Statistics",
    "acquire_in_time",
    "check_time",
    "name_of",
    "words_on_holder",
    "words_on_waiting",
)


class Statistics(NamedTuple):
    """What has happened since it was made to an object that tasklets wait for."""

    acquisitions: int
    """How often it was taken: a lock by another holder, a permit, an item of a queue."""
    contentions: int
    """How many have had to wait, those included that gave up."""
    longest_wait: float
    """The longest wait that was not in vain, in seconds of the waiting thread's clock."""
    most_waiting: int
    """How many have waited at once, at most."""


def check_time(timeout: float | None) -> float | None:
    """The seconds that `timeout` stands for in threading's locks; None for no limit, as is -1.

    Raises ValueError for any other negative time, OverflowError for one beyond
    threading.TIMEOUT_MAX, TypeError for what is no number.
    """
    if timeout == -1:
        return None
    seconds = wait.check_timeout(timeout)
    if seconds is not None and seconds < 0:
        raise ValueError(f"timeout value must be a non-negative number, or -1; not {timeout!r}")
    if seconds is not None and seconds > threading.TIMEOUT_MAX:
        raise OverflowError(f"timeout value is too large: {timeout!r} seconds")
    return seconds


def acquire_in_time(
    lock: object, acquire: Callable[..., bool], blocking: bool, seconds: float | None
) -> bool:
    """Call acquire(), a method of `lock`, to be done within `seconds`. Whether it was."""
    if not blocking or seconds is None:
        return acquire(blocking)
    return acquire(False) or wait.attempt(acquire, seconds, lock)


def name_of(thing: object) -> str:
    """How a representation names the type of an object: its module without the folders."""
    kind = type(thing)
    package, _, module = kind.__module__.rpartition(".")
    return f"{'sync' if package == 'ringlet.sync' else module}.{kind.__qualname__}"


def words_on_waiting(waiting: int) -> str:
    """How a representation says how many wait."""
    return f", {waiting} waiting" if waiting else ""


def words_on_holder(holder: Any) -> str:
    """How a representation says who holds a lock: a tasklet, the name of a thread, or nobody."""
    if holder is None:
        return ""
    if isinstance(holder, str):
        return f", held by {holder}"
    ended = ", which has ended" if holder.finished else ""
    return f", held by {label(holder)}{ended}"

"""Locks, simple queues and thread locals that were made before the patch.

One that is free, and of which every reference is known and can be written, is replaced by a
cooperative one. With any other there would be two in its place, which exclude nobody.
"""

import _queue
import _thread
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ringlet.patch.heap import Heap
from ringlet.patch.places import Place
from ringlet.patch.primitives import Lock, RLock, SimpleQueue, local

__all__ = ("Moved", "Sort", "survey")

_NativeLock = type(_thread.allocate_lock())


@dataclass(frozen=True)
class Sort:
    """A sort of object that can be replaced."""

    name: str
    native: Any
    cooperative: Any
    #: Whether nobody uses it.
    is_free: Callable[[Any], bool]
    #: Give the second what the first has in it.
    move: Callable[[Any, Any], object]


def _nothing(_: Any, __: Any) -> None:
    pass


def _move_items(old: Any, new: Any) -> None:
    while not old.empty():
        new.put(old.get_nowait())


def _move_attributes(old: Any, new: Any) -> None:
    for name, value in list(old.__dict__.items()):
        setattr(new, name, value)


def _rlock_is_free(lock: Any) -> bool:
    # Held by another thread it is not owned either: then it cannot be had.
    if lock._is_owned() or not lock.acquire(blocking=False):
        return False
    lock.release()
    return True


SORTS = (
    Sort("lock", _NativeLock, Lock, lambda lock: not lock.locked(), _nothing),
    Sort("RLock", _thread.RLock, RLock, _rlock_is_free, _nothing),
    Sort("SimpleQueue", _queue.SimpleQueue, SimpleQueue, lambda queue: True, _move_items),
    Sort("local", _thread._local, local, lambda attributes: True, _move_attributes),
)
_BY_TYPE = {sort.native: sort for sort in SORTS}


class Moved:
    """An object that a cooperative one is to stand for, in all its places, and back."""

    def __init__(self, sort: Sort, old: Any, places: list[Place]) -> None:
        self.sort = sort
        self.old = old
        self.new: Any = None
        #: Where the object itself is referred to.
        self.places = places
        #: And where its methods are: the method's name, and its places.
        self.methods: list[tuple[Any, list[Place]]] = []

    def __str__(self) -> str:
        if not self.places:
            return f"a {self.sort.name} that only its methods lead to"
        return f"{self.places[0]} (a {self.sort.name})"

    @property
    def is_ours(self) -> bool:
        """Whether this package has it for itself."""
        return any(place.is_ours for place in self._all_places())

    def obstacle(self, hidden: int, native_threads: Sequence[str]) -> str | None:
        """Why it must stay; None if it need not. `hidden` is how many references have no place."""
        if native_threads:
            return f"it may be in use: other threads run ({', '.join(native_threads)})"
        if not self.sort.is_free(self.old):
            return "it is held"
        for place in self._all_places():
            if not place.can_be_written:
                return f"{place} refers to it, too"
        if hidden:
            return "what is not known refers to it, too: a call that is running, or code in C"
        return None

    def _all_places(self) -> Iterator[Place]:
        yield from self.places
        for _, places in self.methods:
            yield from places

    def apply(self) -> None:
        """Put a cooperative one into all places."""
        self.new = self.sort.cooperative()
        self.sort.move(self.old, self.new)
        self._put(self.old, self.new)

    def revert(self) -> bool:
        """Put the old one back. Not done, and False, while somebody holds or awaits the new one."""
        locked = getattr(self.new, "locked", None)
        if (locked is not None and locked()) or getattr(self.new, "waiting", 0):
            return False
        self.sort.move(self.new, self.old)
        self._put(self.new, self.old)
        return True

    def _put(self, before: Any, after: Any) -> None:
        for place in self.places:
            if place.get() is before:
                place.put(after)
        for method, places in self.methods:
            for place in places:
                if getattr(place.get(), "__self__", None) is before:
                    place.put(getattr(after, method.__name__))


def survey(
    native_threads: Sequence[str], known: Any = None
) -> tuple[list[Moved], list[tuple[str, str]]]:
    """What can be replaced; and the names of what cannot, each with the reason.

    While `native_threads` run nothing can: they may be about to use it. What is `known` is left
    out.
    """
    # One of each sort that nothing else refers to: what is counted more of others is theirs.
    probes = [_thread.allocate_lock(), *(sort.native() for sort in SORTS[1:])]
    probe_method = probes[0].acquire
    with Heap() as heap:
        objects = heap.instances(_BY_TYPE)
        methods = heap.methods(objects)
        places = heap.places([*objects, *methods])
    counts = _counts(objects)
    counts.update(_counts(methods))
    for probe in (*probes, probe_method):
        counts[type(probe)] = counts.pop(id(probe)) - 1 - (probe is probes[0])
    weak = {type(probe): weakref.getweakrefcount(probe) for probe in probes}
    by_object: dict[int, list[Any]] = {}
    for method in methods:
        by_object.setdefault(id(method.__self__), []).append(method)

    can: list[Moved] = []
    cannot: list[tuple[str, str]] = []
    for thing in objects:
        if thing is known or any(thing is probe for probe in probes):
            continue
        one = Moved(_BY_TYPE[type(thing)], thing, places[id(thing)])
        one.methods = [(m, places[id(m)]) for m in by_object.get(id(thing), ())]
        if one.is_ours:
            continue
        hidden = counts[id(thing)] - counts[type(thing)] - len(one.places) - len(one.methods)
        for method, where in one.methods:
            hidden += counts[id(method)] - counts[type(method)] - len(where)
        if weakref.getweakrefcount(thing) != weak[type(thing)]:
            hidden += 1
        why = one.obstacle(hidden, native_threads)
        if why is None:
            can.append(one)
        else:
            cannot.append((str(one), why))
    return can, cannot


def _counts(things: list[Any]) -> dict[Any, int]:
    """How often each is referred to, by its id(). The same few of these are the list's and ours."""
    return {id(thing): sys.getrefcount(thing) for thing in things}

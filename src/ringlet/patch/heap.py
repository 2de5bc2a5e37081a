"""What refers to an object: found by going through everything the collector knows.

Nothing of the program is called for that, so objects whose attributes come about by magic are safe.
"""

import gc
import sys
from collections.abc import Collection, Iterable, Iterator
from types import (
    BuiltinMethodType,
    CellType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any, Self

from ringlet.patch.places import Kind, Place

__all__ = ("Heap",)

# So many objects are looked through at once, in C, before one of them is looked at by itself.
_AT_ONCE = 64
# What is made of nothing but such is not known to the collector up to Python 3.13.
_UNTRACKED = (dict, tuple)


class Heap:
    """`with Heap() as heap:` has all objects there are then; and lets go of them at its end."""

    def __init__(self) -> None:
        self._objects = gc.get_objects()
        referents = gc.get_referents(*self._objects)
        extra = {id(r): r for r in referents if type(r) in _UNTRACKED and not gc.is_tracked(r)}
        self._referents = referents
        self._objects += extra.values()
        # By the id() of a dict or tuple: the object whose attributes or defaults it has.
        self._owners: dict[int, Any] = {}
        # By the id() of a container: what a module or an object knows it as.
        self._names: dict[int, str] = {}
        self._modules = {
            id(names): module
            for module in (*sys.modules.values(), *self._objects)
            if isinstance(module, ModuleType) and isinstance(names := attributes_of(module), dict)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # One of the lists may be in itself.
        self._objects.clear()
        self._referents.clear()

    def instances(self, kinds: Collection[type]) -> list[Any]:
        """The objects of exactly these types."""
        return list({id(r): r for r in self._referents if type(r) in kinds}.values())

    def methods(self, of: Collection[Any]) -> list[BuiltinMethodType]:
        """The methods, written in C, of any of these objects that somebody keeps."""
        ids = {id(thing) for thing in of}
        return [
            method
            for method in self._objects
            if type(method) is BuiltinMethodType and id(method.__self__) in ids
        ]

    def places(self, things: Collection[Any]) -> dict[int, list[Place]]:
        """Where references to each of `things` are, by its id().

        What refers to one and cannot be written gives a place of the kind OTHER. Left out are the
        frames of calls, methods of the thing itself, and what only goes through all objects here.
        """
        ids = {id(thing) for thing in things}
        ignored = {id(things), id(self._objects), id(self._referents)}
        holders = [
            holder
            for holder in self._holders(ids)
            if id(holder) not in ignored and not isinstance(holder, FrameType)
        ]
        self._learn_owners(holders)
        found: dict[int, dict[tuple[int, Any], Place]] = {key: {} for key in ids}
        for holder in holders:
            for thing, place in self._places_in(holder, ids):
                found[id(thing)].setdefault(place.identity, place)
        return {key: list(places.values()) for key, places in found.items()}

    def _holders(self, ids: set[int]) -> Iterator[Any]:
        objects = self._objects
        for start in range(0, len(objects), _AT_ONCE):
            some = objects[start : start + _AT_ONCE]
            if not ids.isdisjoint(map(id, gc.get_referents(*some))):
                for thing in some:
                    if not ids.isdisjoint(map(id, gc.get_referents(thing))):
                        yield thing

    def _learn_owners(self, holders: list[Any]) -> None:
        ids = {id(holder) for holder in holders if isinstance(holder, dict | tuple | list)}
        for owner in self._holders(ids):
            module = self._modules.get(id(owner))
            if module is not None:
                for key, value in list(owner.items()):
                    self._names.setdefault(id(value), f"{module.__name__}.{key}")
            if isinstance(owner, type):
                self._owners.update((id(names), owner) for names in gc.get_referents(vars(owner)))
            elif isinstance(owner, FunctionType):
                self._owners[id(owner.__defaults__)] = owner
                self._owners[id(owner.__kwdefaults__)] = owner
            elif isinstance(names := attributes_of(owner), dict):
                self._owners[id(names)] = owner
                for key, value in list(names.items()) if not isinstance(owner, ModuleType) else ():
                    if id(value) in ids:
                        self._names.setdefault(id(value), f"{key} of a {_name(type(owner))}")

    def _places_in(self, holder: Any, ids: set[int]) -> Iterator[tuple[Any, Place]]:
        if isinstance(holder, type):
            return  # its dict is among the holders too
        if isinstance(holder, dict):
            yield from self._in_dict(holder, ids)
        elif isinstance(holder, list):
            for index, value in enumerate(holder):
                if id(value) in ids:
                    yield value, Place(Kind.ITEM, holder, index, f"{self._called(holder)}[{index}]")
        elif isinstance(holder, CellType):
            yield (
                holder.cell_contents,
                Place(Kind.CELL, holder, "cell_contents", "a variable of an enclosing function"),
            )
        elif isinstance(holder, tuple):
            yield from self._in_tuple(holder, ids)
        elif isinstance(holder, BuiltinMethodType) and id(holder.__self__) in ids:
            return  # counted by itself
        else:
            yield from _in_object(holder, ids)

    def _in_dict(self, holder: dict[Any, Any], ids: set[int]) -> Iterator[tuple[Any, Place]]:
        module = self._modules.get(id(holder))
        owner = module or self._owners.get(id(holder))
        found = [(key, value) for key, value in list(holder.items()) if id(value) in ids]
        for key, value in found:
            ours = _is_ours(owner)
            if module is not None:
                name = f"{module.__name__}.{key}"
                yield value, Place(Kind.MODULE, holder, key, name, is_ours=ours)
            elif isinstance(owner, type):
                name = f"{_name(owner)}.{key}"
                yield value, Place(Kind.CLASS, owner, key, name, is_ours=ours)
            elif owner is None:
                name = f"{self._called(holder)}[{key!r}]"
                yield value, Place(Kind.ITEM, holder, key, name, is_ours=_is_copy(holder))
            elif isinstance(owner, FunctionType):
                name = f"{_name(owner)}(), argument {key}"
                yield value, Place(Kind.DEFAULT, holder, key, name, is_ours=ours)
            else:
                name = f"{key} of a {_name(type(owner))}"
                yield value, Place(Kind.INSTANCE, holder, key, name, is_ours=ours)
        if not found:
            keys = [key for key in list(holder) if id(key) in ids]
            for key in keys:
                yield key, Place(Kind.OTHER, holder, None, f"a key of {self._called(holder)}")

    def _in_tuple(self, holder: tuple[Any, ...], ids: set[int]) -> Iterator[tuple[Any, Place]]:
        function = self._owners.get(id(holder))
        for index, value in enumerate(holder):
            if id(value) not in ids:
                continue
            if isinstance(function, FunctionType) and function.__defaults__ is holder:
                name = f"{_name(function)}(), default argument {index + 1}"
                yield value, Place(Kind.DEFAULT, function, index, name, is_ours=_is_ours(function))
            else:
                yield value, Place(Kind.OTHER, holder, index, f"{self._called(holder)}[{index}]")

    def _called(self, container: Any) -> str:
        return self._names.get(id(container)) or f"a {type(container).__name__}"


def _in_object(holder: Any, ids: set[int]) -> Iterator[tuple[Any, Place]]:
    """In the attributes of an object, and in its slots."""
    ours = _is_ours(holder)
    found = False
    for key, value in _attributes(holder):
        if id(value) in ids:
            found = True
            name = f"{key} of a {_name(type(holder))}"
            names = attributes_of(holder)
            where = names if isinstance(names, dict) and key in names else holder
            yield value, Place(Kind.INSTANCE, where, key, name, is_ours=ours)
    if not found:
        for value in gc.get_referents(holder):
            if id(value) in ids:
                name = f"a {_name(type(holder))}"
                yield value, Place(Kind.OTHER, holder, None, name, is_ours=ours)


def _attributes(holder: Any) -> Iterable[tuple[str, Any]]:
    names = attributes_of(holder)
    if isinstance(names, dict):
        yield from list(names.items())
    for kind in type(holder).__mro__:
        for key, member in list(vars(kind).items()) if "__slots__" in vars(kind) else ():
            if isinstance(member, MemberDescriptorType):
                try:
                    yield key, member.__get__(holder, type(holder))
                except AttributeError:
                    continue


def attributes_of(thing: Any) -> Any:
    """The dict of an object, by no way that the object's class has a say in; None for none."""
    try:
        return object.__getattribute__(thing, "__dict__")
    except (AttributeError, TypeError):
        return None


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', '?')}"


def _is_copy(names: dict[Any, Any]) -> bool:
    """Whether it is what the import system keeps to make a module of C once more."""
    return isinstance(names.get("__name__"), str) and "__loader__" in names


def _is_ours(owner: Any) -> bool:
    """Whether it is one of this package: a module, class, function or object of one of ours."""
    if type(owner) is ModuleType:
        module = owner.__name__
    elif isinstance(owner, type | FunctionType):
        module = owner.__module__
    else:
        module = type(owner).__module__
    return isinstance(module, str) and module.split(".")[0] == "ringlet"

"""Putting the rows of the table into place, and taking them out again."""

import gc
import sys
import threading
from collections.abc import Iterable
from importlib import import_module
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ringlet.patch import drivers, existing, references
from ringlet.patch.builtin import Builtin
from ringlet.patch.places import Change, Kind, Place
from ringlet.patch.primitives import native_ident
from ringlet.patch.report import Left, Report
from ringlet.patch.settling import MainThread
from ringlet.patch.table import NEEDS, Row, rows_of

__all__ = ("Patch", "needed_for", "original")

#: The modules whose locks and thread locals are looked for when they are patched.
_PRIMITIVE = "_thread"
#: The module with which database drivers are told to wait cooperatively.
_WAITING = "select"


class Patch:
    """One installation: all that it has changed, so that it can be taken back."""

    def __init__(self, modules: Iterable[str]) -> None:
        self.modules = tuple(modules)
        for name in self.modules:
            import_module(name)
        self.rows = [_change_of(row) for name in self.modules for row in rows_of(name)]
        self._references: list[Change] = []
        self._moved: list[existing.Moved] = []
        self._main_thread = MainThread() if _PRIMITIVE in self.modules else None
        self.report = Report()

    def look(self) -> None:
        """Find all that is to be changed, and write the report. Changes nothing."""
        self._references, unreached = references.find(self.rows)
        threads = _native_threads()
        left = [Left(*one) for one in unreached]
        if self._main_thread is not None:
            self._moved, cannot = existing.survey(threads, self._main_thread.known)
            left += [Left(*one) for one in cannot]
            left += [Left(f"thread {name}", "runs as a native thread") for name in threads]
        left += _subclasses(self.rows)
        for row in self.rows:
            if str(row.place) == "socket.socket":
                left += _open_sockets(row.old)
        self.report = Report(
            self.modules,
            tuple(str(row.place) for row in self.rows),
            tuple(sorted(str(change.place) for change in self._references)),
            tuple(sorted(map(str, self._moved))),
            tuple(sorted(left, key=str)),
        )

    def apply(self) -> None:
        """Change it all."""
        if self._main_thread is not None:
            self._main_thread.apply()
        for change in (*self.rows, *self._references):
            change.apply()
        for moved in self._moved:
            moved.apply()
        if _WAITING in self.modules:
            drivers.install()

    def revert(self) -> list[Left]:
        """Take it all back. Returns what somebody else has changed since, or holds: it stays."""
        if _WAITING in self.modules:
            drivers.uninstall()
        stays: list[Left] = []
        for moved in reversed(self._moved):
            if not moved.revert():
                stays.append(Left(str(moved), "it is held, and stays a cooperative one"))
        for change in (*self._references, *self.rows):
            if not change.revert():
                stays.append(Left(str(change.place), "somebody else has replaced it since"))
        if self._main_thread is not None:
            self._main_thread.revert()
        return stays


def needed_for(names: Iterable[str]) -> list[str]:
    """The modules that belong together with those named. Raises ValueError for unknown ones."""
    wanted = list(dict.fromkeys(names)) or list(NEEDS)
    if unknown := [name for name in wanted if name not in NEEDS]:
        raise ValueError(
            f"ringlet.patch does not know {', '.join(map(repr, unknown))}; "
            f"it patches {', '.join(NEEDS)}"
        )
    return list(dict.fromkeys(each for name in wanted for each in (name, *NEEDS[name])))


def original(row: Row) -> Any:
    """What is at the place of a row now."""
    return _place_of(row)[1]


def _change_of(row: Row) -> Change:
    place, old = _place_of(row)
    new = row.new
    if isinstance(old, BuiltinFunctionType) and isinstance(new, FunctionType):
        new = Builtin(new, row.module, row.name)
    return Change(place, old, new)


def _place_of(row: Row) -> tuple[Place, Any]:
    """Where a row puts what it has, and what is there."""
    module = import_module(row.module)
    *path, name = row.name.split(".")
    owner: Any = module
    for step in path:
        owner = getattr(owner, step)
    if owner is module:
        return Place(Kind.MODULE, vars(module), name, str(row)), getattr(module, name)
    return Place(Kind.CLASS, owner, name, str(row)), vars(owner)[name]


def _native_threads() -> list[str]:
    """The names of the other native threads that Python code runs in."""
    idents = set(sys._current_frames()) - {native_ident()}
    known = {thread.ident: thread for thread in threading._enumerate()}  # type: ignore[attr-defined]
    return sorted(
        known[ident].name if ident in known else f"of ident {ident}"
        for ident in idents
        if not getattr(known.get(ident), "ringlet_worker", False)
    )


def _subclasses(rows: list[Change]) -> list[Left]:
    """The classes that programs have derived from what is replaced: their base stays what it is."""
    left = {}
    ours = {id(row.old) for row in rows}
    for row in rows:
        todo: list[type] = list(type.__subclasses__(row.old)) if isinstance(row.old, type) else []
        while todo:
            kind = todo.pop()
            if kind.__module__.split(".")[0] != "ringlet" and id(kind) not in ours:
                todo += type.__subclasses__(kind)
                name = f"class {kind.__module__}.{kind.__qualname__}"
                left[name] = Left(name, f"is derived from the standard library's {row.place}")
    return list(left.values())


def _open_sockets(kind: Any) -> list[Left]:
    """The standard library's sockets that are open."""
    return [
        Left(repr(thing), "was made before the patch")
        for thing in gc.get_objects()
        if type(thing) is kind and thing.fileno() >= 0
    ]

"""Places that hold a reference to an object: read, written, and named.

A place is named by what a reader of the program would look for: "app.tasks.sleep".
"""

from dataclasses import dataclass, field
from enum import Enum
from types import CellType, FunctionType
from typing import Any

__all__ = ("Change", "Kind", "Place")


class Kind(Enum):
    """What sort of thing holds a reference."""

    MODULE = "a name of a module"
    CLASS = "an attribute of a class"
    DEFAULT = "a default argument of a function"
    INSTANCE = "an attribute of an object"
    ITEM = "an item of a container"
    CELL = "a variable of an enclosing function"
    OTHER = "something that cannot be written"


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """One place. `holder` is the namespace, class, function, container or object that refers."""

    kind: Kind
    holder: Any
    key: Any
    #: What the place is called in a report.
    name: str
    #: Whether this package holds something there, for itself.
    is_ours: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        return self.name

    @property
    def identity(self) -> tuple[int, Any]:
        """The same for all Places that are the same place."""
        return id(self.holder), self.key

    @property
    def is_named(self) -> bool:
        """Whether more is known of the holder than what it is."""
        return not self.name.startswith("a ")

    @property
    def can_be_written(self) -> bool:
        """Whether put() works."""
        return self.kind is not Kind.OTHER

    def get(self) -> Any:
        """What is there now; None where the place is gone."""
        holder = self.holder
        if self.kind is Kind.DEFAULT and not isinstance(holder, dict):
            defaults = holder.__defaults__ or ()
            return defaults[self.key] if self.key < len(defaults) else None
        if self.kind is Kind.CLASS:
            value = vars(holder).get(self.key)
            return value.__func__ if isinstance(value, staticmethod) else value
        if isinstance(holder, dict):
            return holder.get(self.key)
        if isinstance(holder, list):
            return holder[self.key] if self.key < len(holder) else None
        try:
            return (
                holder.cell_contents
                if isinstance(holder, CellType)
                else object.__getattribute__(holder, self.key)
            )
        except (AttributeError, ValueError):
            return None

    def put(self, value: Any) -> None:
        """Have `value` there."""
        holder = self.holder
        if self.kind is Kind.DEFAULT and not isinstance(holder, dict):
            defaults = list(holder.__defaults__)
            defaults[self.key] = value
            holder.__defaults__ = tuple(defaults)
        elif self.kind is Kind.CLASS:
            setattr(holder, self.key, _unbound(vars(holder)[self.key], value))
        elif isinstance(holder, dict | list):
            holder[self.key] = value
        elif isinstance(holder, CellType):
            holder.cell_contents = value
        else:
            object.__setattr__(holder, self.key, value)


@dataclass(frozen=True, slots=True)
class Change:
    """`old`, which is at a place, is to be `new`."""

    place: Place
    old: Any
    new: Any

    def apply(self) -> bool:
        """Have the new one there, if the old one still is. Whether it was."""
        return self._exchange(self.old, self.new)

    def revert(self) -> bool:
        """Have the old one there, if the new one still is. Whether it was."""
        return self._exchange(self.new, self.old)

    def _exchange(self, before: Any, after: Any) -> bool:
        if self.place.get() is not before:
            return False
        self.place.put(after)
        return True


def _unbound(before: Any, value: Any) -> Any:
    """What to put into a class so that it is found through objects as `before` is.

    A function of C does not become a method there, one of Python would.
    """
    binds = isinstance(before, FunctionType | classmethod)
    return staticmethod(value) if isinstance(value, FunctionType) and not binds else value

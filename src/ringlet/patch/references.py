"""References to what the table replaces that other modules have taken already: `from time import
sleep`."""

from collections.abc import Sequence

from ringlet.patch.heap import Heap
from ringlet.patch.places import Change, Kind

__all__ = ("find",)

#: Where a reference is replaced. What else refers to a class are its own objects and subclasses.
_FOLLOWED = (Kind.MODULE, Kind.CLASS, Kind.DEFAULT, Kind.INSTANCE)
_FOLLOWED_TO_FUNCTIONS = (*_FOLLOWED, Kind.CELL)


def find(rows: Sequence[Change]) -> tuple[list[Change], list[tuple[str, str]]]:
    """Where else references are to what the changes `rows` of the table replace.

    An attribute of a class is a setting: what it is set to stays what it is everywhere else.
    Returns the changes to be made there; and the names of the places that are not changed, with
    the reason.
    """
    own = {row.place.identity for row in rows}
    rows = [row for row in rows if row.place.kind is not Kind.CLASS]
    with Heap() as heap:
        places = heap.places([row.old for row in rows])
    changes: list[Change] = []
    left: list[tuple[str, str]] = []
    for row in rows:
        is_class = isinstance(row.old, type)
        kinds = _FOLLOWED if is_class else _FOLLOWED_TO_FUNCTIONS
        # Two names may have been one object.
        for place in places.pop(id(row.old), ()):
            if place.is_ours or place.identity in own:
                continue
            if place.kind in kinds:
                changes.append(Change(place, row.old, row.new))
            elif not is_class or (place.kind is Kind.ITEM and place.is_named):
                left.append((str(place), f"refers to the standard library's {row.place}"))
    return changes, left

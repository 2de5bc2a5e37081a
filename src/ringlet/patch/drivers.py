"""Database drivers that wait in C, where no patch of the standard library reaches them.

Both let somebody else do the waiting: psycopg2 calls a function for it, psycopg has several ways
and takes the one in C by itself. They are told when they are imported, or at once if they have been
imported already.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ringlet.io.waiting import wait_readable, wait_writable

__all__ = ("install", "uninstall", "wait_for_psycopg2")

_Undo = Callable[[], object]


def wait_for_psycopg2(connection: Any) -> None:
    """Park until a psycopg2 connection has what it waits for: a callback for set_wait_callback."""
    # The numbers of psycopg2.extensions.POLL_OK, POLL_READ and POLL_WRITE.
    waits = {1: wait_readable, 2: wait_writable}
    while (state := connection.poll()) != 0:
        waits[state](connection.fileno())


def _tell_psycopg2(extensions: Any) -> _Undo:
    before = extensions.get_wait_callback()
    extensions.set_wait_callback(wait_for_psycopg2)
    return lambda: extensions.set_wait_callback(before)


def _tell_psycopg(waiting: Any) -> _Undo:
    # In newer versions each way to wait has a way to look that belongs to it.
    names = [name for name in ("wait", "_ready") if hasattr(waiting, f"{name}_poll")]
    before = {name: getattr(waiting, name) for name in names}
    vars(waiting).update({name: getattr(waiting, f"{name}_poll") for name in names})
    return lambda: vars(waiting).update(before)


# By the module that has to be there: what tells it, which returns what takes that back.
_DRIVERS: dict[str, Callable[[Any], _Undo]] = {
    "psycopg.waiting": _tell_psycopg,
    "psycopg2.extensions": _tell_psycopg2,
}


class _Finder(MetaPathFinder):
    """Sees to it that drivers are told when they are imported."""

    def __init__(self) -> None:
        self.undo: list[_Undo] = []

    def tell(self, module: ModuleType) -> None:
        self.undo.append(_DRIVERS[module.__name__](module))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _DRIVERS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(Loader):
    """Loads a driver as its own loader does, and tells it."""

    def __init__(self, inner: Loader, finder: _Finder) -> None:
        self._inner = inner
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on nobody need know that we were there.
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._finder.tell(module)


_finder: _Finder | None = None


def install() -> None:
    """Have the drivers wait cooperatively. Harmless when it is so."""
    global _finder
    if _finder is not None:
        return
    _finder = _Finder()
    for name in _DRIVERS:
        if name in sys.modules:
            _finder.tell(sys.modules[name])
    sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Have them wait as they did. Harmless when they do."""
    global _finder
    if _finder is None:
        return
    finder, _finder = _finder, None
    sys.meta_path.remove(finder)
    while finder.undo:
        finder.undo.pop()()

"""Which files a program consists of, and whether one has changed."""

import os
import sys
import time
from collections.abc import Iterable

__all__ = ("FileWatch", "imported_files")

Stamp = tuple[int, int, int]


def imported_files() -> set[str]:
    """The source files of all modules imported so far."""
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(path, str) and path.endswith(".py"):
            found.add(os.path.abspath(path))
    return found


class FileWatch:
    """Files whose changes matter. A folder stands for all files in it and below."""

    def __init__(self, always: Iterable[str] = ()) -> None:
        self._always = [os.path.abspath(path) for path in always]
        self._stamps: dict[str, Stamp | None] = {}
        self._late: str | None = None
        for path in self._always:
            for name in _files_in(path):
                self._stamps[name] = _stamp(name)

    @property
    def files(self) -> list[str]:
        """Those watched."""
        return list(self._stamps)

    def add(self, files: Iterable[str], since: float) -> None:
        """Watch `files`, too. They were read after `since`, by time.time().

        One that has changed since then may have been read before, so it counts as changed.
        """
        now = time.time()
        for name in files:
            if name not in self._stamps:
                stamp = self._stamps[name] = _stamp(name)
                # Times to come are a clock's fault, and would have us reload for ever.
                if stamp is not None and since < stamp[0] / 1e9 <= now:
                    self._late = name

    def changed(self) -> str | None:
        """One that has changed since it was last asked; None if there is none."""
        found, self._late = self._late, None
        for path in self._always:
            for name in _files_in(path):
                if name not in self._stamps:
                    self._stamps[name] = _stamp(name)
                    found = name
        for name, before in self._stamps.items():
            now = _stamp(name)
            # A file that is missing is being replaced, as editors do it, or is not needed.
            if now is not None and now != before:
                self._stamps[name] = now
                found = name
        return found


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _files_in(path: str) -> Iterable[str]:
    if not os.path.isdir(path):
        return [path]
    return (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)

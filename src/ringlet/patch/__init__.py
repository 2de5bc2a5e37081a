"""The standard library, cooperative, for programs that cannot be changed.

    import ringlet.patch
    ringlet.patch.install()

Do so first, from the main thread. What has been imported before is found and replaced, too; what
could not be reached is in the report, by name.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ringlet.patch.installing import Patch, needed_for, original
from ringlet.patch.primitives import native_ident
from ringlet.patch.report import Left, Report
from ringlet.patch.table import Row

__all__ = (
    "Left",
    "Report",
    "get_original",
    "install",
    "installed",
    "plan",
    "report",
    "uninstall",
)

# What is installed, in the order it came.
_installed: list[Patch] = []


def install(*names: str, dry_run: bool = False) -> Report:
    """Replace what waits in the modules `names`, by default in all that are known.

    They are those of table.py: time, socket, ssl, select, threading and so on; each brings along
    those that it needs. What is patched already stays as it is, so this may be done again.
    References that other modules have, and free locks, simple queues and thread locals that were
    made before, are replaced as well. With dry_run=True nothing is changed.

    Returns what was done, and what could not be reached. Raises ValueError for other modules, and
    RuntimeError in any thread but the main one; then nothing has changed.
    """
    wanted = needed_for(names)
    if native_ident() != threading.main_thread().ident:
        raise RuntimeError("ringlet.patch is installed in the main thread, before others are")
    done = {module for patch in _installed for module in patch.modules}
    patch = Patch(module for module in wanted if module not in done)
    if not patch.modules:
        return Report()
    patch.look()
    if not dry_run:
        patch.apply()
        _installed.append(patch)
    return patch.report


def plan(*names: str) -> Report:
    """What install(*names) would do: the same as its dry run."""
    return install(*names, dry_run=True)


def uninstall() -> Report:
    """Take back all that install() has done. Harmless when nothing is installed.

    What was made meanwhile goes on as it is: cooperative locks work in any thread, and threads
    that run as tasklets end as such. Returns what was taken back, with what had to stay.
    """
    taken = Report()
    while _installed:
        taken += _take_back(_installed[-1])
    return taken


@contextmanager
def installed(*names: str) -> Iterator[Report]:
    """`with installed("time", "socket") as report:` has them patched in the block.

    What was patched before stays so after it.
    """
    before = list(_installed)
    done = install(*names)
    try:
        yield done
    finally:
        for patch in reversed([patch for patch in _installed if patch not in before]):
            _take_back(patch)


def _take_back(patch: Patch) -> Report:
    stays = patch.revert()
    _installed.remove(patch)
    done = patch.report
    return Report(done.modules, done.names, done.references, done.objects, tuple(stays))


def report() -> Report:
    """What is installed now, and what could not be reached when it was."""
    return sum((patch.report for patch in _installed), Report())


def get_original(module: str, name: str) -> Any:
    """The standard library's own `name` of `module`, be it patched or not.

    As in `get_original("time", "sleep")`. Raises ImportError or AttributeError as `from module
    import name` would have it.
    """
    for patch in _installed:
        for row in patch.rows:
            if str(row.place) == f"{module}.{name}":
                return row.old
    return original(Row(module, name, None))

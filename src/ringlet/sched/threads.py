"""The native threads of the process, whether or not threading is patched.

ringlet.patch lets threading's functions speak of tasklets that run as threads. What the package
itself asks about threads is about those of the system, and it asks here.
"""

import sys
import threading
from _thread import get_ident, start_new_thread
from threading import Thread, main_thread
from typing import Any

__all__ = (
    "current_thread",
    "forget_current_thread",
    "get_ident",
    "main_thread",
    "native_threads",
    "start_new_thread",
)

_threading: Any = threading


def current_thread() -> Thread:
    """The object that stands for the calling native thread."""
    known: Thread | None = _threading._active.get(get_ident())
    return threading.current_thread() if known is None else known


def forget_current_thread() -> None:
    """For a thread that was not started by threading: it ends, and is not to be listed any more."""
    _threading._active.pop(get_ident(), None)


def native_threads() -> list[Thread]:
    """The objects of all native threads that threading knows of, those included that just start.

    Takes no lock, so it may be called in the hub.
    """
    idents = sys._current_frames().keys()
    return [
        thread
        for thread in _threading._enumerate()
        if thread.ident is None or thread.ident in idents
    ]

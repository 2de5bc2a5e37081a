"""The main thread's end, for which other threads may wait.

It is told by an object that is held as long as the program runs, which therefore is not found
among those that are free.
"""

import threading
from typing import Any

from ringlet.patch.threads import HANDLE, Sentinel, ThreadHandle

__all__ = ("MainThread",)

_threading: Any = threading


class MainThread:
    """What threading knows the end of the main thread by, cooperative, and back."""

    def __init__(self) -> None:
        self._thread: Any = threading.main_thread()
        #: The object that is there now; None when the main thread has ended.
        self.known: Any = vars(self._thread).get(self._name)
        self._own: Any = None

    @property
    def _name(self) -> str:
        return HANDLE if hasattr(_threading, "_ThreadHandle") else "_tstate_lock"

    def apply(self) -> None:
        """Have the cooperative one."""
        if self.known is None:
            return
        if self._name == HANDLE:
            self._own = ThreadHandle.of_running(self._thread.ident)
        else:
            self._own = Sentinel()
            self._own.acquire()
        self._exchange(self.known, self._own)

    def revert(self) -> None:
        """Have the one that was there, unless the main thread has ended meanwhile."""
        if self._own is not None and vars(self._thread).get(self._name) is self._own:
            self._exchange(self._own, self.known)

    def _exchange(self, before: Any, after: Any) -> None:
        setattr(self._thread, self._name, after)
        waited_for: set[Any] = getattr(_threading, "_shutdown_locks", set())
        if before in waited_for:
            waited_for.remove(before)
            waited_for.add(after)

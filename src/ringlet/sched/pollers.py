"""Who tells a hub which descriptors are ready.

By itself each thread asks epoll, in C. `use_poller` puts another one in its place: any object with
the four methods of `Poller`, such as a SelectorPoller around a selector of the standard library.
"""

import collections
import collections.abc
import errno
import importlib
import os
import select
import selectors
import time
from contextlib import suppress
from types import ModuleType
from typing import Protocol

from ringlet import _core

__all__ = ("READ", "WRITE", "Poller", "SelectorPoller", "import_selectors2", "use_poller")

#: Bits of a mask: ready to read (or at its end), ready to write. An error shows as both.
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Poller(Protocol):
    """What a poller must do. Only its own thread calls it, from the hub or from a tasklet.

    A report is a hint: whoever is woken tries again, and says so if it still has to wait.
    """

    def arm(self, fd: int, mask: int, /) -> None:
        """Report `fd` when it is ready for something in `mask`, which replaces an earlier mask.

        Once is enough; a poller that goes on reporting is told to narrow or to forget. One that is
        ready already counts as ready. Raises PermissionError for what cannot be waited for
        because it never blocks, such as a regular file, and OSError otherwise.
        """

    def forget(self, fd: int, /) -> None:
        """Report `fd` no more. Harmless if it is not armed or has been closed."""

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        """Wait until something is ready or `timeout` seconds are over, None being never.

        What is ready, as pairs of descriptor and mask. An exception, KeyboardInterrupt for one,
        may come at any point, and nothing may be lost by it: what was not returned is
        reported again.
        """

    def close(self) -> None:
        """Free what the poller holds. It is not used afterwards."""


def use_poller(poller: Poller | None) -> None:
    """Make the calling thread's hub ask `poller`, or epoll for None. The one before is closed.

    Tasklets that wait for descriptors are woken and wait anew; their operations do not notice.
    Raises what `poller.arm` does if that fails; then nothing has changed.
    """
    _core.use_poller(poller)


class SelectorPoller:
    """A poller around `selector`, any selector of the standard library or one made like them.

    The selector belongs to the poller from now on, which closes it, and which replaces it by a new
    one of its type when the kernel reports for it what nobody can take back. What is ready stays
    registered until the hub says otherwise: most handlers wait for the same descriptor again.
    """

    # A selector that keeps its list in the kernel, and so has a descriptor of its own, goes on
    # reporting a number that was closed as long as the file is open under another one.

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._is_kernels = hasattr(selector, "fileno")
        #: Whether what a signal handler raised may have come between the selector's own list and
        #: the kernel's, which then differ.
        self._is_torn = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self._selector).__name__}())"

    def arm(self, fd: int, mask: int, /) -> None:
        if self._is_torn:
            self._renew()
        self._is_torn = True
        try:
            self._register(fd, mask)
        except OSError:
            self._is_torn = False
            raise
        self._is_torn = False

    def _register(self, fd: int, mask: int) -> None:
        selector = self._selector
        try:
            known = selector.get_map().get(fd)
            if known is None:
                selector.register(fd, mask)
            elif known.events != mask:
                selector.modify(fd, mask)
        except FileNotFoundError:
            # The descriptor was closed unseen, and its number belongs to another file now.
            self.forget(fd)
            selector.register(fd, mask)

    def forget(self, fd: int, /) -> None:
        # Selectors forget the descriptor before they tell the kernel, which may know it no more.
        was_torn, self._is_torn = self._is_torn, True
        with suppress(KeyError, ValueError, OSError):
            self._selector.unregister(fd)
        self._is_torn = was_torn

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        if self._is_torn:
            self._renew()
        begun = _monotonic()
        try:
            ready = [(key.fd, mask) for key, mask in self._selector.select(timeout)]
        except (OSError, ValueError) as error:
            # select() says of one bad descriptor that all are bad; the others tell what happened.
            closed = self._closed_descriptors()
            if not closed or (isinstance(error, OSError) and error.errno != errno.EBADF):
                raise
            for fd in closed:
                self.forget(fd)
            return [(fd, READ | WRITE) for fd in closed]
        if not self._is_kernels:
            return ready
        early = timeout is None or _monotonic() - begun < timeout
        if early if not ready else not _are_ready(ready):
            self._renew()
        return ready

    def _renew(self) -> None:
        """Begin anew with what is registered: the kernel speaks of files that we do not mean."""
        known = list(self._selector.get_map().values())
        new = type(self._selector)()
        for key in known:
            with suppress(OSError):  # closed meanwhile
                new.register(key.fd, key.events)
        old, self._selector = self._selector, new
        self._is_torn = False
        old.close()

    def close(self) -> None:
        self._selector.close()

    def _closed_descriptors(self) -> list[int]:
        return [key.fd for key in self._selector.get_map().values() if not _is_open(key.fd)]


def import_selectors2() -> ModuleType:
    """The module selectors2, whose selectors SelectorPoller takes as well.

    Its version 2.0.2 asks `collections` for a name that went to `collections.abc` with Python 3.10;
    while it is imported the name is there again. Raises ImportError, naming the extra, when it is
    not installed.
    """
    missing = not hasattr(collections, "Mapping")
    if missing:
        collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    try:
        return importlib.import_module("selectors2")
    except ModuleNotFoundError as error:
        raise ImportError("selectors2 is needed: pip install ringlet[selectors2]") from error
    finally:
        if missing:
            del collections.Mapping  # type: ignore[attr-defined]


# Kept by name: when programs are patched these may come to mean something else.
_monotonic = time.monotonic
_make_poll = select.poll


def _are_ready(reported: list[tuple[int, int]]) -> bool:
    """Whether what stands for these numbers now is ready as well."""
    asked = _make_poll()
    for fd, mask in reported:
        events = (select.POLLIN if mask & READ else 0) | (select.POLLOUT if mask & WRITE else 0)
        asked.register(fd, events)
    return len(asked.poll(0)) == len(reported)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True

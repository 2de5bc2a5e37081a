"""Waiting for several descriptors at once, as in the standard library, for the tasklet alone.

Every public name of the standard library's `select` module is here. What is ready is asked of the
kernel each time, so that it does not matter what other tasklets have seen of the same descriptors.
When something is ready at once the others get a turn now and then, when nothing is and the timeout
is 0 they get one each time: a loop around such a call keeps nobody waiting for long.
"""

import os
import select as stdlib
from collections.abc import Iterable
from errno import EBADF, ENOENT
from math import inf, isnan
from types import TracebackType
from typing import Any, Self

from ringlet import _core
from ringlet.io.waiting import HasFileno, descriptor_of
from ringlet.sched.pollers import READ

__all__ = ["epoll", "poll", "select"]

# What select() calls readable and so on, in the words of poll().
_READ, _WRITE, _EXCEPT = stdlib.POLLIN, stdlib.POLLOUT, stdlib.POLLPRI
_READABLE = stdlib.POLLIN | stdlib.POLLHUP | stdlib.POLLERR
_WRITABLE = stdlib.POLLOUT | stdlib.POLLHUP | stdlib.POLLERR

_ALL_EVENTS = stdlib.POLLIN | stdlib.POLLPRI | stdlib.POLLOUT
_LARGEST_MASK = 0xFFFF
_LONGEST_MS = 0x7FFFFFFF

# Kept by name: `stdlib.epoll` may come to mean ours.
_epoll = stdlib.epoll


def __getattr__(name: str) -> Any:
    """What is the same there and here, such as constants."""
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(stdlib)})


def select(
    rlist: Iterable[int | HasFileno],
    wlist: Iterable[int | HasFileno],
    xlist: Iterable[int | HasFileno],
    timeout: float | None = None,
    /,
) -> tuple[list[Any], list[Any], list[Any]]:
    """Park the tasklet until something can be read, written, or has urgent data, and say what.

    The three lists hold descriptors, or objects with a method fileno(); so do those that are
    returned, which are empty when `timeout` seconds are over. None is no limit. Unlike the standard
    library's it takes descriptors of any number, and calls a descriptor writable whose other end
    has hung up. Raises OSError (EBADF) when one is not open, or is a ringlet socket that is closed
    meanwhile.
    """
    seconds = _check_seconds(timeout)
    wanted: dict[int, int] = {}
    asked = [
        _note(files, event, wanted)
        for files, event in ((rlist, _READ), (wlist, _WRITE), (xlist, _EXCEPT))
    ]
    found = dict(_core.poll_descriptors(list(wanted.items()), seconds))
    if any(events & stdlib.POLLNVAL for events in found.values()):
        raise OSError(EBADF, os.strerror(EBADF))
    reading, writing, excepting = (
        [file for fd, file in files if found.get(fd, 0) & meant]
        for files, meant in zip(asked, (_READABLE, _WRITABLE, _EXCEPT), strict=True)
    )
    return reading, writing, excepting


def _check_seconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not (hasattr(timeout, "__float__") or hasattr(timeout, "__index__")):
        raise TypeError("timeout must be a float or None")
    seconds = float(timeout)
    if isnan(seconds):
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("timeout must be non-negative")
    return None if seconds == inf else seconds


def _note(
    files: Iterable[int | HasFileno], event: int, wanted: dict[int, int]
) -> list[tuple[int, Any]]:
    """The files with their descriptors, of which `event` is wanted."""
    try:
        given = iter(files)
    except TypeError:
        raise TypeError("arguments 1-3 must be sequences") from None
    pairs = []
    for file in given:
        fd = descriptor_of(file)
        wanted[fd] = wanted.get(fd, 0) | event
        pairs.append((fd, file))
    return pairs


class poll:  # noqa: N801
    """Descriptors, each with the events to wait for: an object as select.poll() makes it."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, fd: int | HasFileno, eventmask: int = _ALL_EVENTS, /) -> None:
        """Wait for these events of `fd`, in place of those given before."""
        self._events[descriptor_of(fd)] = _check_mask(eventmask)

    def modify(self, fd: int | HasFileno, eventmask: int, /) -> None:
        """The same for one that is registered. Raises OSError (ENOENT) for others."""
        number = descriptor_of(fd)
        mask = _check_mask(eventmask)
        if number not in self._events:
            raise OSError(ENOENT, os.strerror(ENOENT))
        self._events[number] = mask

    def unregister(self, fd: int | HasFileno, /) -> None:
        """Wait for `fd` no more. Raises KeyError when it is not registered."""
        del self._events[descriptor_of(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Park the tasklet until something happens: pairs of descriptor and events.

        The list is empty when `timeout` milliseconds are over; None and negative ones are no limit.
        """
        return _core.poll_descriptors(list(self._events.items()), _check_milliseconds(timeout))


def _check_mask(mask: int) -> int:
    if mask < 0:
        raise ValueError("value must be positive")
    if mask > _LARGEST_MASK:
        raise OverflowError("Python int too large for C unsigned short")
    return mask


def _check_milliseconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError("timeout must be an integer or None")
    if timeout > _LONGEST_MS or timeout < -_LONGEST_MS - 1:
        raise OverflowError("timeout is too large")
    return timeout / 1000 if timeout >= 0 else None


class epoll:  # noqa: N801
    """An object as the standard library's epoll, whose poll() parks the tasklet alone.

    The descriptors are registered with the kernel, as there, level- or edge-triggered as is asked
    for. Closing it raises OSError (EBADF) in the tasklets that wait in its poll(). Usable from any
    thread.
    """

    __slots__ = ("_endpoint", "_epoll")

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._take(_epoll(sizehint, flags))

    def _take(self, kernels: stdlib.epoll) -> None:
        self._epoll = kernels
        self._endpoint = _core.Endpoint(kernels.fileno(), False, False, None)

    @classmethod
    def fromfd(cls, fd: int, /) -> Self:
        """One around the epoll descriptor `fd`, which belongs to it from now on."""
        self = cls.__new__(cls)
        self._take(_epoll.fromfd(fd))
        return self

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._epoll.closed

    def fileno(self) -> int:
        """The epoll descriptor. Raises ValueError once it is closed."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close the epoll descriptor. Harmless when repeated."""
        try:
            self._endpoint.forget()
        finally:
            self._epoll.close()

    def __enter__(self) -> Self:
        self._epoll.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> None:
        self.close()

    def register(self, fd: int | HasFileno, eventmask: int = _ALL_EVENTS) -> None:
        """Wait for these events of `fd`. Raises OSError when it is registered already."""
        self._epoll.register(fd, eventmask)

    def modify(self, fd: int | HasFileno, eventmask: int) -> None:
        """Change what is waited for. Raises OSError when `fd` is not registered."""
        self._epoll.modify(fd, eventmask)

    def unregister(self, fd: int | HasFileno) -> None:
        """Wait for `fd` no more. Raises OSError when it is not registered."""
        self._epoll.unregister(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Park the tasklet until something happens: pairs of descriptor and events.

        At most `maxevents` of them, if that is not -1. The list is empty when `timeout` seconds are
        over; None and negative ones are no limit.
        """
        seconds = _check_epoll_seconds(timeout)
        endpoint, ask = self._endpoint, self._epoll.poll
        endpoint.take_turn()
        found = ask(0, maxevents)
        if found:
            return found
        if seconds == 0:
            # Others get a turn, after which something may have come.
            _core.poll_descriptors([(self.fileno(), stdlib.POLLIN)], 0)
            return ask(0, maxevents)
        deadline = inf if seconds is None else _core.hub().clock.time() + seconds
        while not found:
            try:
                endpoint.wait(READ, deadline, "epoll.poll")
            except TimeoutError:
                return ask(0, maxevents)
            found = ask(0, maxevents)
        return found


def _check_epoll_seconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError("timeout must be an integer or None")
    if timeout > _LONGEST_MS:
        raise OverflowError("timeout is too large")
    return timeout if timeout >= 0 else None

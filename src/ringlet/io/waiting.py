"""Waiting for a descriptor of any kind without reading or writing it."""

import os
import select as stdlib
from errno import EBADF
from typing import Any, Protocol

from ringlet import _core
from ringlet.errors import Timeout
from ringlet.sched.wait import check_timeout

__all__ = ("HasFileno", "descriptor_of", "wait_readable", "wait_writable")


class HasFileno(Protocol):
    """A file, a socket, or whatever else stands for a descriptor."""

    def fileno(self) -> int: ...


def descriptor_of(file: int | HasFileno) -> int:
    """The number of a descriptor, given as such or by an object that has a method fileno().

    Raises TypeError for what is neither, and ValueError for a negative number.
    """
    fd: Any = file
    if not isinstance(file, int):
        try:
            method = file.fileno
        except AttributeError:
            raise TypeError("argument must be an int, or have a fileno() method.") from None
        fd = method()
        if not isinstance(fd, int):
            raise TypeError("fileno() returned a non-integer")
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return int(fd)


def wait_readable(file: int | HasFileno, timeout: float | None = None) -> None:
    """Park the tasklet until `file`, a descriptor or an object that has one, can be read.

    That is: until reading would not block, because there is something, or the end, or an error. At
    once if it can be read already, whoever else waits for it and whatever they have seen; regular
    files always can. Whether the descriptor is in blocking mode does not matter and stays as it is.
    Somebody else may be faster and read it before the caller does.

    Raises Timeout after `timeout` seconds, and OSError (EBADF) when the descriptor is not open or a
    ringlet socket is closed meanwhile. A descriptor closed by other means is not heard of any more.
    Usable from any thread.
    """
    _wait(file, stdlib.POLLIN, timeout, "readable")


def wait_writable(file: int | HasFileno, timeout: float | None = None) -> None:
    """Park the tasklet until `file` can be written to, or has an error that writing would raise.

    In everything else as wait_readable().
    """
    _wait(file, stdlib.POLLOUT, timeout, "writable")


def _wait(file: int | HasFileno, events: int, timeout: float | None, ready: str) -> None:
    fd = descriptor_of(file)
    found = _core.poll_descriptors([(fd, events)], check_timeout(timeout))
    if not found:
        raise Timeout(f"descriptor {fd} did not become {ready} within {timeout:g} s")
    if found[0][1] & stdlib.POLLNVAL:
        raise OSError(EBADF, os.strerror(EBADF))

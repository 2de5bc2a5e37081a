"""The standard library's selectors, waiting for the tasklet alone.

Every public name of the standard library's `selectors` module is here. The selectors are those of
the standard library on the functions of ringlet.io.select; asyncio's event loops run on them, too.
"""

import selectors as stdlib
from typing import Any

from ringlet.io import select

# What differs from the standard library; the rest is found there.
__all__ = ["DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector"]


def __getattr__(name: str) -> Any:
    """What is the same there and here, such as SelectorKey."""
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(stdlib)})


class SelectSelector(stdlib.SelectSelector):
    """A selector on select(). Takes descriptors of any number."""

    _select = staticmethod(select.select)


class PollSelector(stdlib.PollSelector):
    """A selector on poll()."""

    _selector_cls = select.poll


class EpollSelector(stdlib.EpollSelector):
    """A selector on epoll. Closing it raises OSError (EBADF) in the tasklets that wait for it."""

    _selector_cls = select.epoll


DefaultSelector = EpollSelector

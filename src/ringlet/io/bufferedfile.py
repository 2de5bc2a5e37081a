"""The standard library's buffers and text files, used by one tasklet at a time.

While one waits in a method the others that call one queue up. The standard library's own would
raise RuntimeError for a buffer, and mix up what several read of a text.
"""

import functools
import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ringlet.io.rawfile import RawFile, close_dropped
from ringlet.sync import RLock

__all__ = ("BufferedRandom", "BufferedReader", "BufferedWriter", "TextFile")


def _in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wait_and_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return wait_and_call


def _serialise(*names: str) -> Callable[[type], type]:
    """A decorator that makes these inherited methods of a class wait for their turn."""

    def change(cls: type) -> type:
        for name in names:
            setattr(cls, name, _in_turn(getattr(cls, name)))
        return cls

    return change


READING = ("peek", "read", "read1", "readinto", "readinto1", "readline")
WRITING = ("flush", "write")
BOTH = ("detach", "seek", "tell", "truncate")


class _Shared:
    """What makes several tasklets wait for each other."""

    _lock: RLock

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = RLock()
        super().__init__(*args, **kwargs)

    def _get_raw(self) -> Any:
        """The file below all buffers. Raises ValueError when it was detached."""
        return self.raw  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close the file. Who waits for something to read from it raises OSError (EBADF)."""
        with suppress(ValueError):
            raw = self._get_raw()
            if isinstance(raw, RawFile):
                raw.interrupt()
        with self._lock:
            super().close()  # type: ignore[misc]

    def __del__(self) -> None:
        # It was detached, or never made.
        with suppress(ValueError, AttributeError):
            raw = self._get_raw()
            if isinstance(raw, RawFile):
                close_dropped(self, raw)


@_serialise(*READING, *BOTH)
class BufferedReader(_Shared, io.BufferedReader):
    """io.BufferedReader for several tasklets."""


@_serialise(*WRITING, *BOTH)
class BufferedWriter(_Shared, io.BufferedWriter):
    """io.BufferedWriter for several tasklets."""


@_serialise(*READING, *WRITING, *BOTH)
class BufferedRandom(_Shared, io.BufferedRandom):
    """io.BufferedRandom for several tasklets."""


@_serialise("read", "readline", "reconfigure", *WRITING, *BOTH)
class TextFile(_Shared, io.TextIOWrapper):
    """io.TextIOWrapper for several tasklets."""

    def _get_raw(self) -> Any:
        buffer: Any = self.buffer
        return buffer.raw

"""Signals as something to be read, in the order they came, by who waits for descriptors."""

import os
import signal
from collections.abc import Iterable
from types import FrameType
from typing import Any

__all__ = ("SignalQueue", "signal_name")


def signal_name(number: int) -> str:
    """As in SIGTERM; real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class SignalQueue:
    """Takes the signals `numbers` while it is entered: `fd` is readable when there are some.

    For the main thread.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = tuple(numbers)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self.fd = self._reader

    def __enter__(self) -> "SignalQueue":
        self._before_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _do_nothing) for number in self._numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        os.close(self._reader)
        os.close(self._writer)

    def take(self) -> list[int]:
        """Those that have come since."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def forget(self) -> None:
        """In a forked child: the parent's signals are none of ours."""
        signal.set_wakeup_fd(-1)
        for number in self._numbers:
            is_ours = number in (signal.SIGTERM, signal.SIGCHLD)
            # A handler rather than SIG_IGN, which programs started from here would inherit.
            signal.signal(number, signal.SIG_DFL if is_ours else _do_nothing)
        os.close(self._reader)
        os.close(self._writer)


def _do_nothing(number: int, frame: FrameType | None) -> Any:
    """A handler: in the parent, so that the wakeup descriptor is written to."""

"""The picture of all tasklets on demand: from a call, or when a signal comes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

from ringlet.sched.picture import Picture, rings
from ringlet.sched.stacks import other_threads

__all__ = ("dump", "dump_on_signal", "picture_text")

_FRAMES_SHOWN = 20


def dump(file: TextIO | None = None, *, limit: int = _FRAMES_SHOWN) -> None:
    """Write to `file`, by default stderr, what every tasklet of every thread is doing.

    A tree: name, state, what it waits for and for how long, who holds that, its stack of at most
    `limit` calls; whom it waits for is shown below it. Those that wait for each other in a circle
    are named first. Threads without tasklets come last. May be called at any time from any thread
    and in signal handlers; it never blocks, and other threads run on meanwhile. Times are real
    ones, whatever clock a test has put in place, and by up to one round of the ring too long.
    """
    (sys.stderr if file is None else file).write(picture_text(limit))


def picture_text(limit: int = _FRAMES_SHOWN) -> str:
    """What dump() writes."""
    everywhere = rings()
    picture = Picture(everywhere, limit)
    count = sum(len(ring.tasklets) for ring in everywhere)
    lines = [f"--- ringlet: {count} tasklets, process {os.getpid()}, {time.strftime('%X')}"]
    lines += picture.circle_lines()
    lines += picture.tree_lines()
    lines += other_threads({ring.ident for ring in everywhere}, limit)
    return "\n".join([*lines, "---", ""])


class _Dumper:
    """The handler of dump_on_signal()."""

    # It wakes nobody, so that it is there does not keep a deadlock from being seen; see hub.py.
    ringlet_only_looks = True

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def __call__(self, number: int, frame: FrameType | None) -> None:
        file = sys.stderr if self._file is None else self._file
        text = picture_text()
        try:
            fd = file.fileno()
        except (AttributeError, OSError, ValueError):  # none, as tests have it, or closed
            with suppress(ValueError):
                file.write(text)
            return
        # Past the file's buffer: the signal may have come while somebody writes to that.
        data = text.encode(file.encoding or "utf-8", "backslashreplace")
        with suppress(OSError):
            while data:
                data = data[os.write(fd, data) :]


def dump_on_signal(
    number: int = signal.SIGQUIT, file: TextIO | None = None
) -> Callable[[int, FrameType | None], Any] | int | None:
    """From now on write what dump() writes to `file`, by default stderr, when this signal comes.

    SIGQUIT is what Ctrl-\\ sends in a terminal. It works while the program waits, runs or hangs in
    Python code; inside a C function that does not return, the signal waits as well. Only the main
    thread may call it: ValueError otherwise. Returns the handler there was before, as
    signal.signal() does, which sets it again. The environment variable RINGLET_DUMP=SIGUSR1 does
    the same on import.
    """
    return signal.signal(number, _Dumper(file))

"""Stacks of calls as text, of tasklets and of threads, while they may be running."""

import os
import sys
import traceback
from collections.abc import Container, Iterator
from types import FrameType
from typing import Any

from ringlet.sched.threads import native_threads

__all__ = ("FRAMES_SHOWN", "Stack", "is_ours", "lines_of", "origin_lines", "other_threads", "walk")

#: How many calls are shown where nobody says otherwise.
FRAMES_SHOWN = 8
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")

#: Calls with the line that each is in, the innermost first.
Stack = list[tuple[FrameType, int]]


def walk(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """A frame and its callers, each with its line."""
    while frame is not None:
        # The frame of a thread that runs may be between two lines.
        yield frame, frame.f_lineno or 0
        frame = frame.f_back


def is_ours(entry: tuple[FrameType, int]) -> bool:
    """Whether a call is one of ringlet's own functions."""
    return entry[0].f_code.co_filename.startswith(_PACKAGE)


def lines_of(stack: Stack, limit: int) -> list[str]:
    """The innermost `limit` calls, the innermost last, as tracebacks show them."""
    summary = traceback.StackSummary.extract(iter(stack[:limit]), limit=limit, lookup_lines=False)
    summary.reverse()
    lines = [f"  {line}" for entry in summary.format() for line in entry.splitlines()]
    if len(stack) > limit > 0:
        lines.insert(0, f"    {len(stack) - limit} more calls outside of these")
    return lines


def origin_lines(origin: tuple[Any, ...] | None) -> list[str]:
    """Where a tasklet was started, if that has been noted: the innermost call that is not ours."""
    calls = list(zip(origin[0::2], origin[1::2], strict=True)) if origin else []
    for code, line in calls:
        if not code.co_filename.startswith(_PACKAGE):
            return [f"    started in {code.co_name}, {code.co_filename}, line {line}"]
    return []


def other_threads(known: Container[int | None], limit: int) -> Iterator[str]:
    """Where each thread of the process stands whose ident is not `known`."""
    frames = sys._current_frames()
    for thread in native_threads():
        if thread.ident is not None and thread.ident not in known:
            yield f"thread {thread.name}: no tasklets"
            yield from lines_of(list(walk(frames.get(thread.ident))), limit)

"""Who waits for what, in words."""

import traceback
from types import FrameType
from typing import Any

from ringlet import _core

__all__ = ("deadlock_report", "describe")

_FRAMES_SHOWN = 8


def describe(tasklet: _core.Tasklet[Any]) -> str:
    """A tasklet, what it waits for, and where: several lines, the innermost call last."""
    lines = [f"{tasklet!r}\n"]
    frame: FrameType | None = tasklet.frame
    if frame is not None:
        stack = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=_FRAMES_SHOWN)
        stack.reverse()
        lines += [f"  {line}" for entry in stack.format() for line in entry.splitlines(True)]
    return "".join(lines)


def deadlock_report(thread_name: str) -> str:
    """What is wrong when all tasklets of a thread wait and nothing can wake one."""
    main = _core.main()
    blocked = [main, *(tasklet for tasklet in _core.living() if tasklet is not main)]
    head = (
        f"all {len(blocked)} tasklets of {thread_name} wait, and no timer, descriptor, thread or "
        "signal handler is left that could wake one:"
        if len(blocked) > 1
        else f"the only tasklet of {thread_name} waits, and nothing is left that could wake it:"
    )
    return "\n".join([head, *map(describe, blocked)]).rstrip()

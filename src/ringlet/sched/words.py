"""Tasklets and what they wait for, in words that can be had whatever state a program is in."""

from typing import Any

from ringlet import _core
from ringlet.errors import GreenletExit

__all__ = ("in_words", "label", "seconds_in_words", "target_in_words")

_TEXT_LIMIT = 400


def in_words(thing: object) -> str:
    """repr(thing), but one that fails is told about instead of raised, and a long one is cut."""
    try:
        text = repr(thing)
    except (GreenletExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        kind = type(thing)
        return (
            f"<{kind.__module__}.{kind.__qualname__} object at {id(thing):#x}, whose repr() raises "
            f"{type(error).__name__}>"
        )
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


def label(tasklet: _core.Tasklet[Any]) -> str:
    """A tasklet by its name and address, and nothing that could lead back to the tasklet."""
    return f"tasklet {tasklet.name} at {id(tasklet):#x}"


def target_in_words(target: object) -> str:
    """What a tasklet waits for."""
    if isinstance(target, str):
        return target
    if isinstance(target, _core.Tasklet):
        # Not its repr(): it may wait, in turn, for the one that waits for it.
        return f"the end of {label(target)}"
    return in_words(target)


def seconds_in_words(seconds: float) -> str:
    """A length of time as one would say it: 0.8 ms, 3.5 s, 2 h 5 min."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"

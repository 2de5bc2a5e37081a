"""What the program wants to be told of: switches, exchanges, uncaught exceptions."""

from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.compat.stackless.scheduler import callbacks, here, schedulers
from ringlet.compat.stackless.tasklets import of, tell_schedule_callback

__all__ = (
    "get_channel_callback",
    "get_schedule_callback",
    "set_channel_callback",
    "set_error_handler",
    "set_schedule_callback",
)

_ScheduleCallback = Callable[[Any, Any], object] | None
_ChannelCallback = Callable[[Any, Any, int, int], object] | None
_ErrorHandler = Callable[[Any, Any, Any], object] | None


def set_schedule_callback(callback: _ScheduleCallback, /) -> _ScheduleCallback:
    """Have callback(previous, next) called at each switch; None: nothing. Returns the old one.

    `next` is None when a tasklet ends, and `previous` in the call after that. It must not switch.
    What it raises is reported as unraisable. In other threads it is called after their hub's next
    turn.
    """
    _check(callback, "schedule callback must be callable")
    before, callbacks.schedule = callbacks.schedule, callback
    callbacks.watcher = None if callback is None else _switched
    own = here()
    _core.watch(callbacks.watcher)
    for scheduler in schedulers():
        if scheduler is not own:
            scheduler.hub.call_threadsafe(_core.watch, callbacks.watcher)
    return before


def get_schedule_callback() -> _ScheduleCallback:
    """What set_schedule_callback() has set."""
    return callbacks.schedule


def _switched(before: _core.Tasklet[Any] | None, now: _core.Tasklet[Any]) -> None:
    tell_schedule_callback(None if before is None else of(before), of(now))


def set_channel_callback(callback: _ChannelCallback, /) -> _ChannelCallback:
    """Have callback(channel, tasklet, sending, willblock) called before each exchange.

    None: nothing. Returns the old one. It must not use channels; what it raises, the exchange
    raises.
    """
    _check(callback, "channel callback must be callable")
    before, callbacks.channel = callbacks.channel, callback
    callbacks.look_closer("callback", callback)
    return before


def get_channel_callback() -> _ChannelCallback:
    """What set_channel_callback() has set."""
    return callbacks.channel


def set_error_handler(handler: _ErrorHandler, /) -> _ErrorHandler:
    """Have handler(type, value, traceback) called for what a tasklet does not catch.

    Nothing else happens then, unless the handler raises: that goes where the exception would
    have gone. None: to run() or the main tasklet, as usual. Returns the old one.
    """
    _check(handler, "error handler must be callable")
    before, callbacks.error_handler = callbacks.error_handler, handler
    return before


def _check(callback: object, text: str) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(text)

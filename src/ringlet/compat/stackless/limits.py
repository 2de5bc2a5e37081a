"""run() with a time limit: whom it interrupts, and where it must not."""

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from ringlet import _core
from ringlet.compat.stackless import meter
from ringlet.compat.stackless.scheduler import PAUSED, RUNNING, Scheduler, Watchdog, here
from ringlet.compat.stackless.tasklets import getcurrent, live
from ringlet.sched import wait

__all__ = ("Limit",)

_OWN = f"{Path(__file__).parents[2]}/"
_core.set_own_code(_OWN)

_BODY: CodeType = live.__code__


class Limit:
    """with Limit(...): turns take `units` at most, each or, if `total`, together.

    A unit is a call or a jump backwards. Then the tasklet that has its turn is taken out of the
    round, and run() returns it; or, if `soft`, run() returns when that tasklet next gives way.
    Of several in a thread only the outermost counts.
    """

    __slots__ = (
        "_counts",
        "_ignore_nesting",
        "_scheduler",
        "_soft",
        "_total",
        "_units",
        "_watchdog",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        watchdog: Watchdog,
        units: int,
        *,
        soft: bool,
        ignore_nesting: bool,
        total: bool,
    ) -> None:
        self._scheduler = scheduler
        self._watchdog = watchdog
        self._units = units
        self._soft = soft
        self._ignore_nesting = ignore_nesting
        self._total = total
        self._counts = False

    def __enter__(self) -> None:
        if self._scheduler.limit is not None or self._units <= 0:
            return
        meter.start()
        self._counts = True
        self._scheduler.limit = self
        _core.set_slice(self._units, self._total, _overtime)

    def __exit__(self, *exc_info: object) -> None:
        if self._counts:
            _core.set_slice(0, False, None)
            self._scheduler.limit = None
            meter.stop()

    def overtime(self, frame: FrameType | None) -> None:
        """The units of the running tasklet are used up, in `frame`. Called again if it goes on."""
        native = self._watchdog.native
        if native.waiting_on is not RUNNING:
            return
        me = getcurrent()
        if self._soft:
            _core.set_slice(0, False, None)
            _core.resume(native)
            _core.bring_forward(native)
        elif me.atomic:
            me._overdue = True
        elif _may_leave(frame, self._ignore_nesting or me.ignore_nesting):
            self._watchdog.victim = me
            _core.resume(native)
            _core.bring_forward(native)
            wait.park(PAUSED)


def _overtime() -> None:
    limit: Any = here().limit
    if limit is not None:
        limit.overtime(sys._getframe(1))


def _may_leave(frame: FrameType | None, ignore_nesting: bool) -> bool:
    """Whether the running tasklet may be interrupted in `frame`.

    Not inside of ringlet's own functions, which rely on nobody running in between; not inside of
    an import; and without `ignore_nesting` not inside of a call that C code has made, such as that
    of a key function by sorted().
    """
    while frame is not None and frame.f_code is not _BODY:
        if frame.f_code.co_filename.startswith((_OWN, "<frozen importlib")):
            return False
        caller = frame.f_back
        is_first = caller is None or caller.f_code is _BODY
        if not (ignore_nesting or is_first) and _core.is_called_by_c(frame):
            return False
        frame = caller
    return True

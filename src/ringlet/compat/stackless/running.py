"""The functions of the module: running tasklets, looking at them, and being told of them."""

import threading
from typing import Any

from ringlet import _core
from ringlet.compat.stackless.exits import explode
from ringlet.compat.stackless.limits import Limit
from ringlet.compat.stackless.scheduler import (
    PAUSED,
    RUNNING,
    Watchdog,
    callbacks,
    here,
    scheduler_of,
    schedulers,
)
from ringlet.compat.stackless.tasklets import check_trap, getcurrent, main_of, of, tasklet
from ringlet.sched import wait

__all__ = (
    "atomic",
    "get_thread_info",
    "getcurrent",
    "getcurrentid",
    "getmain",
    "getruncount",
    "getthreads",
    "run",
    "schedule",
    "schedule_remove",
    "switch_trap",
)

_MISSING: Any = object()


def schedule(retval: Any = _MISSING) -> Any:
    """Let all others in the round run once. Returns `retval`, by default the current tasklet.

    What somebody has put into its tempval meanwhile is returned instead.
    """
    me = getcurrent()
    me._tempval = me if retval is _MISSING else retval
    if not callbacks.unusual or not _core.switch_trap() or _core.others_ready():
        wait.schedule()
    return _take_tempval(me)


def schedule_remove(retval: Any = _MISSING) -> Any:
    """Leave the round, until somebody inserts this tasklet. Returns as schedule() does."""
    check_trap()
    me = getcurrent()
    me._tempval = me if retval is _MISSING else retval
    wait.park(PAUSED)
    return _take_tempval(me)


def _take_tempval(me: tasklet) -> Any:
    value, me._tempval = me._tempval, None
    return explode(value)


def run(
    timeout: int = 0,
    threadblock: bool = False,
    soft: bool = False,
    ignore_nesting: bool = False,
    totaltimeout: bool = False,
) -> tasklet | None:
    """Let the others run until nothing is left to run; the caller is paused meanwhile.

    Tasklets that are blocked on channels do not count. What a tasklet does not catch is raised
    here; the rest goes on in the next run().

    With a `timeout` above 0 a tasklet gets so many units in a turn: calls and jumps backwards. One
    that uses them up is taken out of the round, and returned; insert() lets it go on. It is left
    alone while it is atomic, under a switch trap, and inside of calls that C code has made, unless
    `ignore_nesting` is true. With `soft` it is not interrupted: run() returns None once it gives
    way. With `totaltimeout` the units are those of the whole run(). Of nested runs only the
    outermost one's timeout counts. With `threadblock` run() does not return while other threads
    may have something for this one.
    """
    if _core.switch_trap():
        if not _core.others_ready():
            return None
        check_trap()
    scheduler = here()
    watchdog = Watchdog(_core.current(), threadblock)
    limit = Limit(
        scheduler,
        watchdog,
        timeout,
        soft=soft,
        ignore_nesting=ignore_nesting,
        total=totaltimeout,
    )
    scheduler.watchdogs.append(watchdog)
    try:
        with limit:
            wait.park(RUNNING)
    finally:
        scheduler.watchdogs.remove(watchdog)
    return watchdog.victim  # type: ignore[no-any-return]


def getmain() -> tasklet:
    """The main tasklet of the calling thread: its ordinary program."""
    return main_of(here())


def getcurrentid() -> int:
    """A number for the current tasklet: in the main one that of its thread."""
    native = _core.current()
    return threading.get_ident() if native is _core.main() else id(getcurrent())


def getruncount() -> int:
    """How many tasklets of this thread are in the round, the current one included."""
    return _core.ready_count()


def getthreads() -> list[int]:
    """The idents of the threads, the main one first."""
    main = threading.main_thread().ident
    idents = [thread.ident for thread in threading.enumerate()]
    idents += [scheduler.ident for scheduler in schedulers()]
    return [main or 0, *sorted({ident for ident in idents if ident and ident != main})]


def get_thread_info(thread_id: int = -1) -> tuple[tasklet, tasklet | None, int]:
    """The main tasklet, the current one and the number in the round, of a thread."""
    try:
        scheduler = scheduler_of(None if thread_id == -1 else thread_id)
    except ValueError:
        raise RuntimeError("Thread id not found") from None
    main = main_of(scheduler)
    turns = _core.whole_round(scheduler.native_main)
    return main, of(turns[0]) if turns else None, len(turns)


def switch_trap(change: int = 0) -> int:
    """Add to the level at which this thread's tasklets must not switch. Returns the old level.

    While it is not 0, whatever would switch raises RuntimeError.
    """
    before = _core.switch_trap(change)
    callbacks.look_closer(("trap", threading.get_ident()), before + change)
    return before


class atomic:  # noqa: N801 (Stackless's name)
    """with atomic(): run() with a time limit leaves the current tasklet alone in the block."""

    __slots__ = ("_before", "_tasklet")

    def __enter__(self) -> None:
        self._tasklet = getcurrent()
        self._before = self._tasklet.set_atomic(True)

    def __exit__(self, *exc_info: object) -> None:
        self._tasklet.set_atomic(self._before)

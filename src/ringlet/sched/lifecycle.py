"""What happens to tasklets when the program ends, and in a forked child."""

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.errors import Deadlock, TaskletExit
from ringlet.sched.clock import SystemClock
from ringlet.sched.hub import keep_hub_only, make_hub
from ringlet.sched.tasklet import Tasklet, failed, forget_later_starts
from ringlet.sched.threads import current_thread, main_thread

__all__ = ("call_at_the_end", "install")

# Seconds that tasklets have to end when the program does.
PATIENCE = 5.0


def install() -> None:
    """Give the core its Python half, and see to exit and fork. Called once, on import."""
    _core.set_policy(
        tasklet_type=Tasklet, make_hub=make_hub, failed=failed, main_ended=end_forked_process
    )
    atexit.register(end_all)
    os.register_at_fork(after_in_child=become_only_one)


def call_at_the_end(f: Callable[[], object]) -> None:
    """Call f() when the program ends and all tasklets have ended or been dropped."""
    _at_the_end.append(f)


_at_the_end: list[Callable[[], object]] = []


def end_all() -> None:
    """At exit: end the tasklets of the main thread, then what they may have used to end."""
    try:
        _end_tasklets()
    finally:
        for f in _at_the_end:
            f()


def _end_tasklets() -> None:
    """Raise TaskletExit in all tasklets of the main thread, and let them end."""
    if current_thread() is not main_thread() or not _core.has_ring():
        return
    hub = _core.hub()
    # A clock that a test has put in its place might never get to the deadline.
    hub.clock = SystemClock()
    for tasklet in _core.living():
        tasklet._kill(TaskletExit())
    try:
        hub.last_moment = hub.clock.time() + PATIENCE
        while others := _others():
            others[0]._await_end()
    except Deadlock:
        _tell_dropped("wait in their finally blocks for what can never come")
    except TimeoutError:
        _tell_dropped(f"did not end within {PATIENCE:g} s of the program's end")
    finally:
        hub.last_moment = None


def _others() -> list[_core.Tasklet[Any]]:
    me = _core.current()
    return [tasklet for tasklet in _core.living() if tasklet is not me]


def _tell_dropped(why: str) -> None:
    others = _others()
    names = ", ".join(tasklet.name for tasklet in others[:5])
    sys.stderr.write(f"ringlet: {len(others)} tasklets {why} and are dropped: {names}\n")


def become_only_one() -> None:
    """In a forked child: the tasklet that forked is the main one, and alone."""
    _core.keep_current_only()
    keep_hub_only(_core.hub() if _core.has_ring() else None)
    if _core.has_ring():
        forget_later_starts(_core.hub())


def end_forked_process(error: BaseException | None) -> None:
    """In a forked child: the tasklet that forked has ended, and with it the process."""
    status: Any = 0
    if isinstance(error, SystemExit):
        status = error.code
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    if status is not None and not isinstance(status, int):
        sys.stderr.write(f"{status}\n")
        status = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status or 0)

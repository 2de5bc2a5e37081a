"""What happens to tasklets when the program ends, and in a forked child."""

import atexit
import contextlib
import os
import sys
import threading

from ringlet import _core
from ringlet.errors import Deadlock, TaskletExit
from ringlet.sched.hub import make_hub
from ringlet.sched.tasklet import Tasklet, finished

__all__ = ("install",)

# Seconds that tasklets have to end when the program does.
PATIENCE = 5.0


def install() -> None:
    """Give the core its Python half, and see to exit and fork. Called once, on import."""
    _core.set_policy(tasklet_type=Tasklet, make_hub=make_hub, finished=finished)
    atexit.register(end_all)
    os.register_at_fork(after_in_child=become_only_one)


def end_all() -> None:
    """At exit: raise TaskletExit in all tasklets of the main thread, and let them end."""
    if threading.current_thread() is not threading.main_thread() or not _core.has_ring():
        return
    hub = _core.hub()
    deadline = hub.clock.time() + PATIENCE
    for tasklet in _core.living():
        _core.throw(tasklet, TaskletExit())
    while others := [t for t in _core.living() if t is not _core.current()]:
        left = deadline - hub.clock.time()
        if left <= 0:
            names = ", ".join(t.name for t in others[:5])
            sys.stderr.write(
                f"ringlet: {len(others)} tasklets did not end within {PATIENCE:g} s of the "
                f"program's end and are dropped: {names}\n"
            )
            return
        # One that waits again in its finally block, for what can never come, is no news here.
        with contextlib.suppress(Deadlock):
            others[0].join(left)


def become_only_one() -> None:
    """In a forked child: the tasklet that forked is the main one, and alone."""
    if not _core.has_ring():
        return
    parents_hub = _core.hub()
    _core.keep_current_only()
    parents_hub.close()

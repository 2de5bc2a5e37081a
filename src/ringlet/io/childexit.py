"""Waiting for the end of a child process, which stays to be reaped."""

import os
from contextlib import suppress

from ringlet import _core
from ringlet.errors import Timeout
from ringlet.io import native
from ringlet.io.threadpool import ThreadPool
from ringlet.sched.pollers import READ
from ringlet.sched.timeout import timeout as time_limit

__all__ = ("await_change", "await_exit")

#: Where there is no pidfd a thread waits for each child that somebody waits for.
MOST_THREADS = 1000


def await_exit(pid: int, timeout: float | None = None) -> None:
    """Park until the child process `pid` has ended, at most `timeout` seconds. Raises Timeout.

    Returns at once when there is no such process. Whoever calls os.waitpid() next gets its status.
    Any number of tasklets of any threads may wait for one process.
    """
    try:
        fd = _pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # an old kernel, a sandbox that forbids it, or no descriptor left
        _wait_in_thread(pid, timeout)
        return
    try:
        _core.wait_descriptor(fd, READ, timeout)
    except TimeoutError:
        raise Timeout(f"process {pid} did not end in {timeout:g} s") from None
    finally:
        os.close(fd)


def _no_pidfd(pid: int) -> int:
    raise OSError("this system has no pidfd")


_pidfd_open = getattr(os, "pidfd_open", None) or _no_pidfd
_threads: ThreadPool | None = None


def _wait_in_thread(pid: int, timeout: float | None) -> None:
    with time_limit(timeout):
        await_change(os.P_PID, pid, os.WEXITED)


def await_change(idtype: int, id_: int, options: int) -> None:
    """Park until a child that os.waitid() would take with these arguments has changed its state.

    It stays to be taken. Returns at once when there is no such child.
    """
    global _threads
    if _threads is None:
        _threads = ThreadPool(MOST_THREADS, "ringlet-children", abandoned_at_exit=True)
    _threads.call(_wait, idtype, id_, options | os.WNOWAIT)


def _wait(idtype: int, id_: int, options: int) -> None:
    with suppress(ChildProcessError):
        native.waitid(idtype, id_, options)

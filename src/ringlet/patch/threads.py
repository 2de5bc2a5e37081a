"""Threads that are tasklets: what threading and _thread start threads, join and know them by.

threading.Thread stays the class it is; what it calls to start a thread, and to learn of its end,
is replaced. That differs by version: up to 3.12 the end releases a lock (the "sentinel"), from
3.13 on a handle tells of it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from errno import ESRCH
from functools import partial
from typing import Any

from ringlet import _core
from ringlet.errors import Cancelled, GreenletExit, TaskletExit
from ringlet.patch.primitives import Lock, get_ident, native_ident
from ringlet.sched import Tasklet
from ringlet.sync import Event

__all__ = (
    "DummyThread",
    "Sentinel",
    "ThreadHandle",
    "pthread_kill",
    "running",
    "set_sentinel",
    "start_joinable_thread",
    "start_new_thread",
    "thread_shutdown",
)

_SILENT = (Cancelled, GreenletExit, TaskletExit)
#: What Thread calls its handle: none up to 3.12.
HANDLE = "_os_thread_handle" if sys.version_info >= (3, 14) else "_handle"

_threading: Any = threading
_native_set_sentinel: Callable[[], Any] = getattr(_threading, "_set_sentinel", Lock)
_native_pthread_kill = signal.pthread_kill
_native_shutdown: Callable[[], None] = getattr(_threading, "_thread_shutdown", lambda: None)

# The tasklets that run as threads, by ident; with what their end is to call.
_running: dict[int, tuple[_core.Tasklet[Any], list[Callable[[], object]]]] = {}
# The handles whose threads the end of the program waits for.
_waited_for: set["ThreadHandle"] = set()
# The tasklet that forks, while it does and in the child.
_forking: _core.Tasklet[Any] | None = None


def running() -> list[_core.Tasklet[Any]]:
    """The tasklets that run as threads now."""
    return [tasklet for tasklet, _ in list(_running.values())]


# --- starting ------------------------------------------------------------------------------------


def start_new_thread(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    /,
) -> int:
    """Call function(*args, **kwargs) in a new tasklet. Returns its ident. As _thread's.

    It runs in an empty context, as a thread does, in the native thread of the caller.
    """
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    return id(_start(function, args, kwargs or {}))


def start_joinable_thread(
    function: Callable[[], object],
    handle: "ThreadHandle | None" = None,
    daemon: bool = True,
) -> "ThreadHandle":
    """Call function() in a new tasklet, whose end `handle` will tell. As _thread's, from 3.13."""
    if not callable(function):
        raise TypeError("thread function must be callable")
    if not isinstance(handle, ThreadHandle):
        # That of a Thread that was made before the patch.
        handle = ThreadHandle()
        thread = getattr(function, "__self__", None)
        if isinstance(thread, threading.Thread):
            setattr(thread, HANDLE, handle)
    handle.begin()
    tasklet = _start(function, (), {}, handle.end)
    handle.tasklet = tasklet
    handle.ident = id(tasklet)
    if not daemon:
        _waited_for.add(handle)
    return handle


def _start(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *at_end: Callable[[], object],
) -> _core.Tasklet[Any]:
    tasklet = Tasklet(_run, (function, args, kwargs), context=Context())
    thread = getattr(function, "__self__", None)
    if isinstance(thread, threading.Thread):
        _fit(thread, id(tasklet))
        tasklet.name = thread.name
    else:
        tasklet.name = getattr(function, "__qualname__", tasklet.name)
    _running[id(tasklet)] = tasklet, list(at_end)
    tasklet.start()
    # One that is killed before it has run calls nothing of its own.
    tasklet.add_done_callback(_ended)
    return tasklet


def _run(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        function(*args, **kwargs)
    except SystemExit:
        pass  # which ends a thread in silence
    finally:
        _ended(_core.current())


def _ended(tasklet: _core.Tasklet[Any]) -> None:
    _, at_end = _running.pop(id(tasklet), (None, ()))
    for call in at_end:
        call()


def _fit(thread: Any, ident: int) -> None:
    """Let a Thread that runs as a tasklet end as tasklets do, whoever takes the patch back."""
    hook = thread._invoke_excepthook

    def invoke_excepthook(thread: threading.Thread) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, KeyboardInterrupt):
            _core.throw_main(error)  # meant for the program, not for who happened to run
        elif not isinstance(error, _SILENT):
            hook(thread)

    thread._invoke_excepthook = invoke_excepthook
    thread._delete = partial(_delete, ident)
    # Hubs need not count on it to wake anybody: it is one of theirs.
    thread.ringlet_worker = True


def _delete(ident: int) -> None:
    with _threading._active_limbo_lock:
        _threading._active.pop(ident, None)


def pthread_kill(thread_id: int, signalnum: int, /) -> None:
    """signal.pthread_kill(). A tasklet's signals go to the thread that runs it.

    The ident of one that has ended is an address like any other: it must never get to the system.
    """
    found = _running.get(thread_id)
    if found is not None:
        thread_id = found[0].thread_ident or native_ident()
    elif thread_id not in sys._current_frames():
        raise ProcessLookupError(ESRCH, os.strerror(ESRCH))
    _native_pthread_kill(thread_id, signalnum)


# --- the end, up to 3.12 -------------------------------------------------------------------------


class Sentinel:
    """A lock that a thread holds until it ends, and then nobody any more, whoever acquires it.

    threading has each of those who have waited for it release it, and find it free at once; a lock
    that is handed from one to the next would not be.
    """

    def __init__(self) -> None:
        self._held = False
        self._ended = Event()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, if nobody has; wait for the end of the thread, if one has."""
        if not self._held:
            self._held = not self._ended.is_set()
            return True
        return blocking and self._ended.wait(None if timeout < 0 else timeout)

    def release(self) -> None:
        """The thread has ended. Harmless when repeated."""
        self._held = False
        self._ended.set()

    def locked(self) -> bool:
        """Whether the thread has it."""
        return self._held

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]


def set_sentinel() -> Any:
    """A lock that will be released when the running thread ends."""
    found = _running.get(get_ident())
    if found is None:
        return _native_set_sentinel()
    sentinel = Sentinel()
    found[1].append(sentinel.release)
    return sentinel


# --- the end, from 3.13 on -----------------------------------------------------------------------


class ThreadHandle:
    """What a Thread knows its thread by, as _thread._ThreadHandle."""

    def __init__(self) -> None:
        self.ident = 0
        self.tasklet: _core.Tasklet[Any] | None = None
        self._done = Event()
        self._begun = False
        #: Whether its thread was another than the one that forked, in the child.
        self.is_forked_away = False

    def __repr__(self) -> str:
        return f"<ThreadHandle object: ident={self.ident}>"

    @classmethod
    def of_running(cls, ident: int) -> "ThreadHandle":
        """That of a thread that was not started here, as _thread._make_thread_handle()."""
        handle = cls()
        handle.ident = ident
        handle._begun = True
        return handle

    def begin(self) -> None:
        """The thread is about to start."""
        if self._begun:
            raise RuntimeError("thread already started")
        self._begun = True

    def end(self) -> None:
        """The thread has ended."""
        _waited_for.discard(self)
        self._done.set()

    _set_done = end

    def is_done(self) -> bool:
        """Whether the thread has ended. In a forked child all have but the one that forked."""
        # threading asks for this before _after_fork_in_child() has been called.
        forked_away = _forking is not None and self.tasklet not in (None, _forking)
        return self._done.is_set() or self.is_forked_away or forked_away

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end, at most `timeout` seconds; None and less than 0: no limit."""
        if not self._begun:
            raise RuntimeError("thread not started")
        if self.ident == get_ident() and not self.is_done():
            raise RuntimeError("Cannot join current thread")
        if not self.is_done():
            self._done.wait(None if timeout is None or timeout < 0 else timeout)


def thread_shutdown() -> None:
    """At the program's end: wait for the threads that are no daemons, as _thread._shutdown()."""
    while _waited_for:
        next(iter(_waited_for)).join()
    _native_shutdown()


# --- threads that were not started here ----------------------------------------------------------


class DummyThread(_threading._DummyThread):  # type: ignore[misc]
    """What current_thread() gives in a tasklet that no Thread has started."""

    def __init__(self) -> None:
        super().__init__()
        ident = get_ident()
        if ident == native_ident():
            return
        tasklet = _core.current()
        self._name = tasklet.name
        self.ringlet_worker = True
        # The callback holds the tasklet: nobody else can have its ident before it was called.
        Tasklet.add_done_callback(tasklet, partial(_forget_dummy, self))


def _forget_dummy(dummy: DummyThread, tasklet: _core.Tasklet[Any]) -> None:
    if _threading._active.get(id(tasklet)) is dummy:
        _threading._active.pop(id(tasklet), None)


# --- fork ----------------------------------------------------------------------------------------


def _before_fork() -> None:
    global _forking
    _forking = _core.current() if _running and _core.has_ring() else None


def _after_fork_in_parent() -> None:
    global _forking
    _forking = None


def _after_fork_in_child() -> None:
    """The tasklet that forked is the main one: its Thread has the native ident from now on."""
    global _forking
    _waited_for.clear()
    forked, _forking = _forking, None
    for ident, (tasklet, at_end) in list(_running.items()):
        if tasklet is not forked:
            del _running[ident]
            for handle in (getattr(call, "__self__", None) for call in at_end):
                if isinstance(handle, ThreadHandle):
                    handle.is_forked_away = True
    if forked is None or get_ident() != native_ident():
        return
    active = _threading._active
    for ident, thread in list(active.items()):
        if ident == id(forked):
            del active[ident]
            active[native_ident()] = thread
            thread._ident = native_ident()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)

"""Stackless's tasklet: a handle that can be bound to one function after the other.

While it is alive and has been inserted it holds a tasklet of ringlet's, which the ring runs.
"""

import threading
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import Any, Self

from ringlet import _core
from ringlet.compat.stackless.exits import SILENT, TaskletExit, make_exception
from ringlet.compat.stackless.scheduler import (
    PAUSED,
    Scheduler,
    callbacks,
    here,
    scheduler_of,
)
from ringlet.compat.stackless.traits import Traits
from ringlet.sched import Tasklet, wait

__all__ = (
    "check_trap",
    "getcurrent",
    "live",
    "main_of",
    "of",
    "shared_context",
    "tasklet",
    "tell_schedule_callback",
)


class Native(Tasklet[None]):
    """A tasklet of ringlet's that does the work of one of Stackless's."""

    __slots__ = ("compat",)

    compat: "tasklet"

    def _kill(self, error: BaseException) -> bool:
        """Whoever kills it, at the program's end for one, it gets Stackless's TaskletExit."""
        return super()._kill(TaskletExit(*error.args))


class tasklet(Traits):  # noqa: N801 (Stackless's name)
    """tasklet(func=None, args=None, kwargs=None): something that can be scheduled.

    Bound to a function it can be called: that gives the arguments, and puts it at the end of the
    round. After its end it may be bound again. It belongs to the thread that made it; insert(),
    run(), throw(), raise_exception() and kill() may be used from any.
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._reset(here(), shared_context())
        return self

    def __init__(
        self,
        func: Callable[..., Any] | None = None,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        self._bind(func, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Self:
        return self.setup(*args, **kwargs)

    def bind(
        self,
        func: Callable[..., Any] | None = None,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Say what to call. With arguments it is alive and paused then; without, call it first.

        Nothing at all unbinds it. Raises RuntimeError for the main and the current tasklet, for one
        that is scheduled, and for one that has begun: its stack is C's.
        """
        self._bind(func, args, kwargs)
        self._context = shared_context()
        return self

    def _bind(
        self, func: Callable[..., Any] | None, args: Any, kwargs: dict[str, Any] | None
    ) -> None:
        """bind() that leaves the context alone."""
        if func is not None and not callable(func):
            raise TypeError("tasklet function must be a callable or None")
        if self._native is not None:
            self._check_unused(unbinding=func is None and args is None and kwargs is None)
        if func is None and (args is not None or kwargs is not None):
            func = self._func
            if func is None:
                raise RuntimeError("the tasklet was not bound to a function")
        if self._func is not None or self._begun:
            self._forget()
        self._func = func
        if args is not None or kwargs is not None:
            self._call = (tuple(args or ()), dict(kwargs or {}))

    def setup(self, *args: Any, **kwargs: Any) -> Self:
        """Give the arguments for the bound function, and insert the tasklet."""
        if self._call is not None or (self._begun and self.alive):
            raise RuntimeError("tasklet is alive")
        if self._func is None:
            raise RuntimeError("the tasklet was not bound to a function")
        self._call = (args, kwargs)
        self._make_ready()
        return self

    def insert(self) -> Self:
        """Put it at the end of its round. Nothing happens if it is there already."""
        if self.blocked:
            raise RuntimeError("You cannot run a blocked tasklet")
        if not self.alive:
            raise RuntimeError("You cannot run an unbound(dead) tasklet")
        if not self.scheduled:
            self._make_ready()
        return self

    def remove(self) -> Self:
        """Take it out of its round: it is paused. Nothing happens if it is not there."""
        if self.blocked:
            raise RuntimeError("You cannot remove a blocked tasklet.")
        native = self._native
        if native is not None and native is _core.current():
            raise RuntimeError("The current tasklet cannot be removed.")
        if native is not None and native.state == "ready":
            _core.pause(native, PAUSED)
        return self

    def run(self) -> None:
        """Run it at once. The caller stays where it is, at the end of the round now."""
        if self.is_current:
            return
        self._check_switch()
        self.insert()
        self._go()

    def switch(self) -> None:
        """Run it at once. The caller is paused, until somebody inserts or switches to it."""
        if self.is_current:
            return
        if self._home is not here():
            raise RuntimeError("can't switch to a different thread.")
        self._check_switch()
        self.insert()
        assert self._native is not None
        _core.bring_forward(self._native)
        wait.park(PAUSED)

    def throw(self, exc: Any, val: Any = None, tb: Any = None, pending: bool = False) -> None:
        """Raise an exception in it where it stands; a tasklet that never ran ends with it.

        It runs at once, and the caller stays at the end of the round; or with `pending`, and from
        other threads, when its turn comes.
        """
        self._throw(make_exception(exc, val, tb), pending)

    def raise_exception(self, cls: Any, *args: Any) -> None:
        """Raise cls(*args) in it at once, as throw() does."""
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise TypeError(
                "tasklet.raise_exception needs Exception or string subclass as first parameter"
            )
        self._throw(cls(*args), False)

    def kill(self, pending: bool = False) -> None:
        """throw(TaskletExit, pending=pending). Harmless when it is dead."""
        if self.alive and not self._home.gone:
            self._throw(TaskletExit(), pending)
        else:
            self._forget()

    def bind_thread(self, ident: int | None = None) -> None:
        """Let another thread run it, by default the calling one. Only if it has not begun."""
        if self.scheduled and not self.blocked:
            raise RuntimeError("can't (re)bind a runnable tasklet")
        if self._begun and self.alive:
            raise RuntimeError("tasklet has C state on its stack")
        home = scheduler_of(ident)
        native, self._native = self._native, None
        if native is not None and not native.finished:
            # It was inserted and removed again: there it just ends.
            native._kill(TaskletExit())
        self._home = home

    @property
    def next(self) -> "tasklet | None":
        """Its successor in its round, or in the queue of the channel that it is blocked on."""
        return self._neighbour(1)

    @property
    def prev(self) -> "tasklet | None":
        """Its predecessor there."""
        return self._neighbour(-1)

    # ---- The work behind those -----------------------------------------------------------

    def _check_unused(self, unbinding: bool) -> None:
        """Raise RuntimeError unless it may be bound to something else."""
        if self.is_main and unbinding:
            raise RuntimeError("can't unbind the main tasklet")
        if self.is_current or self.is_main:
            raise RuntimeError("can't (re)bind the current tasklet")
        if self.scheduled:
            raise RuntimeError("tasklet is scheduled")
        if self._begun and self.alive:
            raise RuntimeError("tasklet has C state on its stack")

    def _check_switch(self) -> None:
        if self._home is here():
            check_trap()

    def _make_ready(self) -> None:
        """Put one that is alive and paused at the end of its round."""
        if self._home.gone:
            raise RuntimeError("Target thread isn't initialized")
        if self._native is not None:
            _core.resume(self._native)
            return
        assert self._func is not None
        name = getattr(self._func, "__qualname__", None)
        native = Native(live, (self,), name=name, context=self._context)
        native.compat = self
        self._native = native
        if self._home is here():
            native.start()
        else:
            self._home.hub.call_threadsafe(native.start)

    def _go(self) -> None:
        """Let a ready one run next, and if it is of this thread, now."""
        native = self._native
        assert native is not None
        if self._home is here():
            _core.bring_forward(native)
            wait.schedule()
        elif native.state == "ready":
            _core.bring_forward(native)

    def _throw(self, error: BaseException, pending: bool) -> None:
        if self.is_current:
            raise error
        if not self.alive:
            if isinstance(error, TaskletExit):
                return
            raise RuntimeError("You cannot throw to a dead tasklet")
        if self._home.gone:
            raise RuntimeError("tasklet has no thread")
        if not pending:
            self._check_switch()
        if self._begun:
            assert self._native is not None
            _core.throw(self._native, error)
        else:
            self._thrown = error
            self.insert()
        if not pending and self._home is here():
            self._go()

    def _neighbour(self, step: int) -> "tasklet | None":
        native, channel = self._native, self._channel
        if native is None or not self.scheduled or native.state == "new":
            return None
        if self.blocked:
            queue = channel._waiters() if channel is not None else []
            place = queue.index(native) + step if native in queue else -1
            return of(queue[place]) if 0 <= place < len(queue) else None
        turns = _core.whole_round(native)
        return of(turns[(turns.index(native) + step) % len(turns)])


def live(self: tasklet) -> None:
    """What the native tasklet runs."""
    assert self._func is not None
    assert self._call is not None
    func, (args, kwargs) = self._func, self._call
    self._func = self._call = None
    self._begun = True
    greenlet = _core.getcurrent()
    if greenlet.gr_context is not self._context:
        greenlet.gr_context = self._context  # Bound anew since it was inserted for the first time.
    try:
        if self._thrown is not None:
            error, self._thrown = self._thrown, None
            raise error
        func(*args, **kwargs)
    except BaseException as error:
        _hand_over(error)
    finally:
        self._native = None
        self._forget()
        if callbacks.schedule is not None:
            tell_schedule_callback(self, None)


def _hand_over(error: BaseException) -> None:
    """A tasklet is about to end with `error`: give it to whom it concerns."""
    if isinstance(error, SILENT):
        return
    if isinstance(error, SystemExit):
        if threading.current_thread() is not threading.main_thread():
            return
    elif callbacks.error_handler is not None:
        try:
            callbacks.error_handler(type(error), error, error.__traceback__)
            return
        except BaseException as new_error:
            error = new_error
    guardian = here().guardian()
    if guardian is _core.current() or not _core.throw(guardian, error):
        raise error
    _core.bring_forward(guardian)


def tell_schedule_callback(before: tasklet | None, now: tasklet | None) -> None:
    """Call the schedule callback. What it raises is its own business."""
    callback = callbacks.schedule
    if callback is None:
        return
    try:
        callback(before, now)
    except BaseException as error:
        _core.write_unraisable(error, "Error in scheduling callback")


def check_trap() -> None:
    """Raise RuntimeError if nothing may be switched to in this thread."""
    if _core.switch_trap():
        raise RuntimeError("switch_trap")


# Those that stand for tasklets which are not Stackless's: main ones, and ringlet's own.
_stand_ins: "weakref.WeakValueDictionary[_core.Tasklet[Any], tasklet]" = (
    weakref.WeakValueDictionary()
)


def of(native: _core.Tasklet[Any]) -> tasklet:
    """The tasklet that `native` works for; one that stands for it if there is none."""
    if type(native) is Native:
        return native.compat
    stand_in = _stand_ins.get(native)
    if stand_in is None:
        stand_in = _stand_ins[native] = tasklet()
        stand_in._native = native
        stand_in._begun = True
        if native.is_foreign:
            stand_in._home = home_of(native.thread_ident)
    return stand_in


def home_of(ident: int | None) -> Scheduler:
    """The scheduler of a thread that runs a tasklet, whether it uses Stackless or not."""
    try:
        return scheduler_of(ident)
    except ValueError:
        return Scheduler.abroad(ident)


def main_of(scheduler: Scheduler) -> tasklet:
    """The main tasklet of a thread."""
    if scheduler.main is None:
        scheduler.main = of(scheduler.native_main)
    main: tasklet = scheduler.main
    return main


def getcurrent() -> tasklet:
    """The running tasklet of the calling thread."""
    native = _core.current()
    return native.compat if type(native) is Native else of(native)


def shared_context() -> Context:
    """The contextvars context of the caller, itself and no copy."""
    greenlet = _core.getcurrent()
    context = greenlet.gr_context
    if context is None:
        context = greenlet.gr_context = Context()
    return context

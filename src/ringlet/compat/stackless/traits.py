"""What can be seen of a tasklet, and the few things that can be set."""

import sys
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from types import FrameType
from typing import Any, Self

from ringlet import _core
from ringlet.compat.stackless.scheduler import Marker, Scheduler, callbacks

__all__ = ("Traits", "outer_frame")


class Traits:
    """The attributes of a tasklet. Nothing here makes anything run."""

    __slots__ = (
        "__weakref__",
        "_atomic",
        "_begun",
        "_block_trap",
        "_call",
        "_context",
        "_func",
        "_home",
        "_ignore_nesting",
        "_native",
        "_overdue",
        "_tempval",
        "_thrown",
    )

    _tempval: Any
    # The tasklet of ringlet's that does its work, if there is one already.
    _native: _core.Tasklet[Any] | None
    # Whether that has begun to run.
    _begun: bool
    # What it is bound to, and once that is known, with which arguments; until it begins.
    _func: Callable[..., Any] | None
    _call: tuple[tuple[Any, ...], dict[str, Any]] | None
    # What was thrown at it before it began.
    _thrown: BaseException | None
    _context: Context
    # The thread that runs it.
    _home: Scheduler
    _atomic: bool
    _block_trap: bool
    _ignore_nesting: bool
    # Whether it has outlived its time in run() while it was atomic.
    _overdue: bool

    def _reset(self, home: Scheduler, context: Context) -> None:
        self._native = None
        self._home = home
        self._context = context
        self._atomic = self._block_trap = self._ignore_nesting = self._overdue = False
        self._forget()

    def _forget(self) -> None:
        """Be dead."""
        self._tempval = self._func = self._call = self._thrown = None
        self._begun = self._overdue = False

    def __repr__(self) -> str:
        state = "blocked" if self.blocked else "scheduled" if self.scheduled else "paused"
        return f"<tasklet at {id(self):#x}, {state if self.alive else 'dead'}>"

    def __reduce__(self) -> Any:
        if self.is_current:
            raise RuntimeError("You cannot __reduce__ the tasklet which is current.")
        if self._begun:
            raise RuntimeError(
                f"cannot pickle {self!r}: it has begun to run, and its stack is C's; only tasklets "
                "that have not begun, or are dead, can be pickled"
            )
        return type(self), (), (self._func, self._call, self._tempval)

    def __setstate__(self, state: Any) -> Self:
        if self.alive:
            raise RuntimeError("tasklet is alive")
        self._func, self._call, self._tempval = state
        return self

    # ---- Where it stands ------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it has something to run."""
        if not self._begun:
            return self._call is not None
        return self._native is not None and not self._native.finished

    @property
    def blocked(self) -> bool:
        """Whether it waits for something: a channel, or anything that ringlet knows."""
        native = self._native
        return (
            native is not None
            and native.state == "parked"
            and not isinstance(native.waiting_on, Marker)
        )

    @property
    def scheduled(self) -> bool:
        """Whether it is in its round, or blocked."""
        native = self._native
        if native is None or native.state == "finished":
            return False
        return native.state != "parked" or not isinstance(native.waiting_on, Marker)

    @property
    def paused(self) -> bool:
        """Whether it is alive, and nobody would ever run it as things are."""
        return self.alive and not self.scheduled

    @property
    def restorable(self) -> bool:
        """Whether it could be pickled: as long as it has not begun."""
        return self.nesting_level == 0

    @property
    def nesting_level(self) -> int:
        """0 before it begins and after its end; then 1, for its stack is C's."""
        return int(self._begun and self.alive)

    @property
    def is_current(self) -> bool:
        """Whether it runs."""
        return self._native is not None and self._native is _core.current()

    @property
    def is_main(self) -> bool:
        """Whether it is its thread's ordinary program."""
        return self._native is not None and self._native is self._home.native_main

    @property
    def thread_id(self) -> int:
        """The ident of its thread; -1 once that has ended."""
        return -1 if self._home.gone else self._home.ident

    @property
    def frame(self) -> FrameType | None:
        """Its innermost frame, if it has begun."""
        if self.is_current:
            return outer_frame(sys._getframe(1))
        return outer_frame(self._native.frame) if self._native is not None else None

    @property
    def recursion_depth(self) -> int:
        """How many frames it has."""
        depth, frame = 0, self.frame
        while frame is not None:
            depth, frame = depth + 1, outer_frame(frame.f_back)
        return depth

    @property
    def cstate(self) -> None:
        """Stackless's copy of a C stack. There is none: ringlet keeps stacks elsewhere."""

    @property
    def _channel(self) -> Any:
        """The channel that it is blocked on, or None."""
        waiting_on = self._native.waiting_on if self._native is not None else None
        return waiting_on if getattr(waiting_on, "is_stackless", False) else None

    @property
    def tempval(self) -> Any:
        """What others have left for it, which schedule() and schedule_remove() return.

        While it waits to send: what it sends.
        """
        channel = self._channel
        if channel is not None and channel.balance > 0:
            assert self._native is not None
            return self._native._value
        return self._tempval

    @tempval.setter
    def tempval(self, value: Any) -> None:
        self._tempval = value

    # ---- What can be set ------------------------------------------------------------------

    @property
    def block_trap(self) -> bool:
        """While it is true, the tasklet gets RuntimeError where it would block."""
        return self._block_trap

    @block_trap.setter
    def block_trap(self, flag: Any) -> None:
        self._block_trap = bool(flag)
        if flag:
            callbacks.look_closer("block_trap", True)

    @property
    def atomic(self) -> bool:
        """Whether run() with a time limit leaves it alone. See set_atomic()."""
        return self._atomic

    def set_atomic(self, flag: Any) -> bool:
        """Have run() with a time limit leave it alone, or not. Returns what held before.

        If its time was over meanwhile, it is interrupted when it can be again.
        """
        before, self._atomic = self._atomic, bool(flag)
        if self._overdue and not flag and self.is_current:
            self._overdue = False
            if self._home.limit is not None:
                self._home.limit.overtime(outer_frame(sys._getframe(1)))
        return before

    @property
    def ignore_nesting(self) -> bool:
        """Whether it may be interrupted inside of calls that come from C, too."""
        return self._ignore_nesting

    def set_ignore_nesting(self, flag: Any) -> bool:
        """Let it be interrupted inside of calls that come from C, or not. Returns what held."""
        before, self._ignore_nesting = self._ignore_nesting, bool(flag)
        return before

    @property
    def context_id(self) -> int:
        """The identity of its contextvars context."""
        return id(self._context_now())

    def set_context(self, context: Context) -> Self:
        """Let it run in another contextvars context.

        Raises RuntimeError while it is scheduled in another thread."""
        if not isinstance(context, Context):
            raise TypeError("tasklet.set_context() argument 1 must be contextvars.Context")
        if self._begun and self.alive:
            if self._home.ident != get_ident() and self.scheduled:
                raise RuntimeError("tasklet belongs to a different thread")
            self._greenlet().gr_context = context
        self._context = context
        return self

    def context_run(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call f(*args, **kwargs) in its contextvars context, here and now."""
        if self.is_current:
            return f(*args, **kwargs)
        return self._context_now().run(f, *args, **kwargs)

    @property
    def trace_function(self) -> Any:
        """sys.gettrace(): trace functions are a thread's, not a tasklet's."""
        return sys.gettrace()

    @trace_function.setter
    def trace_function(self, function: Any) -> None:
        self._check_current("trace_function")
        sys.settrace(function)

    @property
    def profile_function(self) -> Any:
        """sys.getprofile(): profile functions are a thread's, not a tasklet's."""
        return sys.getprofile()

    @profile_function.setter
    def profile_function(self, function: Any) -> None:
        self._check_current("profile_function")
        sys.setprofile(function)

    def _check_current(self, name: str) -> None:
        if not self.is_current:
            raise RuntimeError(
                f"{name} can be set for the current tasklet only: in stock CPython these "
                "functions belong to the thread"
            )

    def _greenlet(self) -> _core.greenlet:
        """That of one that has begun; the main tasklet has none by itself."""
        assert self._native is not None
        return self._native.greenlet or self._home.root

    def _context_now(self) -> Context:
        if not (self._begun and self.alive):
            return self._context
        greenlet = self._greenlet()
        context = greenlet.gr_context
        if context is None:
            context = greenlet.gr_context = Context()
        return context


def outer_frame(frame: FrameType | None) -> FrameType | None:
    """The nearest of a frame and its callers that is the program's own, not ringlet's."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("ringlet."):
        frame = frame.f_back
    return frame

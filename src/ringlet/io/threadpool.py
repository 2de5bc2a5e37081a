"""Running what blocks the thread in another thread."""

import os
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import Future as StandardFuture
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context, copy_context
from typing import Any, ParamSpec, TypeVar

from ringlet.io.arrival import Arrival
from ringlet.io.crew import Crew
from ringlet.io.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Future,
    as_completed,
    await_done,
    wait,
)

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenThreadPool",
    "Future",
    "ThreadPool",
    "as_completed",
    "to_thread",
    "wait",
)

P = ParamSpec("P")
T = TypeVar("T")


def to_thread(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call f(*args, **kwargs) in a thread of a pool, and park the tasklet until it has returned.

    f runs in a copy of the caller's context, and must not touch the caller's tasklets or sockets.
    Returns what f returns or raises what it raises, with the traceback of both threads. When the
    tasklet is killed or cancelled meanwhile, or a timeout() around it is over, f is not called if
    no thread was free yet; else it runs to its end, and nobody learns of it. The end of the
    program waits for it.

    The pool has min(32, CPUs + 4) threads and is shared by all threads of the process. Where f may
    take long, have a ThreadPool of your own, so that others do not wait for yours.
    """
    return _shared_pool().call(f, *args, **kwargs)


class ThreadPool(Executor):
    """A pool of at most `max_workers` threads, by default min(32, CPUs + 4), started when needed.

    An Executor of concurrent.futures, with the arguments of its ThreadPoolExecutor: what waits for
    its futures, and map(), parks the tasklet. Jobs run in a copy of the context of who submits
    them. initializer(*initargs) is called first in each thread; when it raises, the pool is broken.

    A forked child has no threads of its parent's, nor the jobs that wait there: it starts its own.
    At exit the program waits for the jobs, but not with abandoned_at_exit=True: then threads may
    be cut short wherever they are.

    Usable from any thread. `with` shuts it down at its end, and waits for its jobs. One that is
    dropped without ends its threads when their jobs are done.

    Raises ValueError for fewer than 1 thread, TypeError for an initializer that cannot be called.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "ringlet-pool",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        abandoned_at_exit: bool = False,
    ) -> None:
        if max_workers is None:
            max_workers = min(32, (os.cpu_count() or 1) + 4)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        prepare = None
        if initializer is not None:
            if not callable(initializer):
                raise TypeError("initializer must be a callable")
            prepare = _Preparation(initializer, initargs)
        self._crew = Crew(max_workers, thread_name_prefix, prepare, abandoned_at_exit)
        self._gone: StandardFuture[None] = StandardFuture()
        self._crew.when_gone = _Setter(self._gone)

    def __repr__(self) -> str:
        crew = self._crew
        state = "broken" if crew.broken else "shut down" if crew.is_shut else "open"
        return f"<ThreadPool {crew.name}: {crew.size} of {crew.limit} threads, {state}>"

    def __del__(self) -> None:
        crew = getattr(self, "_crew", None)  # __init__ may have raised
        if crew is not None:
            crew.shut()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have fn(*args, **kwargs) called in a thread, and return its future at once.

        Raises RuntimeError when the pool is shut down, and BrokenThreadPool when it is broken.
        """
        self._refuse_when_broken()
        future: Future[T] = Future()
        self._crew.add(_Submitted(future, copy_context(), fn, args, kwargs))
        return future

    def call(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """to_thread(f, *args, **kwargs), in a thread of this pool. Raises as submit() does."""
        self._refuse_when_broken()
        job = _Call(copy_context(), f, args, kwargs)
        try:
            self._crew.add(job)
            job.arrival.wait(f"{getattr(f, '__qualname__', f)} in a thread")
        except BaseException:
            job.withdraw()
            raise
        finally:
            job.arrival.give_up()
        if job.error is None:
            value: T = job.value
            return value
        try:
            raise job.error
        finally:
            del job  # the error holds this frame, which would hold the job, which holds the error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; park until those there are done, unless `wait` is false.

        With `cancel_futures` those that no thread has begun are cancelled.
        """
        self._crew.shut(withdraw=cancel_futures)
        if wait:
            await_done(self._gone)

    def _refuse_when_broken(self) -> None:
        if self._crew.broken is not None:
            raise BrokenThreadPool(
                "A thread initializer failed, the thread pool is not usable anymore"
            ) from self._crew.broken


class _Preparation:
    """Calls an initializer."""

    def __init__(self, initializer: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._initializer = initializer
        self._args = args

    def __call__(self) -> None:
        self._initializer(*self._args)


class _Setter:
    """Sets a future. No reference leads from it to a pool, which may be dropped."""

    def __init__(self, future: StandardFuture[None]) -> None:
        self._future = future

    def __call__(self) -> None:
        if not self._future.done():  # when a forked child says so of threads that it has not
            self._future.set_result(None)


class _Call:
    """A job whose submitter waits for it."""

    __slots__ = ("_todo", "arrival", "error", "value")

    def __init__(
        self,
        context: Context,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        # Whoever pops it has it: a thread to run it, or the submitter to take it back.
        self._todo = [(context, f, args, kwargs)]
        self.arrival = Arrival()
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            context, f, args, kwargs = self._todo.pop()
        except IndexError:
            return
        try:
            self.value = context.run(f, *args, **kwargs)
        except BaseException as error:
            self.error = _without_us(error)
        # What the job was made of ends here, not when somebody has seen what it gave. An error
        # leads to this frame, from which nothing may lead back to it.
        del context, f, args, kwargs
        arrival = self.arrival
        del self
        arrival.announce()

    def fail(self, error: BaseException) -> None:
        if self.withdraw():
            self.error = _broken(error)
            self.arrival.announce()

    def withdraw(self) -> bool:
        try:
            self._todo.pop()
        except IndexError:
            return False
        return True


class _Submitted:
    """A job that has a future."""

    __slots__ = ("_future", "_todo")

    def __init__(
        self,
        future: Future[Any],
        context: Context,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._future = future
        self._todo = (context, f, args, kwargs)

    def run(self) -> None:
        if not self._future.set_running_or_notify_cancel():
            return
        context, f, args, kwargs = self._todo
        del self._todo
        value = failure = None
        try:
            value = context.run(f, *args, **kwargs)
        except BaseException as error:
            failure = _without_us(error)
        del context, f, args, kwargs  # as above
        try:
            if failure is None:
                self._future.set_result(value)
            else:
                self._future.set_exception(failure)
        finally:
            del self, failure

    def fail(self, error: BaseException) -> None:
        if self._future.set_running_or_notify_cancel():
            self._future.set_exception(_broken(error))

    def withdraw(self) -> bool:
        if not self._future.cancel():
            return False
        self._future.set_running_or_notify_cancel()
        return True


def _without_us(error: BaseException) -> BaseException:
    """An error that run() has caught, without run() in its traceback."""
    traceback = error.__traceback__
    return error if traceback is None else error.with_traceback(traceback.tb_next)


def _broken(error: BaseException) -> BrokenThreadPool:
    broken = BrokenThreadPool("A thread initializer failed, the thread pool is not usable anymore")
    broken.__cause__ = error
    return broken


_pool: ThreadPool | None = None


def _shared_pool() -> ThreadPool:
    """The pool of to_thread(), made on first use."""
    global _pool
    if _pool is None:
        _pool = ThreadPool()
    return _pool

"""Threads that run what blocks: a bounded number, started when they are needed.

They are real threads also in a program whose `threading` is patched.
"""

import atexit
import os
import weakref
from _queue import Empty, SimpleQueue
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Protocol

from ringlet.io import native
from ringlet.sched import threads
from ringlet.sched.hub import busy_elsewhere
from ringlet.sched.lifecycle import call_at_the_end

__all__ = ("Crew", "Job")


class Job(Protocol):
    """What a crew runs. None of the three raises anything."""

    def run(self) -> None:
        """Do it. In a thread of the crew; when the program ends and has none, in the caller's."""

    def fail(self, error: BaseException) -> None:
        """It will not be done, because of `error`. In any thread."""

    def withdraw(self) -> bool:
        """Take it back, unless a thread has begun it. Whether it was taken back."""


class Crew:
    """At most `limit` threads, none of them before there is something to do.

    Any thread may use it, and a signal handler.
    """

    # Invariants:
    #   each entry of _idle stands for a thread that waits for a job, and that nobody relies on yet;
    #   _threads has a lock for each thread that is alive, which is released when it ends;
    #   _unfinished is the number of jobs that wait or are being run.

    def __init__(
        self,
        limit: int,
        name: str,
        prepare: Callable[[], object] | None = None,
        abandoned_at_exit: bool = False,
    ) -> None:
        self.limit = limit
        self.name = name
        self.is_shut = False
        #: Why no job can be run any more: what prepare() has raised in a thread.
        self.broken: BaseException | None = None
        #: Called once, in one of the threads or by shut(), when it is shut and no thread is left.
        self.when_gone: Callable[[], object] = _do_nothing
        self._prepare = prepare
        self._abandoned_at_exit = abandoned_at_exit
        self._numbers = count()
        self._forget_threads()
        _crews.add(self)

    def _forget_threads(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle: deque[None] = deque()
        self._threads: dict[int, _Lock] = {}
        self._unfinished = 0
        # Reentrant: a signal handler may come while its own thread has it.
        self._lock = native.RLock()

    @property
    def size(self) -> int:
        """How many threads it has."""
        return len(self._threads)

    @property
    def is_busy(self) -> bool:
        """Whether any job waits or is being run, which may wake anybody."""
        return self._unfinished > 0

    def add(self, job: Job) -> None:
        """Have `job` run as soon as a thread is free.

        Raises RuntimeError when it is shut, or when it has no thread and none can be started.
        """
        with self._lock:
            if self.is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._unfinished += 1
            self._jobs.put(job)
        try:
            self._idle.pop()
        except IndexError:
            self._start_thread(job)

    def _start_thread(self, job: Job) -> None:
        with self._lock:
            if len(self._threads) >= self.limit:
                return
            number = next(self._numbers)
            self._threads[number] = done = native.allocate_lock()
            done.acquire()
            try:
                threads.start_new_thread(_work, (self, number, done))
            except RuntimeError:
                del self._threads[number]
                if self._threads:
                    return
                if not _at_exit:
                    job.withdraw()
                    self.count_end()
                    raise
                # From 3.12 on no thread can be started any more. Blocking is all that is left.
                job.run()
                self.count_end()

    def take(self) -> Job | None:
        """For a thread: wait for the next job. None: there will be none."""
        try:
            job = self._jobs.get_nowait()
        except Empty:
            self._idle.append(None)
            job = self._jobs.get()
        if job is None:
            self._jobs.put(None)  # for the next thread
        return job

    def prepare(self) -> bool:
        """For a thread: make it ready. Whether it is of use."""
        if self._prepare is None or self.broken is not None:
            return self.broken is None
        try:
            self._prepare()
        except BaseException as error:
            self.broken = error
            return False
        return True

    def leave(self, number: int) -> None:
        """For a thread: it ends."""
        with self._lock:
            del self._threads[number]
            gone = self.is_shut and not self._threads
        if self.broken is not None:
            for job in self._drain():  # what comes from now on starts a thread anew
                job.fail(self.broken)
        if gone:
            self.when_gone()

    def _drain(self) -> Iterator[Job]:
        """Take out what no thread has begun."""
        with suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    self.count_end()
                    yield job

    def count_end(self) -> None:
        """One of the jobs is done, or will not be."""
        with self._lock:
            self._unfinished -= 1

    def shut(self, withdraw: bool = False) -> None:
        """Take no more jobs. The threads end when they have done what there is.

        With `withdraw` what no thread has begun is taken back.
        """
        with self._lock:
            is_first, self.is_shut = not self.is_shut, True
            gone = is_first and not self._threads
        if withdraw:
            for job in self._drain():
                job.withdraw()
        self._jobs.put(None)
        if gone:
            self.when_gone()

    def end(self) -> None:
        """At exit: wait until what was begun is done."""
        self.shut()
        if not self._abandoned_at_exit:
            for done in list(self._threads.values()):
                done.acquire()

    def renew(self) -> None:
        """In a forked child: there are no threads, and the jobs are the parent's."""
        self._forget_threads()
        if self.is_shut:
            self.when_gone()


class _Lock(Protocol):
    def acquire(self) -> bool: ...
    def release(self) -> None: ...


def _do_nothing() -> None:
    pass


def _work(crew: Crew, number: int, done: _Lock) -> None:
    """What a thread of a crew does."""
    thread = threads.current_thread()
    thread.name = f"{crew.name}_{number}"
    # While it has nothing to do it wakes nobody; see Hub.other_threads, and below busy_elsewhere.
    thread.ringlet_worker = True  # type: ignore[attr-defined]
    try:
        if crew.prepare():
            while (job := crew.take()) is not None:
                job.run()
                crew.count_end()
                del job  # not while we wait for the next one
    finally:
        # On 3.11 the object outlives the thread, and is the next one's that gets its ident.
        del thread.ringlet_worker  # type: ignore[attr-defined]
        crew.leave(number)
        done.release()


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()
_at_exit = False


def _note_exit() -> None:
    global _at_exit
    _at_exit = True


def _end_all() -> None:
    for crew in list(_crews):
        crew.end()


def _renew_all() -> None:
    for crew in list(_crews):
        crew.renew()


def _is_any_busy() -> bool:
    return any(crew.is_busy for crew in list(_crews))


atexit.register(_note_exit)
busy_elsewhere.append(_is_any_busy)
# Tasklets that are told to end may need a thread for it, so crews go after them.
call_at_the_end(_end_all)
os.register_at_fork(after_in_child=_renew_all)

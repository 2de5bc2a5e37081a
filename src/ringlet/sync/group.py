"""Groups: tasklets that cannot outlive the block that has started them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from ringlet import _core
from ringlet.errors import Cancelled, GreenletExit, TaskletError, TaskletExit
from ringlet.sched import Tasklet, current
from ringlet.sched.threads import get_ident
from ringlet.sched.timeout import cancelled_around
from ringlet.sched.wait import park, wake

__all__ = ("Group",)

P = ParamSpec("P")
T = TypeVar("T")

_SILENT = (TaskletExit, GreenletExit, Cancelled)
_FOR_THE_PROGRAM = (KeyboardInterrupt, SystemExit)


class Group(_core.Scope):
    """`with Group(limit=None) as group: group.spawn(f)` is left when all its tasklets have ended.

    The first that fails cancels the others, and the block; so does an error in the block. When all
    have ended the block raises an ExceptionGroup of what went wrong, the block's own errors among
    it; tasklets that end with TaskletExit, GreenletExit or Cancelled have not failed. A
    KeyboardInterrupt or SystemExit is raised by itself. What is raised in the block while it waits
    at its end does not end that: time limits and cancel() are handed on to the tasklets, kill()
    kills them.

    With a `limit`, spawn() waits while so many tasklets of the group are running. A group is
    entered once. Its methods are for the block and for its tasklets, and everybody else in that
    thread; cancel() is for any thread. Raises ValueError for a limit below 1.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(
                f"limit is a number of tasklets, 1 or more, or None for any number; not {limit!r}"
            )
        self.limit = limit
        self._members: dict[Tasklet[Any], None] = {}
        self._failures: list[BaseException] = []
        # Who waits in spawn(), the first one first; and who waits at the end.
        self._queue: deque[_core.Tasklet[Any]] = deque()
        self._waiting: _core.Tasklet[Any] | None = None
        # Who takes the results of those that imap_unordered() has started.
        self._coming: dict[Tasklet[Any], _Arrivals[Any]] = {}
        self._thread: int | None = None
        self._open = False
        self._leaving = False
        self.cancelled = False

    def __repr__(self) -> str:
        words = [f"<group {id(self):#x}", f"{len(self._members)} tasklets"]
        if self.limit is not None:
            words.append(f"limit {self.limit}")
        if self.cancelled:
            words.append("cancelled")
        return ", ".join(words) + ">"

    def __len__(self) -> int:
        """How many of its tasklets have not ended."""
        return len(self._members)

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> "Group":
        super().__enter__()
        self._thread = get_ident()
        self._open = True
        return self

    # In C, so that whatever a signal handler raises cannot keep it from waiting.
    __exit__ = _core.Scope._exit_waiting

    @property
    def tasklets(self) -> list[Tasklet[Any]]:
        """Those that have not ended, in the order they were spawned."""
        return list(self._members)

    def spawn(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Tasklet[T]:
        """Start a tasklet of the group that calls f(*args, **kwargs). Returns it.

        At the group's limit it waits until another one has ended. In a cancelled group the tasklet
        ends at once, and f is not called. Raises TaskletError outside of the block, and in another
        thread.
        """
        if self.limit is not None and len(self._members) >= self.limit:
            self._wait_for_room(self.limit)
        if not self._open or self.cancelled or get_ident() != self._thread:
            return self._refuse(Tasklet(f, args, kwargs))
        try:
            tasklet: Tasklet[T] = _core.spawn_for(self, self._members, f, *args, **kwargs)
        except BaseException:
            self._admit()  # Room that was ours is another one's.
            raise
        return tasklet

    def map(self, f: Callable[..., T], *iterables: Iterable[Any]) -> list[T]:
        """Call f with the items of `iterables`, each call in a tasklet of the group.

        Returns the results in the order of the items, once there are all of them.
        """
        return [tasklet.result() for tasklet in [self.spawn(f, *x) for x in zip(*iterables)]]  # noqa: B905

    def imap(self, f: Callable[..., T], *iterables: Iterable[Any]) -> Iterator[T]:
        """Like map(), but give each result as soon as it and all before it are there.

        With a limit no more items than that are taken ahead of the result that is asked for;
        without one all are taken when the first result is asked for.
        """
        items = zip(*iterables)  # noqa: B905 (the shortest one ends it, as with map())
        started: deque[Tasklet[T]] = deque()
        for arguments in items:
            started.append(self.spawn(f, *arguments))
            if self.limit is not None and len(started) >= self.limit:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()

    def imap_unordered(self, f: Callable[..., T], *iterables: Iterable[Any]) -> Iterator[T]:
        """Like imap(), but give each result as soon as it is there, in whatever order."""
        results: _Arrivals[T] = _Arrivals()
        underway = 0
        for arguments in zip(*iterables):  # noqa: B905
            tasklet = self.spawn(results.bring, f, arguments)
            if tasklet._error is None:
                self._coming[tasklet] = results
            else:
                results.fail(tasklet._error)
            underway += 1
            if self.limit is not None and underway >= self.limit:
                yield results.take()
                underway -= 1
        for _ in range(underway):
            yield results.take()

    def cancel(self) -> None:
        """Cancel all tasklets of the group, and its block, which is left without an error by that.

        Harmless when repeated. From any thread.
        """
        if self.cancelled:
            return
        self.cancelled = True
        self._cancel_members()
        if not self._leaving:
            self._expire()

    def _cancel_members(self) -> None:
        for tasklet in self.tasklets:
            error = Cancelled()
            error.scope = self
            tasklet._cancel(error)

    def kill(self) -> None:
        """Kill all tasklets of the group, and wait until they have ended; the block goes on.

        One of them that calls it is the last, and raises TaskletExit here.
        """
        me = current()
        others = [tasklet for tasklet in self.tasklets if tasklet is not me]
        self._kill(others)
        for tasklet in others:
            tasklet.join()
        if me in self._members:
            raise TaskletExit

    @staticmethod
    def _kill(tasklets: Iterable[Tasklet[Any]]) -> None:
        for tasklet in tasklets:
            if not tasklet.finished:
                tasklet.kill(wait=False)

    def _refuse(self, tasklet: Tasklet[T]) -> Tasklet[T]:
        if not self._open:
            raise TaskletError(f"cannot spawn in {self!r} outside of its block: use it as `with`")
        if get_ident() != self._thread:
            raise TaskletError(
                f"cannot spawn in {self!r} of thread {self._thread} from thread {get_ident()}"
            )
        error = Cancelled()
        error.scope = self
        tasklet._discard(error)
        return tasklet

    def _wait_for_room(self, limit: int) -> None:
        me = current()
        while len(self._members) >= limit:
            self._queue.append(me)
            try:
                park(self, partial(self._queue.remove, me))
            except BaseException:
                self._admit()  # Room that we were woken for is another one's now.
                raise

    def _admit(self) -> None:
        """Wake the first who waits for room, if there is any; all where nobody gets in any more."""
        is_shut = self.cancelled or not self._open
        while self._queue and (is_shut or self.limit is None or len(self._members) < self.limit):
            if wake(self._queue.popleft()) and not is_shut:
                return

    def _ended(self, tasklet: Tasklet[Any], error: BaseException | None) -> None:
        """For the core: a tasklet is about to end. May be called again if this was interrupted."""
        self._members.pop(tasklet, None)
        if self._coming:
            taker = self._coming.pop(tasklet, None)
            if taker is not None and error is not None:
                taker.fail(error)
        if error is not None and not isinstance(error, _SILENT):
            if not any(error is known for known in self._failures):
                self._failures.append(error)
            self.cancel()
        if self._queue:
            self._admit()
        if not self._members and self._waiting is not None:
            wake(self._waiting)

    def _wait(self, errors: list[BaseException | None]) -> None:
        """For the core: wait until no tasklet is left. `errors` are what the block has ended with
        and what has been raised here.
        """
        self._leaving = True
        last = errors[-1]
        if isinstance(last, TaskletExit) or (len(errors) > 2 and not isinstance(last, Cancelled)):
            self._kill(self.tasklets)
        elif last is not None:
            self.cancelled = True
            self._cancel_members()
        self._forget_lost()
        while self._members:
            self._waiting = current()
            try:
                park(self)
            finally:
                self._waiting = None
        self._open = False
        self._admit()

    def _forget_lost(self) -> None:
        """In a forked child: the tasklets that the parent had are no more."""
        for tasklet in self.tasklets:
            if tasklet.finished:
                self._members.pop(tasklet, None)

    def _outcome(self, errors: list[BaseException | None]) -> bool:
        """For the core: raise what the block is to raise, or say whether to swallow its error."""
        body = errors[0]
        raised = [error for error in errors if error is not None]
        wrong = list(self._failures)
        wrong += [
            error
            for error in raised
            if isinstance(error, Exception) and not any(error is known for known in wrong)
        ]
        exits = [error for error in raised if not isinstance(error, Exception)]
        own = isinstance(body, Cancelled) and body.scope is self
        if own:
            assert body is not None
            exits.remove(body)
            if around := cancelled_around(self, body):
                exits.append(around)
        urgent = [error for error in wrong + exits if isinstance(error, _FOR_THE_PROGRAM)]
        if urgent:
            others = [error for error in wrong if error not in urgent]
            raise urgent[0] from (self._as_group(others) if others else urgent[0].__cause__)
        if wrong:
            raise self._as_group(wrong) from None
        # What kills comes before what cancels.
        exits.sort(key=lambda error: isinstance(error, Cancelled))
        if exits and exits[0] is not body:
            raise exits[0]
        return own

    def _as_group(self, errors: list[BaseException]) -> BaseException:
        return BaseExceptionGroup(f"{len(errors)} failed in {self!r}", errors)


class _Arrivals(Generic[T]):
    """Results in the order in which they came."""

    def __init__(self) -> None:
        self._outcomes: deque[tuple[T, None] | tuple[None, BaseException]] = deque()
        self._waiting: _core.Tasklet[Any] | None = None

    def __repr__(self) -> str:
        return "the next result of imap_unordered()"

    def bring(self, f: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        """Call f(*arguments); what that returns is the next result."""
        self._add((f(*arguments), None))

    def fail(self, error: BaseException) -> None:
        """Let the next result be that one has ended by `error`, perhaps before it began.

        Who waits for it may be no part of the group, and is told by this alone.
        """
        self._add((None, error))

    def _add(self, outcome: tuple[T, None] | tuple[None, BaseException]) -> None:
        self._outcomes.append(outcome)
        if self._waiting is not None:
            wake(self._waiting)

    def take(self) -> T:
        """The next result; waits for it."""
        while not self._outcomes:
            self._waiting = current()
            try:
                park(self)
            finally:
                self._waiting = None
        value, error = self._outcomes.popleft()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

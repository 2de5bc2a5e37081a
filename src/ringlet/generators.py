"""Generators without `yield`: any function, however deep in calls, can yield to its consumer.

The body runs on a greenlet of its own, as part of the tasklet that asks for the next value. So a
body may block; its consumer then waits with it.
"""

import contextlib
import contextvars
import enum
import functools
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, NoReturn, ParamSpec, Self, TypeVar

from ringlet.core import GreenletError, GreenletExit, getcurrent, greenlet

__all__ = ("Generator", "generator", "iterate", "yield_", "yield_from")

P = ParamSpec("P")
T = TypeVar("T")


class _Body(greenlet):
    """The greenlet of a generator's body. It does not know the Generator, which thus can be
    dropped while the body is suspended.
    """

    # The greenlet that the body has made and that called yield_(); None: this one.
    inner: greenlet | None = None


class _State(enum.Enum):
    NEW = "new"
    SUSPENDED = "suspended"  # in yield_()
    RUNNING = "running"  # or parked in a blocking call, or waiting for a generator that it asks
    FINISHED = "finished"


# As names of the module, because looking up a member of an enumeration costs as much as a switch.
_NEW, _SUSPENDED, _RUNNING, _FINISHED = _State


class Generator(Generic[T]):
    """What a generator function returns: an iterator with send(), throw() and close().

    Belongs to the thread that takes the first value: others get an error and may only drop it.
    Raises ValueError when it is asked for a value while its body runs, or is parked in a blocking
    call. The tasklets of its thread may take turns in asking. Dropping it ends the body; but the
    collector does not see what a suspended body refers to, so one that refers to its own Generator
    stays until somebody closes it.
    """

    __slots__ = ("__weakref__", "_args", "_body", "_context", "_function", "_kwargs", "_state")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._function = function
        self._args, self._kwargs = args, kwargs  # of the call; not kept once it has begun
        self._state = _NEW
        # Made by the first step. To hang a greenlet below another later takes a walk through all
        # its ancestors, and generators that ask each other may be nested very deep.
        self._body: _Body
        # The consumer's at the last step: the body stands in it, or in one that it has entered.
        self._context: contextvars.Context

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        return f"<generator {name} {self._state.value}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return self._go_on(None) if self._state is _SUSPENDED else self._begin(None)

    def send(self, value: Any) -> T:
        """Go on with the body, where yield_() returns `value`. Returns the next value yielded.

        Raises StopIteration with what the body returned, when it ends; TypeError when `value` is
        not None and the body has not yet come to a yield_() that could return it.
        """
        return self._go_on(value) if self._state is _SUSPENDED else self._begin(value)

    def throw(
        self,
        typ: BaseException | type[BaseException],
        val: Any = None,
        tb: TracebackType | None = None,
    ) -> T:
        """Raise an exception in the body where it yielded. Returns the next value yielded.

        One that has not begun is over then, one that is over stays so; both raise the exception.
        """
        if self._state is _SUSPENDED:
            return self._go_on(None, (typ, val, tb))
        self._refuse_if_running()
        self._finish()
        error = typ if isinstance(typ, BaseException) else typ() if val is None else typ(val)
        raise error.with_traceback(tb) if tb else error

    def close(self) -> Any:
        """End the body by raising GeneratorExit where it yielded. Twice is harmless.

        Returns what the body returned, if it did so instead of letting GeneratorExit pass. Raises
        RuntimeError when it yields another value all the same.
        """
        try:
            self.throw(GeneratorExit)
        except GeneratorExit:
            return None
        except StopIteration as stop:
            return stop.value
        raise RuntimeError("generator ignored GeneratorExit")

    def __del__(self) -> None:
        if self._state is _SUSPENDED:
            # Dropped by another thread, it is ended when its own thread switches next.
            with contextlib.suppress(GreenletError, ValueError):
                self.close()

    def _begin(self, value: Any) -> T:
        """The first step."""
        self._refuse_if_running()
        if self._state is _FINISHED:
            raise StopIteration
        if value is not None:
            raise TypeError("can't send non-None value to a just-started generator")
        consumer = getcurrent()
        self._body = body = _Body(self._function)  # below the consumer
        self._context = body.gr_context = _context_of(consumer)
        args, kwargs = self._args, self._kwargs
        self._args, self._kwargs = (), {}
        self._state = _RUNNING
        try:
            value = body.switch(*args, **kwargs)
        except StopIteration as error:
            raise RuntimeError("generator raised StopIteration") from error
        finally:
            self._state = _FINISHED if body.dead else _SUSPENDED
        return value if self._state is _SUSPENDED else self._end(value)  # type: ignore[no-any-return]

    def _go_on(self, value: Any, thrown: tuple[Any, ...] = ()) -> T:
        """A step from yield_() on, which returns `value`, or raises what throw() takes."""
        body, consumer = self._body, getcurrent()
        if body.parent is not consumer:
            body.parent = consumer
        resumed = body if body.inner is None else body.inner
        if (context := consumer.gr_context) is not self._context:
            self._context = resumed.gr_context = context or _context_of(consumer)
        self._state = _RUNNING
        try:
            value = resumed.throw(*thrown) if thrown else resumed.switch(value)
        except StopIteration as error:
            raise RuntimeError("generator raised StopIteration") from error
        finally:
            self._state = _FINISHED if body.dead else _SUSPENDED
        return value if self._state is _SUSPENDED else self._end(value)  # type: ignore[no-any-return]

    def _end(self, value: Any) -> NoReturn:
        """Raise the exception that a result is for the consumer."""
        # The greenlet takes this one for a result, since nothing is wrong with ending by it.
        if isinstance(value, GreenletExit):
            raise value
        raise StopIteration(value)

    def _finish(self) -> None:
        self._state = _FINISHED
        self._args, self._kwargs = (), {}

    def _refuse_if_running(self) -> None:
        if self._state is _RUNNING:
            raise ValueError("generator already executing")


def _context_of(consumer: greenlet) -> contextvars.Context:
    """The context of the running greenlet; one that has none yet gets it now."""
    context = consumer.gr_context
    if context is None:
        context = consumer.gr_context = contextvars.Context()
    return context


def generator(f: Callable[P, Any]) -> Callable[P, Generator[Any]]:
    """Make calls of f return a Generator, whose values f and all it calls give with yield_()."""

    @functools.wraps(f)
    def start(*args: P.args, **kwargs: P.kwargs) -> Generator[Any]:
        return Generator(f, args, kwargs)

    return start


def iterate(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Generator[Any]:
    """A Generator of what f(*args, **kwargs), and all it calls, gives with yield_()."""
    return Generator(f, args, kwargs)


def yield_(value: Any = None) -> Any:
    """Give `value` to the consumer of the innermost running generator, and wait to be asked again.

    Returns what the consumer gave to send(). Raises RuntimeError outside of a generator's body, and
    whatever the consumer throws, GeneratorExit when it closes the generator.
    """
    here = getcurrent()
    body: greenlet | None = here
    while not isinstance(body, _Body):
        if body is None:
            raise RuntimeError("yield_() was called outside of a generator's body")
        body = body.parent
    inner = None if here is body else here
    if body.inner is not inner:
        body.inner = inner
    consumer = body.parent
    assert consumer is not None
    # A reference from its own suspended stack would keep the greenlet of one alive that is dropped.
    del body, here, inner
    return consumer.switch(value)


def yield_from(values: Iterable[Any]) -> Any:
    """Yield all of `values`, handing on what the consumer sends and throws, as `yield from` does.

    Returns what the iterator returned.
    """
    iterator: Any = iter(values)
    try:
        value = next(iterator)
        while True:
            try:
                sent = yield_(value)
            except GeneratorExit:
                if hasattr(iterator, "close"):
                    iterator.close()
                raise
            except BaseException as error:
                if not hasattr(iterator, "throw"):
                    raise
                value = iterator.throw(error)
            else:
                value = next(iterator) if sent is None else iterator.send(sent)
    except StopIteration as stop:
        return stop.value

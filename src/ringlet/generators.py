"""Generators without `yield`: any function, however deep in calls, can yield to its consumer.

The body runs on a greenlet of its own, as part of the tasklet that asks for the next value. So a
body may block; its consumer then waits with it.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from ringlet.core import GreenletError, getcurrent, greenlet

__all__ = ("Generator", "generator", "iterate", "yield_", "yield_from")

P = ParamSpec("P")
T = TypeVar("T")


class _Progress:
    """How far a body has come. The body's frames know this and not their greenlet: a reference to
    that from its own suspended stack would keep it alive when the Generator is gone.
    """

    __slots__ = ("finished",)

    def __init__(self) -> None:
        self.finished = False

    def run(self, function: Callable[[], Any], _first: None) -> Any:
        try:
            return function()
        except StopIteration as error:
            raise RuntimeError("generator raised StopIteration") from error
        finally:
            self.finished = True


class _Body(greenlet):
    """The greenlet of a generator's body. It does not know the Generator, which thus can be
    dropped while the body is suspended.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.progress = _Progress()
        super().__init__(functools.partial(self.progress.run, function))
        # The greenlet that the body has made and that called yield_(); None: this one.
        self.inner: greenlet | None = None

    @property
    def resume(self) -> greenlet:
        return self if self.inner is None else self.inner


class Generator(Generic[T]):
    """What a generator function returns: an iterator with send(), throw() and close().

    Belongs to the thread that takes the first value. Raises ValueError when it is asked for a value
    while its body runs, or is parked in a blocking call.
    """

    __slots__ = ("__weakref__", "_body", "_executing", "_name", "_progress", "_started")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._body = _Body(functools.partial(function, *args, **kwargs))
        self._progress = self._body.progress
        self._name = getattr(function, "__qualname__", repr(function))
        self._executing = self._started = False

    def __repr__(self) -> str:
        state = (
            "running"
            if self._executing
            else "finished"
            if self._progress.finished
            else "suspended"
            if self._started
            else "new"
        )
        return f"<generator {self._name} {state}>"

    def __iter__(self) -> "Generator[T]":
        return self

    def __next__(self) -> T:
        return self.send(None)

    def send(self, value: Any) -> T:
        """Go on with the body, where yield_() returns `value`. Returns the next value yielded.

        Raises StopIteration with what the body returned, when it ends.
        """
        if not self._started and value is not None:
            raise TypeError("can't send non-None value to a just-started generator")
        if self._progress.finished and not self._executing:
            raise StopIteration
        return self._step(self._body.resume.switch, value)

    def throw(
        self,
        typ: BaseException | type[BaseException],
        val: Any = None,
        tb: TracebackType | None = None,
    ) -> T:
        """Raise an exception in the body where it yielded. Returns the next value yielded."""
        if not self._started and not self._executing:
            self._progress.finished = True
        if self._progress.finished and not self._executing:
            error = typ if isinstance(typ, BaseException) else typ() if val is None else typ(val)
            raise error.with_traceback(tb) if tb else error
        return self._step(self._body.resume.throw, typ, val, tb)

    def close(self) -> None:
        """End the body by raising GeneratorExit where it yielded. Twice is harmless.

        Raises RuntimeError when the body yields another value all the same.
        """
        try:
            self.throw(GeneratorExit)
        except (GeneratorExit, StopIteration):
            return
        raise RuntimeError("generator ignored GeneratorExit")

    def __del__(self) -> None:
        if self._started and not self._executing and not self._progress.finished:
            # Dropped by another thread, it is ended when its own thread switches next.
            with contextlib.suppress(GreenletError, ValueError):
                self.close()

    def _step(self, enter: Callable[..., Any], *args: Any) -> T:
        """Run the body until it yields (then returns that), returns or raises."""
        if self._executing:
            raise ValueError("generator already executing")
        body, consumer = self._body, getcurrent()
        if consumer.gr_context is None:
            consumer.gr_context = contextvars.Context()
        self._executing = self._started = True
        try:
            body.parent = consumer
            body.resume.gr_context = consumer.gr_context
            value = enter(*args)
        finally:
            self._executing = False
        if self._progress.finished:
            raise StopIteration(value)
        return value  # type: ignore[no-any-return]


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
    body.inner = None if here is body else here
    consumer = body.parent
    assert consumer is not None
    del body, here  # See _Progress.
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

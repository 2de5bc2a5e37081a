"""Channels. The exchange between two tasklets is in C (corelib/channel.c); all else is here."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

from ringlet import _core
from ringlet.errors import ChannelClosed, Timeout, WouldBlock
from ringlet.sched import wait

__all__ = ("Channel",)

T = TypeVar("T")

# Reasons to leave the fast path, as bits of _slow.
_CLOSED = 1
_BUFFERED = 2


class Channel(_core.Channel[T]):
    """Channel(buffer=0, preference=-1): where one tasklet hands a value to another.

    Without a buffer a sender waits until a receiver has taken its value. With one, up to `buffer`
    values (None: any number) wait in it, and a sender waits only when it is full. `preference` says
    who runs first after an exchange: -1 the receiver, 1 the sender, 0 who runs already. Tasklets of
    different threads may use the same channel; the other side is then woken, never run at once.

    Iterating receives until the channel is closed and drained. len() is the number of buffered
    values. Those who wait are served in the order they came.
    """

    __slots__ = ("_buffer", "_capacity")

    def __init__(self, buffer: int | None = 0, preference: int = -1) -> None:
        if buffer is not None and (not isinstance(buffer, int) or buffer < 0):
            raise ValueError(
                f"buffer is a number of values, 0 or more, or None for any number; not {buffer!r}"
            )
        self.preference = preference
        self._capacity = buffer
        # Each value with whether it is to be raised.
        self._buffer: deque[tuple[Any, bool]] = deque()
        if buffer != 0:
            self._slow |= _BUFFERED

    def __repr__(self) -> str:
        words = [f"<channel {id(self):#x}, balance {self.balance}"]
        if self._buffer:
            words.append(f"{len(self._buffer)} buffered")
        if self.closed:
            words.append("closed")
        return ", ".join(words) + ">"

    def __len__(self) -> int:
        return len(self._buffer)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self.receive()
        except ChannelClosed:
            if not self.closed:
                raise
            raise StopIteration from None

    @property
    def closed(self) -> bool:
        """Whether close() was called, and open() not since."""
        return bool(self._slow & _CLOSED)

    def close(self) -> None:
        """Let nothing more be sent. Twice is harmless.

        Waiting receivers get ChannelClosed. What senders wait with and what is buffered can still
        be received.
        """
        if self.closed:
            return
        self._slow |= _CLOSED
        if self.balance < 0:
            for receiver in self._waiters():
                _core.interrupt(receiver, ChannelClosed(f"{self!r} was closed"))

    def open(self) -> None:
        """Undo close()."""
        self._slow &= ~_CLOSED

    def send_nowait(self, value: T) -> None:
        """Like send(), but raises WouldBlock where that would wait."""
        self._check_open()
        if not self._put(value, False):
            raise WouldBlock(f"nobody waits to receive from {self!r}")

    def receive_nowait(self) -> T:
        """Like receive(), but raises WouldBlock where that would wait."""
        if self._buffer or self.balance > 0 or self.closed:
            return self.receive()
        raise WouldBlock(f"nobody waits to send to {self!r}")

    def send_exception(
        self, error: BaseException | type[BaseException], timeout: float | None = None
    ) -> None:
        """Send what the receiver is to raise. Otherwise like send()."""
        exception = error() if isinstance(error, type) else error
        if not isinstance(exception, BaseException):
            raise TypeError(f"send_exception() wants an exception, not {error!r}")
        self._check_open()
        if not self._put(exception, True):
            self._wait(lambda: self._send_error(exception), timeout)

    def send_sequence(self, values: Iterable[T]) -> int:
        """Send all of `values`, one after the other. Returns how many."""
        count = 0
        for count, value in enumerate(values, 1):  # noqa: B007 (what is left of it counts)
            self.send(value)
        return count

    def _check_open(self) -> None:
        if self.closed:
            raise ChannelClosed(f"cannot send on {self!r}: open() it first, or use another one")

    def _put(self, value: Any, is_error: bool) -> bool:
        """Send without waiting: to a waiting receiver, or to the buffer. Whether it was done."""
        if self.balance < 0:
            if is_error:
                self._send_error(value)
            else:
                self._send(value)
            return True
        if self._capacity is None or len(self._buffer) < self._capacity:
            self._buffer.append((value, is_error))
            return True
        return False

    def _wait(self, exchange: Callable[[], object], timeout: float | None) -> None:
        """Do an exchange that waits, but no longer than `timeout` seconds."""
        if timeout is None:
            exchange()
        elif not wait.attempt(exchange, timeout, self):
            raise Timeout(f"nobody was ready at {self!r} within {timeout:g} s")

    def _send_slowly(self, value: T, timeout: float | None = None) -> None:
        """send() with a time limit, a buffer, or a closed channel."""
        self._check_open()
        wait.check_timeout(timeout)
        if not self._put(value, False):
            self._wait(lambda: self._send(value), timeout)

    def _receive_slowly(self, timeout: float | None = None) -> T:
        """receive() with a time limit, a buffer, or a closed channel."""
        wait.check_timeout(timeout)
        if self._buffer:
            value, is_error = self._buffer.popleft()
            if self.balance > 0:
                # There is room now for what the first waiting sender brings.
                self._buffer.append(self._take())
            if is_error:
                raise value
            return value  # type: ignore[no-any-return]
        if self.balance > 0:
            return self._receive()
        if self.closed:
            raise ChannelClosed(f"cannot receive from {self!r}: nothing is left in it")
        received: list[T] = []
        self._wait(lambda: received.append(self._receive()), timeout)
        return received[0]

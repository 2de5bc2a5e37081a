"""Channels. The exchange between two tasklets is in C (corelib/channel.c); all else is here."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ringlet import _core
from ringlet.errors import ChannelClosed, Timeout
from ringlet.sched import wait

__all__ = ("Channel",)

T = TypeVar("T")

_NOTHING: Any = object()


class Channel(_core.Channel[T]):
    """Channel(buffer=0, preference=-1): where one tasklet hands a value to another.

    Without a buffer a sender waits until a receiver has taken its value. With one, up to `buffer`
    values (None: any number) wait in it, and a sender waits only when it is full. `preference` says
    who runs first after an exchange: -1 the receiver, 1 the sender, 0 who runs already. Tasklets of
    different threads may use the same channel; the other side is then woken, never run at once.

    Iterating receives until the channel is closed and drained. len() is the number of buffered
    values. Those who wait are served in the order they came. select() waits at several channels.

    An operation that is cancelled or whose time is over has transferred nothing. What a receiver
    had been handed goes with it if it is killed before its turn comes.
    """

    __slots__ = ()

    def __init__(self, buffer: int | None = 0, preference: int = -1) -> None:
        if buffer is not None and (not isinstance(buffer, int) or buffer < 0):
            raise ValueError(
                f"buffer is a number of values, 0 or more, or None for any number; not {buffer!r}"
            )
        self.preference = preference
        self._capacity = -1 if buffer is None else min(buffer, sys.maxsize)

    def __repr__(self) -> str:
        words = [f"<channel {id(self):#x}, balance {self.balance}"]
        if len(self):
            words.append(f"{len(self)} buffered")
        if self.closed:
            words.append("closed")
        return ", ".join(words) + ">"

    def close(self) -> None:
        """Let nothing more be sent. Twice is harmless.

        Waiting receivers get ChannelClosed. What senders wait with and what is buffered can still
        be received. From any thread and tasklet; never switches.
        """
        self._closed = True
        while self._refuse_receiver(ChannelClosed(f"{self!r} was closed")):
            pass

    def open(self) -> None:
        """Undo close()."""
        self._closed = False

    def send_exception(
        self, error: BaseException | type[BaseException], timeout: float | None = None
    ) -> None:
        """Send what the receiver is to raise. Otherwise like send()."""
        exception = error() if isinstance(error, type) else error
        if not isinstance(exception, BaseException):
            raise TypeError(f"send_exception() wants an exception, not {error!r}")
        self._send_within(exception, True, timeout)

    def send_sequence(self, values: Iterable[T]) -> int:
        """Send all of `values`, one after the other. Returns how many."""
        count = 0
        for count, value in enumerate(values, 1):  # noqa: B007 (what is left of it counts)
            self.send(value)
        return count

    def _send_in_time(self, value: T, timeout: float | None = None) -> None:
        """send() with a time limit."""
        self._send_within(value, False, timeout)

    def _send_within(self, value: Any, is_error: bool, timeout: float | None) -> None:
        wait.check_timeout(timeout)
        if not self._try_send(value, is_error):
            self._wait(lambda: self._send(value, is_error), timeout)

    def _receive_in_time(self, timeout: float | None = None) -> T:
        """receive() with a time limit."""
        wait.check_timeout(timeout)
        value = self._try_receive(_NOTHING)
        if value is _NOTHING:
            received: list[T] = []
            self._wait(lambda: received.append(self.receive()), timeout)
            return received[0]
        return value

    def _wait(self, exchange: Callable[[], object], timeout: float | None) -> None:
        """Do an exchange that waits, but no longer than `timeout` seconds."""
        if timeout is None:
            exchange()
        elif not wait.attempt(exchange, timeout, self):
            raise Timeout(f"nobody was ready at {self!r} within {timeout:g} s")

"""Stackless's channels: the exchange is the core's, the rules around it are here."""

from collections.abc import Iterable
from typing import Any, Self

from ringlet import _core
from ringlet.compat.stackless.exits import bomb, make_exception
from ringlet.compat.stackless.scheduler import callbacks, here
from ringlet.compat.stackless.tasklets import check_trap, getcurrent, of, tasklet
from ringlet.sched import wait

__all__ = ("channel",)

_SENDING, _RECEIVING = 1, -1

# The exchange itself.
_send, _receive = _core.Channel.send, _core.Channel.receive


class channel(_core.Channel[Any]):  # noqa: N801 (Stackless's name)
    """channel(): where tasklets meet, one to send a value and one to receive it.

    From any thread. Any arguments are ignored.
    """

    __slots__ = ("_preference", "_schedule_all")

    #: How ringlet's own parts tell it from their channels.
    is_stackless = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        here()  # decides what happens when nobody else can run
        self = super().__new__(cls)
        self._preference = -1
        self._schedule_all = False
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ", closing" if self.closing else ""
        return f"<channel at {id(self):#x}, balance {self.balance}{state}>"

    def __reduce__(self) -> Any:
        if self.balance:
            raise RuntimeError(
                f"cannot pickle {self!r}: the tasklets in its queue have begun to run, and their "
                "stacks are C's"
            )
        return type(self), (), (self._preference, self._schedule_all, self.closing)

    def __setstate__(self, state: Any) -> None:
        self.preference, self.schedule_all, self._closed = state

    # ---- Attributes ------------------------------------------------------------------------

    @property
    def preference(self) -> int:
        """Who runs first after an exchange: -1 the receiver, 1 the sender, 0 who runs already."""
        return self._preference

    @preference.setter
    def preference(self, value: int) -> None:
        if not isinstance(value, int):
            raise TypeError("preference must be set to an integer")
        self._preference = (value > 0) - (value < 0)
        self._set_core()

    @property
    def schedule_all(self) -> bool:
        """Whether after an exchange the next in the round runs, whatever the preference."""
        return self._schedule_all

    @schedule_all.setter
    def schedule_all(self, flag: int) -> None:
        if not isinstance(flag, int):
            raise TypeError("schedule_all must be set to a bool or integer")
        self._schedule_all = bool(flag)
        self._set_core()

    def _set_core(self) -> None:
        """Tell the core who is to run first."""
        setter: Any = _core.Channel.preference
        setter.__set__(self, 0 if self._schedule_all else self._preference)

    @property
    def closing(self) -> bool:
        """Whether close() was called, and open() not since."""
        return self._closed

    @property
    def closed(self) -> bool:
        """Whether it is closing, and nobody waits in it."""
        return self.closing and self.balance == 0

    @property
    def queue(self) -> tasklet | None:
        """The tasklet that has waited longest, if any."""
        waiters = self._waiters()
        return of(waiters[0]) if waiters else None

    # ---- Operations ------------------------------------------------------------------------

    def close(self) -> None:
        """Let nobody wait in it any more; who waits already goes on waiting."""
        self._closed = True

    def open(self) -> None:
        """Undo close()."""
        self._closed = False

    def send_exception(self, cls: type[BaseException], *args: Any) -> None:
        """Send what the receiver is to raise: cls(*args)."""
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise TypeError(
                "channel.send_exception needs Exception or string subclass as first parameter"
            )
        self.send(bomb(cls, cls(*args)))

    def send_throw(self, exc: Any, val: Any = None, tb: Any = None) -> None:
        """Send what the receiver is to raise: what `raise` would make of these three."""
        error = make_exception(exc, val, tb)
        self.send(bomb(type(error), error, tb))

    def send_sequence(self, values: Iterable[Any]) -> int:
        """Send all of `values`, one after the other. Returns how many."""
        count = 0
        for value in values:
            self.send(value)
            count += 1
        return count

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self.closing and self.balance <= 0:
            raise StopIteration
        return self.receive()

    def send(self, value: Any) -> None:  # type: ignore[override]  # no time limit
        """Hand `value` to a receiver; wait for one if there is none. A bomb is raised there."""
        if callbacks.unusual or self._schedule_all or self._closed or isinstance(value, bomb):
            self._send_unusually(value)
        else:
            _send(self, value)

    def receive(self) -> Any:  # type: ignore[override]  # no time limit
        """Take what a sender has brought; wait for one if there is none."""
        if callbacks.unusual or self._schedule_all or self._closed:
            return self._receive_unusually()
        return _receive(self)

    def _send_unusually(self, value: Any) -> None:
        me = getcurrent()
        meets = self.balance < 0
        self._prepare(me, _SENDING, meets, value)
        if isinstance(value, bomb):
            self._send(value.exception(), True)
        else:
            _send(self, value)
        self._finish(me, meets)

    def _receive_unusually(self) -> Any:
        me = getcurrent()
        meets = self.balance > 0
        self._prepare(me, _RECEIVING, meets, None)
        value = _receive(self)
        self._finish(me, meets)
        return value

    def _prepare(self, me: tasklet, direction: int, meets: bool, value: Any) -> None:
        """Before an exchange, at once (`meets`) or after a wait: raise what forbids it."""
        if not meets:
            if me.block_trap:
                raise RuntimeError("this tasklet does not like to be blocked.")
            if self.closing:
                raise ValueError("Send/receive operation on a closed channel")
            check_trap()
        elif _core.switch_trap() and self._switches(direction):
            check_trap()
        me.tempval = value
        if callbacks.channel is not None:
            self._tell(me, direction, meets)

    def _finish(self, me: tasklet, meets: bool) -> None:
        """After an exchange."""
        me.tempval = None
        if meets and self._schedule_all:
            wait.schedule()

    def _switches(self, direction: int) -> bool:
        """Whether an exchange with who waits switches to another tasklet."""
        if self._schedule_all:
            return _core.others_ready() or not self._waiters()[0].is_foreign
        return self._preference == -direction and not self._waiters()[0].is_foreign

    def _tell(self, me: tasklet, direction: int, meets: bool) -> None:
        """Call the channel callback."""
        scheduler = here()
        if scheduler.in_channel_callback:
            raise RuntimeError("Recursive channel call due to callbacks!")
        scheduler.in_channel_callback = True
        try:
            assert callbacks.channel is not None
            callbacks.channel(self, me, int(direction == _SENDING), int(not meets))
        finally:
            scheduler.in_channel_callback = False

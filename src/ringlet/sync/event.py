"""Events. Setting and waiting is in C (corelib/event.c)."""

from ringlet import _core
from ringlet.sched import wait
from ringlet.sync.waiting import Statistics, name_of, words_on_waiting

__all__ = ("Event",)


class Event(_core.Event):
    """Event(): what all wait for until it is set, as threading.Event.

    wait() that had begun when it was set returns True, even if it is cleared at once.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{name_of(self)} at {id(self):#x}: {state}{words_on_waiting(self.waiting)}>"

    @property
    def statistics(self) -> Statistics:
        """What has happened to it since it was made; it cannot be acquired."""
        return Statistics(*self._counts())

    def _wait_in_time(self, timeout: float | None = None) -> bool:
        """wait() with a time limit."""
        seconds = wait.check_timeout(timeout)
        return self.is_set() or wait.attempt(super().wait, seconds, self)

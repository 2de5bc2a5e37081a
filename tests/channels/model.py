"""What channels and select() do, told in the simplest way, without tasklets or preferences.

An operation is a select of one arm or more; it is done at once, or waits in the queue of each arm's
channel until somebody else does it, or something ends it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

# What an operation comes to: the arm's index, and what was received or None; or why it was not
# done, and the arm's index where that matters.
Outcome = tuple[object, object]


@dataclass(eq=False)
class Arm:
    """One arm: a value to be sent, or None to receive."""

    channel: "ModelChannel"
    value: int | None = None


@dataclass(eq=False)
class Operation:
    """Something that somebody does at channels."""

    name: int
    arms: list[Arm]
    deadline: float | None = None
    # Whether what it sends is to be raised.
    is_error: bool = False
    outcome: Outcome | None = None


@dataclass(eq=False)
class ModelChannel:
    """A channel: its buffer, and who waits with which arm."""

    capacity: int | None
    buffer: deque[tuple[int, bool]] = field(default_factory=deque)
    senders: deque[tuple[Operation, int]] = field(default_factory=deque)
    receivers: deque[tuple[Operation, int]] = field(default_factory=deque)
    closed: bool = False

    @property
    def has_room(self) -> bool:
        """Whether the buffer takes one more."""
        return self.capacity is None or len(self.buffer) < self.capacity

    @property
    def balance(self) -> int:
        """Waiting senders minus waiting receivers."""
        return len(self.senders) - len(self.receivers)

    @property
    def waiters(self) -> list[int]:
        """Who waits, by name."""
        return [operation.name for operation, _ in (*self.senders, *self.receivers)]


def received(index: int, value: int, is_error: bool) -> Outcome:
    """What a receiver makes of what was sent."""
    return ("raised", value) if is_error else (index, value)


class Model:
    """All operations, and those of them that wait."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: dict[int, Operation] = {}

    def start(self, operation: Operation, may_wait: bool = True) -> None:
        """Do it with the first arm that is ready; else wait, or say that it would."""
        for index, arm in enumerate(operation.arms):
            done = self._receive if arm.value is None else self._send
            if done(operation, index, arm):
                return
        if not may_wait:
            operation.outcome = ("would wait", None)
        elif operation.deadline is not None and operation.deadline <= self.now:
            operation.outcome = ("Timeout", None)
        else:
            self.waiting[operation.name] = operation
            for index, arm in enumerate(operation.arms):
                queue = arm.channel.receivers if arm.value is None else arm.channel.senders
                queue.append((operation, index))

    def end(self, operation: Operation, outcome: Outcome) -> None:
        """It has been done, or is given up: it waits nowhere any more."""
        operation.outcome = outcome
        self.waiting.pop(operation.name, None)
        for arm in operation.arms:
            for queue in (arm.channel.senders, arm.channel.receivers):
                for place in [place for place in queue if place[0] is operation]:
                    queue.remove(place)

    def close(self, channel: ModelChannel) -> None:
        """Close a channel: who waits to receive is told."""
        channel.closed = True
        while channel.receivers:
            operation, index = channel.receivers[0]
            self.end(operation, ("ChannelClosed", index))

    def expire(self) -> Iterable[Operation]:
        """End those whose time is over."""
        for operation in list(self.waiting.values()):
            if operation.deadline is not None and operation.deadline <= self.now:
                self.end(operation, ("Timeout", None))
                yield operation

    def _send(self, operation: Operation, index: int, arm: Arm) -> bool:
        """Send if that needs no waiting, or is refused. Whether so."""
        channel, value = arm.channel, arm.value
        assert value is not None
        if channel.receivers:
            other, place = channel.receivers[0]
            self.end(other, received(place, value, operation.is_error))
        elif channel.closed:
            self.end(operation, ("ChannelClosed", index))
            return True
        elif channel.has_room:
            channel.buffer.append((value, operation.is_error))
        else:
            return False
        self.end(operation, (index, None))
        return True

    def _receive(self, operation: Operation, index: int, arm: Arm) -> bool:
        """Receive if that needs no waiting, or is refused. Whether so."""
        channel = arm.channel
        if not channel.buffer and not channel.senders:
            if channel.closed:
                self.end(operation, ("ChannelClosed", index))
            return channel.closed
        if channel.senders:
            other, place = channel.senders[0]
            value = other.arms[place].value
            assert value is not None
            channel.buffer.append((value, other.is_error))
            self.end(other, (place, None))
        self.end(operation, received(index, *channel.buffer.popleft()))
        return True

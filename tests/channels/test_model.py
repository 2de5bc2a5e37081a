"""Random programs of channels and select() do what the model does."""

import contextlib
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ringlet import (
    Cancelled,
    Channel,
    ChannelClosed,
    Selection,
    Tasklet,
    TaskletExit,
    Timeout,
    WouldBlock,
    current,
    select,
    spawn,
    timeout,
)
from ringlet.testing import fake_clock, run_until_blocked
from tests.channels.model import Arm, Model, ModelChannel, Operation, Outcome

CHANNELS = st.integers(0, 2)
DEADLINES = st.sampled_from([None, 0, 1, 2.5])
# Which channel, and whether to send to it.
ARMS = st.lists(st.tuples(CHANNELS, st.booleans()), min_size=1, max_size=4)


class Sent(Exception):
    """What is sent to be raised, with a number to tell it by."""


class ChannelMachine(RuleBasedStateMachine):
    """The same programs for channels and for their model."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.clock = self.stack.enter_context(fake_clock())
        self.model = Model()
        self.operations: list[Operation] = []
        self.outcomes: dict[int, Outcome] = {}
        self.tasklets: dict[int, Tasklet[Any]] = {}
        self.settled = True

    @initialize(
        capacities=st.tuples(*[st.sampled_from([0, 0, 1, 2, None])] * 3),
        preference=st.sampled_from([-1, 0, 1]),
    )
    def make_channels(self, capacities: tuple[int | None, ...], preference: int) -> None:
        self.preference = preference
        self.models = [ModelChannel(capacity) for capacity in capacities]
        self.channels = [Channel[int](capacity, preference) for capacity in capacities]

    # ---- In tasklets of their own, which may wait ----

    @rule(where=CHANNELS, seconds=DEADLINES, is_error=st.booleans())
    def send(self, where: int, seconds: float | None, is_error: bool) -> None:
        operation = self.operation([(where, True)], seconds)
        operation.is_error = is_error
        channel, value = self.channels[where], operation.name
        if is_error:
            self.begin(operation, lambda: channel.send_exception(Sent(value), timeout=seconds))
        else:
            self.begin(operation, lambda: channel.send(value, timeout=seconds))

    @rule(where=CHANNELS, seconds=DEADLINES)
    def receive(self, where: int, seconds: float | None) -> None:
        operation, channel = self.operation([(where, False)], seconds), self.channels[where]
        self.begin(operation, lambda: channel.receive(timeout=seconds))

    @rule(where=CHANNELS, seconds=st.sampled_from([1, 2.5]))
    def iterate_in_a_scope(self, where: int, seconds: float) -> None:
        channel = self.channels[where]

        def step() -> int:
            with timeout(seconds):
                return next(channel)

        self.begin(self.operation([(where, False)], seconds), step)

    @rule(places=ARMS, seconds=st.sampled_from([1, 2.5]))
    def select_in_a_scope(self, places: list[tuple[int, bool]], seconds: float) -> None:
        operation = self.operation(places, seconds)
        arms = self.arms(operation, places)

        def step() -> Selection[Any]:
            with timeout(seconds):
                return select(*arms)

        self.begin(operation, step)

    @rule(places=ARMS, seconds=DEADLINES)
    def select(self, places: list[tuple[int, bool]], seconds: float | None) -> None:
        operation = self.operation(places, seconds)
        arms = self.arms(operation, places)
        self.begin(operation, lambda: select(*arms, timeout=seconds))

    # ---- At once, with others still to find out what became of them ----

    @rule(where=CHANNELS, settle=st.booleans())
    def send_nowait(self, where: int, settle: bool) -> None:
        operation = self.operation([(where, True)], None)
        channel, value = self.channels[where], operation.name
        self.do(operation, lambda: channel.send_nowait(value), settle)

    @rule(where=CHANNELS, settle=st.booleans())
    def receive_nowait(self, where: int, settle: bool) -> None:
        operation = self.operation([(where, False)], None)
        self.do(operation, self.channels[where].receive_nowait, settle)

    @rule(places=ARMS, settle=st.booleans())
    def select_with_default(self, places: list[tuple[int, bool]], settle: bool) -> None:
        operation = self.operation(places, None)
        arms = self.arms(operation, places)
        self.do(operation, lambda: select(*arms, default=None), settle)

    @rule(where=CHANNELS, settle=st.booleans())
    def close(self, where: int, settle: bool) -> None:
        self.channels[where].close()
        self.model.close(self.models[where])
        self.compare(settle)

    @rule(where=CHANNELS)
    def open(self, where: int) -> None:
        self.channels[where].open()
        self.models[where].closed = False

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), settle=st.booleans())
    def kill(self, data: st.DataObject, settle: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.waiting)))
        self.tasklets[name].kill(wait=False)
        self.model.end(self.operations[name], ("TaskletExit", None))
        self.compare(settle)

    @precondition(lambda self: self.tasklets)
    @rule(data=st.data(), settle=st.booleans())
    def cancel(self, data: st.DataObject, settle: bool) -> None:
        """Who has been served already, but not had its turn, keeps what it got."""
        name = data.draw(st.sampled_from(sorted(self.tasklets)))
        self.tasklets[name].cancel()
        if name in self.model.waiting:
            self.model.end(self.operations[name], ("Cancelled", None))
        self.compare(settle)

    @rule(seconds=st.sampled_from([0.5, 1, 3]), settle=st.booleans())
    def pass_time(self, seconds: float, settle: bool) -> None:
        self.clock.advance(seconds)
        self.model.now += seconds
        self.compare(settle)

    # ---- How ----

    def operation(self, places: list[tuple[int, bool]], seconds: float | None) -> Operation:
        self.settle()
        name = len(self.operations)
        arms = [Arm(self.models[where], name if sends else None) for where, sends in places]
        deadline = None if seconds is None else self.model.now + seconds
        self.operations.append(Operation(name, arms, deadline))
        return self.operations[name]

    def arms(self, operation: Operation, places: list[tuple[int, bool]]) -> list[Any]:
        return [
            self.channels[where].sending(operation.name)
            if sends
            else self.channels[where].receiving()
            for where, sends in places
        ]

    def begin(self, operation: Operation, f: Any) -> None:
        """Do f() in a tasklet."""
        self.tasklets[operation.name] = spawn(self.record, operation.name, f)
        self.model.start(operation)
        self.settle()

    def do(self, operation: Operation, f: Any, settle: bool) -> None:
        """Do f() here, where it may not wait."""
        self.model.start(operation, may_wait=False)
        self.record(operation.name, f)
        self.compare(settle)

    def record(self, name: int, f: Any) -> None:
        """Call f() and write down what it comes to, in the words of the model."""
        try:
            done = f()
        except Sent as error:
            outcome: Outcome = ("raised", error.args[0])
        except ChannelClosed as error:
            outcome = ("ChannelClosed", error.index or 0)
        except StopIteration:
            outcome = ("ChannelClosed", 0)
        except WouldBlock:
            outcome = ("would wait", None)
        except (Cancelled, TaskletExit, Timeout) as error:
            outcome = (type(error).__name__, None)
        else:
            if not isinstance(done, tuple):
                outcome = (0, done)
            elif done.index < 0:
                outcome = ("would wait", None)
            else:
                outcome = (done.index, done.value)
                assert done.channel is self.channels[self.models.index(self.arm(name, done.index))]
        self.outcomes[name] = outcome

    def arm(self, name: int, index: int) -> ModelChannel:
        return self.operations[name].arms[index].channel

    def compare(self, settle: bool) -> None:
        """Look at what is true at once; and let the others go on, unless they are to wait.

        With a preference they may have gone on already.
        """
        self.settled = False
        if settle or self.preference:
            self.settle()
        else:
            self.compare_channels()

    def compare_channels(self) -> None:
        names = {tasklet: name for name, tasklet in self.tasklets.items()}
        for channel, model in zip(self.channels, self.models, strict=True):
            assert len(channel) == len(model.buffer)
            assert channel.balance == model.balance
            assert channel.closed == model.closed
            assert [names[tasklet] for tasklet in channel._waiters()] == model.waiters

    def settle(self) -> None:
        """Let everybody go on, and compare all."""
        for _ in self.model.expire():
            pass
        run_until_blocked()
        self.settled = True
        expected = {o.name: o.outcome for o in self.operations if o.outcome is not None}
        assert self.outcomes == expected
        self.compare_channels()

    def teardown(self) -> None:
        me = current()
        for tasklet in self.tasklets.values():
            assert tasklet is not me
            tasklet.kill()
        for channel in getattr(self, "channels", []):
            assert channel.balance == 0
        self.stack.close()


TestChannels = ChannelMachine.TestCase
TestChannels.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

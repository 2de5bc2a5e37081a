"""Time limits on blocks and shields: alone, nested, at the same moment; and against a model."""

# ruff: noqa: PT012 (the blocks are what is tested)

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringlet import (
    Cancelled,
    Channel,
    Tasklet,
    TaskletError,
    Timeout,
    _core,
    current,
    generator,
    greenlet,
    schedule,
    shield,
    sleep,
    spawn,
    timeout,
    yield_,
)
from ringlet.testing import FakeClock, fake_clock
from tests.support.isolated import run_isolated


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    with fake_clock() as clock:
        yield clock


def test_a_block_that_takes_too_long_is_cancelled_and_says_so(clock):
    with pytest.raises(Timeout, match=r"not done in 3 s") as caught:
        with timeout(3) as scope:
            with pytest.raises(Cancelled) as inside:
                sleep(10)
            assert inside.value.scope is scope
            raise inside.value
    assert caught.value.scope is scope
    assert caught.value.__cause__ is inside.value
    assert scope.expired
    assert clock.time() == 3


def test_a_block_that_is_done_in_time_is_not_disturbed(clock):
    with timeout(3) as scope:
        sleep(2)
    sleep(10)
    assert not scope.expired
    assert clock.time() == 12


def test_quiet_ones_are_just_left():
    with timeout(3, quiet=True) as scope:
        sleep(10)
        raise AssertionError("not reached")
    assert scope.expired


def test_other_errors_of_the_block_are_left_alone():
    with pytest.raises(LookupError):
        with timeout(1) as scope:
            try:
                sleep(2)
            except Cancelled:
                raise LookupError from None
    assert scope.expired


def test_what_happens_to_a_timeout_that_a_block_raises_itself():
    other = Timeout("not ours")
    with pytest.raises(Timeout) as caught, timeout(1):
        raise other
    assert caught.value is other
    assert caught.value.scope is None


def test_nobody_is_stopped_who_does_not_block():
    channel = Channel(buffer=1)
    with timeout(0) as scope:
        channel.send("kept")
        assert channel.receive() == "kept"
    assert not scope.expired
    schedule()


def test_no_time_at_all_ends_the_block_where_it_first_blocks():
    with pytest.raises(Timeout), timeout(0):
        schedule()
        raise AssertionError("not reached")
    with pytest.raises(Timeout), timeout(-1):
        sleep(0)


def test_none_is_no_limit(clock):
    with timeout(None) as scope:
        sleep(1000)
    assert not scope.expired
    with timeout(float("inf")):
        sleep(1000)


@pytest.mark.parametrize(("seconds", "error"), [("1", TypeError), (float("nan"), ValueError)])
def test_what_is_no_time_is_refused(seconds, error):
    with pytest.raises(error):
        timeout(seconds)


@pytest.mark.parametrize(("outer", "inner", "first"), [(1, 2, "outer"), (2, 1, "inner")])
def test_nested_ones_are_told_apart(outer, inner, first):
    with pytest.raises(Timeout) as caught:
        with timeout(outer) as outer_scope:
            with timeout(inner) as inner_scope:
                sleep(10)
    assert caught.value.scope is {"outer": outer_scope, "inner": inner_scope}[first]
    assert outer_scope.expired == (first == "outer")
    assert inner_scope.expired == (first == "inner")


def test_of_several_over_at_once_the_outermost_is_raised():
    with timeout(1, quiet=True) as outer:
        with timeout(1, quiet=True) as middle:
            with timeout(1, quiet=True) as inner:
                sleep(2)
        raise AssertionError("not reached")
    assert (outer.expired, middle.expired, inner.expired) == (True, False, False)
    sleep(1)


def test_of_several_that_came_while_it_ran_the_outermost_is_raised(clock):
    with timeout(2, quiet=True) as outer:
        with timeout(1, quiet=True) as inner:
            with shield():
                sleep(3)
            sleep(1)
        raise AssertionError("not reached")
    assert (outer.expired, inner.expired) == (True, False)


def test_an_inner_one_that_was_left_lets_the_outer_one_go_on(clock):
    with timeout(3, quiet=True) as outer:
        with timeout(1, quiet=True) as inner:
            sleep(10)
        assert inner.expired
        sleep(10)
    assert outer.expired
    assert clock.time() == 3


def test_finally_blocks_may_block(clock):
    done = []
    with timeout(1, quiet=True) as scope:
        try:
            sleep(10)
        finally:
            sleep(5)
            done.append(clock.time())
    assert done == [6]
    assert scope.expired


def test_an_inner_one_that_ends_a_finally_block_does_not_hide_the_outer_one(clock):
    with pytest.raises(Timeout) as caught:
        with timeout(1) as outer:
            with timeout(3, quiet=True) as inner:
                try:
                    sleep(10)
                finally:
                    sleep(10)
            raise AssertionError("not reached")
    assert caught.value.scope is outer
    assert inner.expired
    assert clock.time() == 3


def test_a_limit_on_a_finally_block_leaves_what_comes_after_it_alone(clock):
    done = []
    with timeout(1, quiet=True):
        try:
            sleep(10)
        finally:
            with timeout(1, quiet=True):
                sleep(10)
            done.append("closed")
    assert done == ["closed"]


def test_time_that_is_over_as_the_block_ends_is_no_more(clock):
    # Both timers fire in one turn of the hub. The value's is first, so the block is done.
    channel = Channel(preference=0)
    _core.hub().call_at(2, channel.send_nowait, "value")
    with timeout(2) as scope:
        channel.receive()
    assert clock.time() == 2
    assert not scope.expired
    schedule()
    sleep(5)


def test_a_value_that_came_in_the_same_turn_is_kept(clock):
    channel = Channel()

    def receive():
        with timeout(2) as scope:
            got.append(channel.receive())
            kept.append(scope.expired)
            with pytest.raises(Cancelled):
                sleep(1)
            kept.append(scope.expired)

    got, kept = [], []
    # Its timer is older than the limit's, and the value is there when that fires.
    _core.hub().call_at(2, channel.send_nowait, "value")
    channel.preference = 0
    receiver = spawn(receive)
    receiver.join()
    assert receiver.result() is None
    assert (got, kept) == (["value"], [False, True])
    sleep(1)


def test_what_it_waited_for_comes_too_late():
    channel = Channel()

    def receive():
        with timeout(2):
            channel.receive()

    receiver = spawn(receive)
    schedule()
    _core.hub().call_at(2, channel.send, "kept")
    with pytest.raises(Timeout):
        receiver.result()
    assert channel.balance == 0
    sender = spawn(channel.send, "next")
    assert channel.receive() == "next"
    sender.join()


def test_a_shield_outside_does_not_hold_off_a_limit_inside():
    with shield():
        with timeout(1, quiet=True) as scope:
            sleep(10)
    assert scope.expired


def test_a_shield_inside_puts_a_limit_off(clock):
    with timeout(1, quiet=True) as scope:
        with shield():
            sleep(10)
            assert not scope.expired
        assert clock.time() == 10
        sleep(10)
    assert scope.expired
    assert clock.time() == 10


def test_a_block_that_ends_with_its_shield_is_in_time(clock):
    with timeout(1) as scope:
        with shield():
            sleep(10)
    assert not scope.expired
    sleep(1)


def test_limits_can_be_set_anew(clock):
    with timeout(2) as scope:
        sleep(1)
        scope.reschedule(5)
        sleep(4)
        scope.reschedule(None)
        sleep(100)
        scope.reschedule(1)
        with pytest.raises(Cancelled):
            sleep(10)
        with pytest.raises(TaskletError, match="expired"):
            scope.reschedule(1)
    assert clock.time() == 106


def test_a_limit_of_a_thread_that_has_ended_is_refused_where_nothing_is_scheduled():
    program = """
import threading
import ringlet

# That makes the core know this thread, which has no scheduler.
ringlet.core.getcurrent()
scope = ringlet.timeout(100)
thread = threading.Thread(target=scope.__enter__)
thread.start()
thread.join()
try:
    scope.reschedule(5)
except ringlet.TaskletError as error:
    print(error)
scope.__exit__(None, None, None)
assert not scope.active
"""
    assert run_isolated(program).stdout.endswith("belongs to another thread\n")


def test_a_limit_that_is_over_but_was_not_raised_can_be_set_anew(clock):
    with timeout(1) as scope:
        with shield():
            sleep(2)
        scope.reschedule(10)
        sleep(5)
    assert not scope.expired


def test_one_that_has_not_been_entered_can_be_set_anew(clock):
    scope = timeout(None, quiet=True)
    scope.reschedule(1)
    with scope:
        sleep(2)
    assert scope.expired


def test_each_is_entered_once():
    scope = timeout(1)
    with scope:
        pass
    with pytest.raises(TaskletError, match="twice"), scope:
        pass


def test_the_block_reaches_into_generators():
    @generator
    def numbers():
        try:
            yield_(1)
            sleep(10)
        finally:
            seen.append("cleaned up")

    seen = []
    with pytest.raises(Timeout), timeout(1):
        for number in numbers():
            seen.append(number)
    assert seen == [1, "cleaned up"]


def test_the_block_reaches_into_greenlets():
    def inside():
        try:
            sleep(10)
        except Cancelled as error:
            seen.append(error.scope)
            raise

    seen = []
    with timeout(1, quiet=True) as scope:
        greenlet(inside).switch()
    assert seen == [scope]


def test_a_generator_that_has_one_open_does_not_cancel_who_uses_it(clock):
    @generator
    def numbers():
        try:
            with timeout(2):
                yield_("first")
                sleep(1)
                yield_("not reached")
        except Timeout:
            yield_("late")

    each = numbers()
    assert next(each) == "first"
    sleep(10)  # the consumer's own, outside of the block, though in the same tasklet
    assert next(each) == "late"
    assert list(each) == []


def test_a_generator_dropped_with_one_open_leaves_nothing_behind():
    @generator
    def numbers():
        with timeout(2):
            yield_(1)

    each = numbers()
    assert next(each) == 1
    each.close()
    sleep(10)


def test_a_shield_in_a_generator_is_not_its_users():
    @generator
    def numbers():
        with shield():
            yield_(1)
            sleep(5)
            yield_(2)

    with timeout(1, quiet=True) as scope:
        each = numbers()
        next(each)
        sleep(10)
    assert scope.expired


def test_limits_of_different_tasklets_are_their_own(clock):
    def work(limit):
        with timeout(limit, quiet=True):
            sleep(100)
        ended.append((limit, clock.time()))

    ended = []
    for limit in (3, 1, 2):
        spawn(work, limit)
    sleep(5)
    assert ended == [(1, 1), (2, 2), (3, 3)]


def test_they_say_what_they_are():
    scope = timeout(2.5, quiet=True)
    assert "2.5 s, not active" in repr(scope)
    with scope:
        assert "2.5 s, active" in repr(scope)
        assert scope.active
        sleep(3)
    assert "2.5 s, expired" in repr(scope)
    assert "no limit" in repr(timeout(None))
    with shield() as held:
        assert repr(held).endswith(", active>")


# ---- Against a model -----------------------------------------------------------------------------


@dataclass
class Sleep:
    seconds: int

    def run(self, world):
        world.block(self.seconds)


@dataclass
class Sequence:
    steps: list

    def run(self, world):
        for step in self.steps:
            step.run(world)


@dataclass
class Limited:
    seconds: int
    quiet: bool
    body: object

    def run(self, world):
        with world.limit(self.seconds, self.quiet):
            self.body.run(world)
        world.log("left")


@dataclass
class Shielded:
    body: object

    def run(self, world):
        with world.shield():
            self.body.run(world)


@dataclass
class Cleanup:
    body: object
    cleanup: object

    def run(self, world):
        try:
            self.body.run(world)
        finally:
            self.cleanup.run(world)
            world.log("clean")


@dataclass
class Handle:
    """Goes on after an error."""

    body: object

    def run(self, world):
        try:
            self.body.run(world)
        except (world.cancelled, world.late) as error:
            world.log(f"handled {type(error).__name__}")


class Real:
    cancelled, late = Cancelled, Timeout

    def __init__(self, clock):
        self.clock = clock
        self.seen = []

    def log(self, what):
        self.seen.append((self.clock.time(), what))

    def block(self, seconds):
        self.log("sleeps")
        sleep(seconds)
        self.log("woke")

    def limit(self, seconds, quiet):
        return timeout(seconds, quiet)

    def shield(self):
        return shield()


class ModelCancelled(BaseException):
    scope = None


ModelCancelled.__name__ = "Cancelled"


class ModelTimeout(Exception):
    pass


ModelTimeout.__name__ = "Timeout"


@dataclass
class ModelScope:
    world: "Model"
    deadline: float | None
    quiet: bool
    is_shield: bool
    pending: bool = False
    raised: BaseException | None = None
    overtaken_by: BaseException | None = None

    def __enter__(self):
        if self.deadline is not None and self.deadline <= self.world.now:
            self.deadline, self.pending = None, True
        self.world.scopes.append(self)

    def __exit__(self, kind, error, traceback):
        assert self.world.scopes.pop() is self
        if error is None or error is not self.raised:
            return False
        while error is not None:
            if error is self.overtaken_by:
                raise error
            error = error.__context__
        if not self.quiet:
            raise ModelTimeout
        return True


@dataclass
class Model:
    """Time, the scopes of one tasklet, and what is still to be raised in it."""

    cancelled, late = ModelCancelled, ModelTimeout
    cancels: list
    now: float = 0
    seen: list = field(default_factory=list)
    scopes: list = field(default_factory=list)
    pending: bool = False

    def log(self, what):
        self.seen.append((self.now, what))

    def limit(self, seconds, quiet):
        return ModelScope(self, self.now + seconds, quiet, False)

    def shield(self):
        return ModelScope(self, None, False, True)

    def take(self):
        """Raise the outermost that no shield is in the way of."""
        first = max((i + 1 for i, scope in enumerate(self.scopes) if scope.is_shield), default=0)
        error = ModelCancelled()
        if self.pending and first == 0:
            self.pending = False
            inside = self.scopes
        else:
            due = [i for i, scope in enumerate(self.scopes) if scope.pending and i >= first]
            if not due:
                return None
            self.scopes[due[0]].pending = False
            self.scopes[due[0]].raised = error
            inside = self.scopes[due[0] + 1 :]
        for scope in inside:
            scope.pending = False
            scope.overtaken_by = error
        return error

    def fire(self, when):
        """What is due by then, in the order it was set; what that raises in a sleeper."""
        error = None
        for at in [at for at in self.cancels if at <= when]:
            self.cancels.remove(at)
            self.pending = True
            error = error or self.take()
        for scope in self.scopes:
            if scope.deadline is not None and scope.deadline <= when:
                scope.deadline = None
                scope.pending = not scope.raised
                error = error or self.take()
        return error

    def block(self, seconds):
        self.log("sleeps")
        if error := self.take():
            raise error
        end = self.now + seconds
        while True:
            deadlines = [scope.deadline for scope in self.scopes if scope.deadline is not None]
            due = min(deadlines + self.cancels, default=end)
            if due > end:
                due = end
            self.now = due
            if error := self.fire(due):
                raise error
            if due == end:
                break
        self.log("woke")


def programs():
    return st.recursive(
        st.builds(Sleep, st.integers(1, 5)),
        lambda inner: st.one_of(
            st.builds(Sequence, st.lists(inner, min_size=2, max_size=3)),
            st.builds(Limited, st.integers(0, 6), st.booleans(), inner),
            st.builds(Shielded, inner),
            st.builds(Cleanup, inner, inner),
            st.builds(Handle, inner),
        ),
        max_leaves=8,
    )


def outcome(program, world):
    try:
        program.run(world)
    except (world.cancelled, world.late) as error:
        return type(error).__name__
    return "done"


@settings(max_examples=300, deadline=None)
@given(programs(), st.lists(st.integers(1, 12), max_size=2, unique=True).map(sorted))
def test_they_nest_as_the_model_says(program, cancels):
    hub = _core.hub()
    real = Real(hub.clock)
    start = hub.clock.time()
    tasklet: Tasklet = spawn(outcome, program, real)
    for at in cancels:
        hub.call_at(start + at, tasklet.cancel)
    tasklet.join()
    sleep(20)
    model = Model(list(cancels))
    expected = outcome(program, model)
    assert [(at - start, what) for at, what in real.seen] == model.seen
    assert tasklet.result() == expected
    assert current().state == "running"

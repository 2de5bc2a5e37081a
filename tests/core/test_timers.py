"""The heap of timers against a sorted list, whatever those that fire do to it; and sleeping."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlet import GreenletExit, TaskletError, _core, schedule, sleep, spawn, tasklets
from ringlet.sched.clock import SystemClock
from ringlet.testing import fake_clock
from tests.support.leaks import leak_checked


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


def call(f: Callable[..., object], *args: Any) -> None:
    f(*args)


class Boom(Exception):
    """What a handler raises while timers fire."""


class Model:
    """Timers as a list in which the first is searched for."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pending: list[tuple[float, int, Callable[[], None]]] = []
        self.added = 0

    def __len__(self) -> int:
        return len(self.pending)

    def add(self, when: float, callback: Callable[[], None]) -> Any:
        entry = (when, self.added, callback)
        self.added += 1
        self.pending.append(entry)
        return entry

    def cancel(self, entry: Any) -> None:
        if entry in self.pending:
            self.pending.remove(entry)

    def next_time(self) -> float | None:
        return min(self.pending)[0] if self.pending else None

    def fire(self, most: int, call: Callable[..., object]) -> None:
        now = self.clock.now
        for _ in range(most):
            if not self.pending or min(self.pending)[0] > now:
                return
            first = min(self.pending)
            call(first[2])
            self.cancel(first)


class Real:
    """The core's, with the model's methods."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.timers = _core.Timers()
        self.timers.clock = self.clock
        self.__len__ = self.timers.__len__
        self.add = self.timers.add
        self.next_time = self.timers.next_time
        self.fire = self.timers.fire

    def __len__(self) -> int:
        return len(self.timers)

    def cancel(self, timer: Any) -> None:
        timer.cancel()


# What a timer does when it fires: a name and a number, both for Play.act.
ACTIONS = st.tuples(st.sampled_from(["", "", "add", "cancel", "raise", "fire"]), st.integers(0, 9))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(-3, 9), ACTIONS),
        st.tuples(st.just("cancel"), st.integers(0, 99), st.none()),
        st.tuples(st.just("pass"), st.integers(0, 5), st.none()),
        st.tuples(st.just("fire"), st.sampled_from([1, 2, 3, 100]), st.none()),
    ),
    max_size=60,
)


class Play:
    """Does one list of steps with one kind of timers, and notes what happens."""

    def __init__(self, timers: Any) -> None:
        self.timers = timers
        self.set_ones: list[Any] = []
        self.log: list[object] = []
        self.raised: set[int] = set()

    def add(self, when: float, action: tuple[str, int]) -> None:
        number = len(self.set_ones)
        self.set_ones.append(self.timers.add(when, lambda: self.act(number, *action)))

    def act(self, number: int, action: str, operand: int) -> None:
        self.log.append((number, self.timers.clock.now))
        if action == "add":
            self.add(self.timers.clock.now + operand - 4, ("", 0))
        elif action == "cancel":
            self.timers.cancel(self.set_ones[operand % len(self.set_ones)])
        elif action == "raise" and number not in self.raised:
            self.raised.add(number)
            raise Boom
        elif action == "fire" and number not in self.raised:
            self.raised.add(number)  # once is enough to be within itself
            self.timers.fire(operand, call)

    def step(self, kind: str, number: int, action: Any) -> None:
        if kind == "add":
            self.add(self.timers.clock.now + number, action)
        elif kind == "cancel" and self.set_ones:
            self.timers.cancel(self.set_ones[number % len(self.set_ones)])
        elif kind == "pass":
            self.timers.clock.now += number
        elif kind == "fire":
            try:
                self.timers.fire(number, call)
            except Boom:
                self.log.append("boom")
        self.log.append((len(self.timers), self.timers.next_time()))


@leak_checked
def play_both(steps: list[tuple[str, int, Any]]) -> None:
    logs = []
    for timers in (Real(), Model()):
        play = Play(timers)
        for step in steps:
            play.step(*step)
        logs.append(play.log)
    assert logs[0] == logs[1]


@given(STEPS)
def test_timers_do_what_a_sorted_list_would(steps: list[tuple[str, int, Any]]) -> None:
    play_both(steps)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=300))
def test_many_fire_in_order_and_cancelled_ones_never(entries: list[tuple[float, bool]]) -> None:
    fired: list[int] = []
    timers = _core.Timers()
    timers.clock = clock = Clock()
    set_ones = [timers.add(when, fired.append, n) for n, (when, _) in enumerate(entries)]
    for timer, (_, cancelled) in zip(set_ones, entries, strict=True):
        if cancelled:
            timer.cancel()
            timer.cancel()
    kept = [(when, n) for n, (when, cancelled) in enumerate(entries) if not cancelled]
    assert len(timers) == len(kept)
    clock.now = 100
    timers.fire(1000, call)
    assert fired == [n for _, n in sorted(kept)]
    assert timers.next_time() is None


# What is to happen when, in a hub: sleepers, timers, and when a sleeper is killed.
EVENTS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(["sleep", "call", "killed"])), max_size=30
)


@leak_checked
def sleep_and_call(events: list[tuple[int, str]]) -> None:
    called: list[int] = []
    woken: list[int] = []

    def sleeper(number: int, seconds: int) -> None:
        sleep(seconds)
        woken.append(number)

    with fake_clock():
        hub = _core.hub()
        victims = []
        for number, (when, kind) in enumerate(events):
            if kind == "call":
                hub.call_at(when, called.append, number)
                continue
            tasklet = spawn(sleeper, number, when)
            if kind == "killed":
                victims.append(tasklet)
        schedule()
        assert len(hub.timers) == len(events)
        for victim in victims:
            victim.kill()
        assert len(hub.timers) == len(events) - len(victims)
        sleep(6)
        assert len(hub.timers) == 0
    for log, kind in ((called, "call"), (woken, "sleep")):
        expected = sorted((when, n) for n, (when, what) in enumerate(events) if what == kind)
        assert log == [n for _, n in expected]


@given(EVENTS)
def test_sleepers_and_timers_of_one_hub(events: list[tuple[int, str]]) -> None:
    sleep_and_call(events)


def set_up() -> tuple[_core.Timers, Clock]:
    timers = _core.Timers()
    clock = timers.clock = Clock()
    return timers, clock


def test_what_is_not_due_stays() -> None:
    timers, clock = set_up()
    fired: list[int] = []
    timers.add(5, fired.append, 1)
    clock.now = 4.9
    timers.fire(9, call)
    assert fired == []
    assert timers.next_time() == 5
    clock.now = 5
    timers.fire(9, call)
    assert fired == [1]


def test_after_counts_from_now() -> None:
    timers, clock = set_up()
    clock.now = 10
    timer = timers.after(2.5, print)
    assert timer.when == timers.next_time() == 12.5


@given(st.floats(1e-9, 1e6))
def test_by_the_real_clock_it_is_a_little_later_but_never_too_early(seconds: float) -> None:
    timers = _core.Timers()
    timers.clock = SystemClock()
    begun = _core.monotonic()
    when = timers.after(seconds, print).when
    assert begun + seconds <= when
    assert when <= _core.monotonic() + seconds + min(seconds, 1) * 2**-10


@pytest.mark.parametrize("seconds", [0, -1, -float("inf")])
def test_what_is_due_at_once_is_not_put_off(seconds: float) -> None:
    timers = _core.Timers()
    timers.clock = SystemClock()
    fired: list[int] = []
    timers.after(seconds, fired.append, 1)
    timers.fire(1, call)
    assert fired == [1]


def test_those_due_at_nearly_the_same_time_are_due_at_the_same() -> None:
    timers = _core.Timers()
    timers.clock = SystemClock()
    moments = {timers.after(5 + number / 1e8, print).when for number in range(1000)}
    assert (
        len(moments) < 100
    )  # a thousand of them, within 10 microseconds and however long this took


def test_one_that_was_being_fired_when_a_handler_raised_is_fired_again() -> None:
    timers, clock = set_up()
    fired: list[int] = []
    for number in range(3):
        timers.add(number, fired.append, number)
    clock.now = 9

    def interrupted(f: Callable[..., object], *args: Any) -> None:
        if args == (1,):
            raise Boom
        f(*args)

    with pytest.raises(Boom):
        timers.fire(9, interrupted)
    assert fired == [0]
    assert len(timers) == 2
    timers.fire(9, call)
    assert fired == [0, 1, 2]


def test_no_more_are_fired_than_asked_for() -> None:
    timers, _ = set_up()
    fired: list[int] = []
    for number in range(5):
        timers.add(0, fired.append, number)
    timers.fire(2, call)
    assert fired == [0, 1]
    timers.fire(0, call)
    timers.fire(-1, call)
    assert fired == [0, 1]
    timers.fire(100, call)
    assert fired == [0, 1, 2, 3, 4]


def test_the_listener_hears_of_each() -> None:
    timers, _ = set_up()
    heard: list[int] = []
    timers.listener = lambda: heard.append(len(timers))
    timers.add(1, print)
    timers.after(1, print)
    timers.listener = None
    timers.add(1, print)
    assert heard == [1, 2]


def test_what_the_listener_raises_undoes_it() -> None:
    timers, _ = set_up()

    def listener() -> None:
        raise Boom

    timers.listener = listener
    with pytest.raises(Boom):
        timers.add(1, print)
    assert len(timers) == 0


def test_a_timer_tells_its_state() -> None:
    timers, _ = set_up()
    timer = timers.add(3600, print)
    assert repr(timer) == "<timer at 3600 s of the hub's clock>"
    timer.cancel()
    assert repr(timer) == "<timer over>"
    assert timer.when == 3600


def test_a_timer_keeps_what_it_calls_until_it_is_over() -> None:
    class Callback:
        def __call__(self) -> None:
            pass

    timers, _ = set_up()
    for end in ("cancel", "fire", "drop"):
        callback = Callback()
        gone = weakref.ref(callback)
        timer = timers.add(0, callback)
        del callback
        assert gone() is not None
        if end == "cancel":
            timer.cancel()
        elif end == "fire":
            timers.fire(1, call)
        else:
            timers, _ = set_up()
        assert gone() is None
    timer.cancel()


def test_timers_in_a_cycle_are_collected() -> None:
    timers, _ = set_up()
    timer = timers.add(1, print)
    holder = [timers, timer]
    timers.add(2, holder.append, timer)

    class Witness:
        pass

    witness = Witness()
    holder.append(witness)
    gone = weakref.ref(witness)
    del timers, timer, holder, witness
    gc.collect()
    assert gone() is None


def test_what_a_timer_holds_may_change_the_heap_when_it_goes() -> None:
    timers, _ = set_up()

    class Argument:
        def __init__(self, victim: _core.Timer | None) -> None:
            self.victim = victim

        def __del__(self) -> None:
            timers.add(7, print)
            if self.victim:
                self.victim.cancel()

    victim = timers.add(1, print, Argument(None))
    timers.add(0, print, Argument(victim)).cancel()
    assert len(timers) == 2
    assert timers.next_time() == 7


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((), TypeError, "wants a time and something to call"),
        ((1,), TypeError, "wants a time and something to call"),
        ((1, 2), TypeError, "calls a callable, not 2"),
        (("soon", print), TypeError, "must be real number"),
        ((float("nan"), print), ValueError, "NaN"),
    ],
)
def test_refused(args: Any, error: type[Exception], message: str) -> None:
    timers, _ = set_up()
    for method in (timers.add, timers.after):
        with pytest.raises(error, match=message):
            method(*args)
    assert len(timers) == 0


def test_a_clock_has_to_show_a_time() -> None:
    timers, clock = set_up()
    with pytest.raises(AttributeError):
        timers.clock = object()
    assert timers.clock is clock
    clock.now = float("nan")
    with pytest.raises(ValueError, match="shows no time"):
        timers.after(1, print)
    clock.now = "noon"  # type: ignore[assignment]
    timers.add(1, print)
    with pytest.raises(TypeError):
        timers.fire(1, call)
    assert len(timers) == 1


def test_the_memory_of_a_peak_is_given_back_and_order_is_kept() -> None:
    timers, clock = set_up()
    fired: list[int] = []
    set_ones = [
        timers.add(number * 7919 % 10_007, fired.append, number) for number in range(10_007)
    ]
    for number, timer in enumerate(set_ones):
        if number % 100:
            timer.cancel()
    clock.now = 20_000
    timers.fire(20_000, call)
    assert fired == sorted(range(0, 10_007, 100), key=lambda number: number * 7919 % 10_007)


# ---- Sleeping ---------------------------------------------------------------------


def test_a_sleeper_says_so() -> None:
    with fake_clock():
        tasklet = spawn(sleep, 1.5)
        schedule()
        assert repr(tasklet.waiting_on) == "sleep(1.5)"
        assert repr(tasklet).endswith("waiting for sleep(1.5)>")
        shown = tasklet.waiting_on
        tasklet.kill()
        assert tasklet.waiting_on is None
        assert repr(shown) == "sleep(1.5)"


@pytest.mark.parametrize("seconds", [1, True, 1.0])
def test_any_number_will_do(seconds: float) -> None:
    with fake_clock() as clock:
        sleep(seconds)
        assert clock.now == 1


def test_what_is_no_number_will_not() -> None:
    with pytest.raises(TypeError):
        sleep("1")  # type: ignore[arg-type]
    assert len(_core.hub().timers) == 0


def test_nobody_else_can_wake_a_sleeper() -> None:
    with fake_clock():
        tasklet = spawn(sleep, 1)
        schedule()
        with pytest.raises(TaskletError, match="only what it waits for"):
            _core.wake(tasklet)
        assert tasklet.join(2)


def test_who_is_thrown_at_sleeps_no_more() -> None:
    with fake_clock() as clock:
        tasklet = spawn(sleep, 5)
        schedule()
        tasklet.throw(GreenletExit())
        assert len(_core.hub().timers) == 0
        tasklet.join()
        assert clock.now == 0


def test_the_hub_does_not_sleep() -> None:
    errors: list[str] = []

    def callback() -> None:
        try:
            sleep(1.5)
        except TaskletError as error:
            errors.append(str(error))

    with fake_clock():
        _core.hub().call_soon(callback)
        sleep(1)
        assert len(_core.hub().timers) == 0
    assert len(errors) == 1
    assert "cannot wait for sleep(1.5) in the hub" in errors[0]


def test_those_due_together_let_others_run_in_between() -> None:
    """A crowd that wakes at once does not keep others from what happens meanwhile."""
    log: list[int] = []
    with fake_clock():

        def sleeper(number: int) -> None:
            sleep(1)
            log.append(number)

        crowd = [spawn(sleeper, number) for number in range(1000)]
        seen: list[int] = []
        spawn(lambda: (sleep(0.5), _core.hub().call_at(1, lambda: seen.append(len(log)))))
        schedule()
        _core.hub().call_soon(lambda: None)
        for tasklet in crowd:
            tasklet.join()
        assert log == list(range(1000))
        assert tasklets() == [_core.main()]
    # The timer set after 1000 sleepers was fired when the last of them were, not before.
    assert seen == [768]

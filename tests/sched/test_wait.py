"""The gate: how long something is waited for, and what is left behind."""

from collections.abc import Callable, Iterator

import pytest

from ringlet import Timeout, _core, current, schedule, sleep, spawn
from ringlet.sched import wait
from ringlet.testing import FakeClock, fake_clock


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with fake_clock() as clock:
        yield clock
        assert len(_core.hub().timers) == 0


class Thing:
    def __repr__(self) -> str:
        return "<a thing>"


class Unspeakable:
    def __repr__(self) -> str:
        raise LookupError("no words")


def never() -> None:
    wait.park("what never comes")


def test_park_gives_up_in_time(clock: FakeClock) -> None:
    unlinked: list[float] = []
    with pytest.raises(Timeout, match="waited 5 s for <a thing>"):
        wait.park(Thing(), lambda: unlinked.append(clock.now), timeout=5)
    assert unlinked == [5]
    assert clock.now == 5


def test_park_returns_what_wakes_it_in_time(clock: FakeClock) -> None:
    me = current()
    _core.hub().call_at(2, _core.wake, me, "value")
    assert wait.park(Thing(), timeout=5) == "value"
    assert clock.now == 2


def test_what_cannot_be_shown_says_so_to_who_waits_for_it(clock: FakeClock) -> None:
    with pytest.raises(LookupError, match="no words"):
        wait.park(Unspeakable(), timeout=1)
    assert not wait.attempt(never, 1, Unspeakable())
    assert clock.now == 2


def test_no_time_at_all(clock: FakeClock) -> None:
    unlinked: list[int] = []
    with pytest.raises(Timeout, match="no time was given"):
        wait.park(Thing(), lambda: unlinked.append(1), timeout=0)
    assert unlinked == [1]
    assert not wait.attempt(never, 0, Thing())
    assert not wait.attempt(never, -1, Thing())
    assert not wait.attempt(never, -(10**400), Thing())


@pytest.mark.parametrize("limit", [None, float("inf"), 10**400])
def test_no_limit(clock: FakeClock, limit: float | None) -> None:
    assert wait.attempt(lambda: sleep(1e6), limit, Thing())
    assert clock.now == 1e6


@pytest.mark.parametrize("gate", [wait.park, lambda thing, _, limit: wait.attempt(never, limit, 0)])
@pytest.mark.parametrize(("limit", "error"), [("1", TypeError), (float("nan"), ValueError)])
def test_what_is_no_limit(
    clock: FakeClock, gate: Callable[..., object], limit: float, error: type[Exception]
) -> None:
    with pytest.raises(error, match="a time limit"):
        gate(Thing(), None, limit)


def test_an_attempt_ends_in_time_or_not(clock: FakeClock) -> None:
    assert wait.attempt(lambda: sleep(1), 5, Thing())
    assert clock.now == 1
    assert not wait.attempt(never, 5, Thing())
    assert clock.now == 6
    assert wait.attempt(int, 5, Thing())
    assert clock.now == 6


def test_what_a_block_raises_is_no_end_of_time(clock: FakeClock) -> None:
    def fail() -> None:
        raise Timeout("its own")

    with pytest.raises(Timeout, match="its own"):
        wait.attempt(fail, 5, Thing())


def test_the_outer_limit_passes_through_the_inner_attempt(clock: FakeClock) -> None:
    seen: list[object] = []

    def inner() -> None:
        seen.append(wait.attempt(never, 10, Thing()))

    assert not wait.attempt(inner, 2, Thing())
    assert clock.now == 2
    assert seen == []
    assert wait.attempt(lambda: seen.append(wait.attempt(never, 2, Thing())), 10, Thing())
    assert seen == [False]
    assert clock.now == 4


def test_a_wait_that_begins_anew_does_not_get_more_time(clock: FakeClock) -> None:
    """Woken at the very moment its time is over, it looks again, and waits in vain once more."""
    me = current()
    hub = _core.hub()
    rounds: list[float] = []

    def block() -> None:
        while True:
            rounds.append(clock.now)
            wait.park("its turn")

    hub.call_at(5, _core.wake, me)
    assert not wait.attempt(block, 5, Thing())
    assert rounds == [0, 5]
    assert 5 < clock.now < 5.01


def test_who_is_woken_at_the_last_moment_has_been_woken(clock: FakeClock) -> None:
    me = current()
    _core.hub().call_at(5, _core.wake, me, "value")
    assert wait.park(Thing(), timeout=5) == "value"


def test_a_limit_outlives_no_kill(clock: FakeClock) -> None:
    tasklets = [
        spawn(wait.park, Thing(), None, 5),
        spawn(wait.attempt, never, 5, Thing()),
        spawn(sleep, 5),
    ]
    schedule()
    assert len(_core.hub().timers) == 3
    for tasklet in tasklets:
        tasklet.kill()
    assert len(_core.hub().timers) == 0


def test_the_text_while_the_error_is_on_its_way(clock: FakeClock) -> None:
    texts: list[str] = []

    def block() -> None:
        try:
            never()
        except Timeout as error:
            texts.append(str(error))
            raise

    assert not wait.attempt(block, 0.25, Thing())
    assert texts == ["waited 0.25 s for a Thing"]

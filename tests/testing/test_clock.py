"""The clock that jumps."""

import pytest

from ringlet import Tasklet, _core, schedule, sleep, spawn
from ringlet.testing import FakeClock, fake_clock, run_until_blocked


def test_time_stands_still_until_everybody_waits() -> None:
    with fake_clock(100) as clock:
        assert clock.time() == 100
        sleep(50)
        assert clock.now == 150
        clock.advance(7)
        assert clock.now == 157


def test_the_old_clock_comes_back() -> None:
    real = _core.hub().clock
    with pytest.raises(KeyError), fake_clock():
        raise KeyError
    assert _core.hub().clock is real


def test_timers_of_another_clock_are_refused() -> None:
    with fake_clock():
        sleeper = spawn(sleep, 10)
        sleep(1)
        with pytest.raises(RuntimeError, match="cannot change the clock"), fake_clock():
            pass
        sleeper.join()


def test_time_does_not_go_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        FakeClock().advance(-1)


def test_who_still_sleeps_at_the_end_is_told_about() -> None:
    sleeper = Tasklet(sleep, (1000,))

    def leave_it_asleep() -> None:
        with fake_clock():
            sleeper.start()
            sleep(3)

    with pytest.raises(RuntimeError, match="1 timers of <fake clock at 3 s>"):
        leave_it_asleep()
    sleeper.kill()


def test_timers_left_do_not_hide_an_error() -> None:
    sleeper = Tasklet(sleep, (1000,))

    def fail() -> None:
        with fake_clock():
            sleeper.start()
            schedule()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    sleeper.kill()


def test_blocks_nest_each_with_its_own_time() -> None:
    with fake_clock() as outer:
        sleep(5)
        with fake_clock(100) as inner:
            sleep(1)
            assert inner.now == 101
        assert outer.now == 5
        sleep(5)
        assert outer.now == 10


def test_advance_makes_due_all_that_lies_between() -> None:
    with fake_clock() as clock:
        woken = []

        def sleeper(seconds: float) -> None:
            sleep(seconds)
            woken.append((seconds, clock.now))

        for seconds in (3, 1, 20):
            spawn(sleeper, seconds)
        run_until_blocked()
        clock.advance(10)
        assert len(run_until_blocked()) == 1
        assert woken == [(1, 10), (3, 10)]
        sleep(10)


def test_a_day_of_timers_is_gone_through_second_by_second() -> None:
    day = 24 * 60 * 60
    ticks = []
    with fake_clock() as clock:

        def tick(every: int) -> None:
            while clock.now + every <= day:
                sleep(every)
                ticks.append(clock.now)

        for tasklet in [spawn(tick, every) for every in (60, 3600, day)]:
            tasklet.join()
        assert clock.now == day
    assert len(ticks) == 1440 + 24 + 1
    assert ticks == sorted(ticks)

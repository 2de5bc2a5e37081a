"""The clock that jumps."""

import pytest

from ringlet import _core, sleep, spawn
from ringlet.testing import FakeClock, fake_clock


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

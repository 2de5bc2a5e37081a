"""The heap of timers against a sorted list, and what cancelling costs."""

from hypothesis import given
from hypothesis import strategies as st

from ringlet.sched.timers import Timers


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans())))
def test_timers_fire_in_order_and_cancelled_ones_never(entries: list[tuple[float, bool]]) -> None:
    timers, fired = Timers(), []
    set_ones = [timers.add(when, fired.append, n) for n, (when, _) in enumerate(entries)]
    for timer, (_, cancelled) in zip(set_ones, entries, strict=True):
        if cancelled:
            timer.cancel()
            timer.cancel()
    kept = [(when, n) for n, (when, cancelled) in enumerate(entries) if not cancelled]
    assert len(timers) == len(kept)
    while timer := timers.first_due(100):
        assert timer.callback is not None
        timer.callback(*timer.args)
        timer.cancel()
    assert fired == [n for _, n in sorted(kept)]
    assert timers.next_time() is None


def test_what_is_not_due_stays() -> None:
    timers = Timers()
    timers.add(5, print)
    assert timers.first_due(4.9) is None
    assert timers.next_time() == 5


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    timers.add(1e9, print)
    for number in range(10_000):
        timers.add(number, print).cancel()
    assert len(timers) == 1
    assert len(timers._heap) < 200

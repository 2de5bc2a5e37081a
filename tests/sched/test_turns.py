"""The core's functions for schedulers on top: pausing, order, traps, watching, slices."""

import sys

import pytest

from ringlet import Channel, TaskletError, _core, schedule, sleep, spawn
from ringlet.sched import Tasklet
from tests.support.leaks import leak_checked


@pytest.fixture
def log():
    return []


def test_a_paused_tasklet_waits_for_what_is_said_and_goes_on_when_resumed(log):
    t = spawn(log.append, 1)
    assert _core.pause(t, "somebody")
    assert (t.state, t.waiting_on) == ("parked", "somebody")
    schedule()
    assert log == []
    assert _core.resume(t)
    schedule()
    assert log == [1]


def test_a_paused_tasklet_keeps_the_value_it_was_woken_with(log):
    t = spawn(lambda: log.append(_core.park("x")))
    schedule()
    _core.wake(t, "value")
    _core.pause(t, "somebody")
    _core.resume(t)
    schedule()
    assert log == ["value"]


def test_a_paused_tasklet_can_be_killed():
    for turns in range(2):
        t = spawn(schedule)
        for _ in range(turns):
            schedule()
        _core.pause(t, "somebody")
        t.kill()
        assert t.finished


def test_only_ready_ones_are_paused_and_only_parked_ones_resumed():
    t = spawn(sleep, 100)
    assert not _core.resume(t)
    schedule()
    assert not _core.pause(t, "x")
    assert not _core.pause(_core.current(), "x")
    t.kill()
    for refused in (t, Tasklet(print)):
        for function in (lambda t: _core.pause(t, "x"), _core.resume, _core.bring_forward):
            with pytest.raises(TaskletError, match="that has started and not ended"):
                function(refused)
    with pytest.raises(TypeError, match="wants a tasklet"):
        _core.resume(1)


def test_one_in_a_queue_is_not_resumed():
    c = Channel()
    t = spawn(c.receive)
    schedule()
    with pytest.raises(TaskletError, match="only what it waits for can do that"):
        _core.resume(t)
    assert c.balance == -1
    t.kill()


def test_bring_forward_makes_it_the_next_one(log):
    spawn(log.append, 1)
    t = spawn(log.append, 2)
    assert _core.bring_forward(t)
    assert _core.whole_round()[1] is t
    schedule()
    assert log == [2, 1]


def test_the_whole_round_begins_with_the_running_one():
    a, b = spawn(schedule), spawn(schedule)
    assert _core.whole_round() == [_core.current(), a, b]
    assert _core.whole_round(a) == _core.whole_round()
    assert _core.ready_count() == 3
    schedule()
    schedule()


def test_a_switch_trap_forbids_to_give_way(log):
    t = spawn(log.append, 1)
    assert _core.switch_trap(1) == 0
    try:
        for wait in (schedule, lambda: sleep(0.001), t.join, Channel().receive):
            with pytest.raises(RuntimeError, match=r"^switch_trap$"):
                wait()
    finally:
        assert _core.switch_trap(-1) == 1
    t.join()
    assert log == [1]


def test_under_a_switch_trap_an_exchange_does_not_switch(log):
    c = Channel()
    t = spawn(lambda: log.append(c.receive()))
    schedule()
    _core.switch_trap(1)
    try:
        c.send(1)
        assert log == []
    finally:
        _core.switch_trap(-1)
    t.join()
    assert log == [1]


def test_the_watcher_is_told_of_each_new_turn(log):
    main = _core.current()
    t = spawn(schedule)
    assert _core.watch(lambda before, now: log.append((before, now))) is None
    try:
        schedule()
        schedule()
    finally:
        _core.watch(None)
    assert log == [(main, t), (t, main), (main, t), (None, main)]


def test_what_the_watcher_raises_is_reported_and_it_must_not_give_way(log, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda args: log.append(str(args.exc_value)))
    t = spawn(int)
    _core.watch(lambda before, now: schedule())
    try:
        schedule()
    finally:
        _core.watch(None)
    assert t.finished
    assert log == ["Recursive scheduler call due to callbacks!"] * 2


@leak_checked
def test_watching_and_pausing_keep_nothing():
    _core.watch(lambda before, now: None)
    t = spawn(schedule)
    schedule()
    _core.pause(t, object())
    t.kill()
    _core.watch(None)


def test_a_slice_wants_units_and_a_function():
    for wrong in ((-1, False, print), (1, False, None)):
        with pytest.raises(ValueError, match="a slice is a number of units"):
            _core.set_slice(*wrong)
    _core.set_slice(0, False, None)


def test_what_c_code_calls_is_known_as_such(log):
    def called(_=None):
        log.append(_core.is_called_by_c(sys._getframe()))

    called()
    sorted([1], key=called)
    assert log == [False, True]
    with pytest.raises(TypeError, match="wants a frame"):
        _core.is_called_by_c(1)

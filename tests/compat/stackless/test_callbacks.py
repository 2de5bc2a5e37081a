"""set_schedule_callback() and set_channel_callback()."""

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, tasklet

# ---- Switches --------------------------------------------------------------------------------


def test_the_schedule_callback_gets_who_had_the_turn_and_who_has_it(log):
    main = stackless.getmain()
    t = tasklet(schedule)()
    stackless.set_schedule_callback(lambda before, now: log.append((before, now)))
    schedule()
    assert log == [(main, t), (t, main)]


def test_next_is_none_when_a_tasklet_ends_and_previous_after_that(log):
    main = stackless.getmain()
    t = tasklet(int)()
    stackless.set_schedule_callback(lambda before, now: log.append((before, now)))
    schedule()
    assert log == [(main, t), (t, None), (None, main)]


def test_the_schedule_callback_sees_exchanges(log):
    main, c = stackless.getmain(), channel()
    t = tasklet(lambda: (c.receive(), schedule()))()
    stackless.run()
    stackless.set_schedule_callback(lambda before, now: log.append((before, now)))
    c.send(1)
    assert log == [(main, t), (t, main)]


def test_a_turn_of_oneself_is_no_switch(log):
    stackless.set_schedule_callback(lambda before, now: log.append((before, now)))
    schedule()
    assert log == []


def test_set_schedule_callback_returns_the_previous_one():
    def callback(before, now):
        pass

    assert stackless.set_schedule_callback(callback) is None
    assert stackless.get_schedule_callback() is callback
    assert stackless.set_schedule_callback(None) is callback
    assert stackless.get_schedule_callback() is None


def test_the_schedule_callback_must_be_callable():
    with pytest.raises(TypeError, match=r"^schedule callback must be callable$"):
        stackless.set_schedule_callback(1)


def test_what_the_schedule_callback_raises_is_reported_as_unraisable(log, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda args: log.append((args.object, args.exc_type)))
    t = tasklet(int)
    stackless.set_schedule_callback(lambda before, now: 1 / 0)
    t()
    schedule()
    assert log == [("Error in scheduling callback", ZeroDivisionError)] * 3


def test_switching_in_the_schedule_callback_is_refused(log, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda args: log.append(str(args.exc_value)))
    tasklet(schedule)()
    stackless.set_schedule_callback(lambda before, now: channel().receive())
    schedule()
    assert log == ["Recursive scheduler call due to callbacks!"] * 2


# ---- Exchanges -------------------------------------------------------------------------------


def test_the_channel_callback_is_called_before_each_operation(log):
    main, c = stackless.getmain(), channel()
    stackless.set_channel_callback(lambda *args: log.append(args))
    t = tasklet(c.receive)()
    stackless.run()
    c.send(1)
    assert log == [(c, t, 0, 1), (c, main, 1, 0)]


def test_the_value_is_in_tempval_when_it_is_called(log):
    c = channel()
    stackless.set_channel_callback(
        lambda c, t, sending, willblock: log.append((sending, willblock, t.tempval))
    )
    tasklet(c.send)("value")
    stackless.run()
    c.receive()
    assert log == [(1, 1, "value"), (0, 0, None)]


def test_channels_in_the_channel_callback_are_refused(log):
    c = channel()

    def callback(*args):
        channel().send(1)

    stackless.set_channel_callback(callback)
    with pytest.raises(RuntimeError, match=r"^Recursive channel call due to callbacks!$"):
        c.send(1)
    assert c.balance == 0


def test_what_the_channel_callback_raises_the_operation_raises():
    c = channel()
    tasklet(c.receive)()
    stackless.run()
    stackless.set_channel_callback(lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        c.send(1)
    assert c.balance == -1


def test_set_channel_callback_returns_the_previous_one():
    def callback(*args):
        pass

    assert stackless.set_channel_callback(callback) is None
    assert stackless.get_channel_callback() is callback
    assert stackless.set_channel_callback(None) is callback
    assert stackless.get_channel_callback() is None


def test_the_channel_callback_must_be_callable():
    with pytest.raises(TypeError, match=r"^channel callback must be callable$"):
        stackless.set_channel_callback(1)

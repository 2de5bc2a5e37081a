"""Channels: the exchange, waiting, closing, exceptions, iteration."""

import pickle
import re
import weakref

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, tasklet
from tests.support.isolated import run_isolated

CLOSED = "^Send/receive operation on a closed channel$"


def receiving(log, c):
    log.append(c.receive())


def test_the_constructor_ignores_its_arguments():
    assert channel(1, 2, x=3).balance == 0


def test_send_returns_none_and_receive_the_value(log):
    c = channel()
    tasklet(lambda: log.append(c.send("value")))()
    assert c.receive() == "value"
    stackless.run()
    assert log == [None]


def test_balance_counts_waiting_senders_and_receivers():
    c = channel()
    for _ in range(2):
        tasklet(c.send)(1)
    stackless.run()
    assert c.balance == 2
    d = channel()
    for _ in range(3):
        tasklet(d.receive)()
    stackless.run()
    assert d.balance == -3


def test_balance_is_read_only():
    with pytest.raises(AttributeError):
        channel().balance = 1


def test_those_who_wait_are_served_in_the_order_they_came(log):
    c = channel()
    for number in range(3):
        tasklet(c.send)(number)
    stackless.run()
    assert [c.receive() for _ in range(3)] == [0, 1, 2]


def test_queue_is_the_first_that_waits():
    c = channel()
    assert c.queue is None
    a = tasklet(c.receive)()
    tasklet(c.receive)()
    stackless.run()
    assert c.queue is a


def test_who_blocks_leaves_the_round(log):
    c = channel()
    t = tasklet(c.receive)()
    schedule()
    assert t.blocked
    assert stackless.getruncount() == 1


def test_a_channel_that_nobody_else_holds_lives_as_long_as_it_is_waited_for():
    t = tasklet(lambda: channel().receive())()
    stackless.run()
    assert t._channel.balance == -1
    reference = weakref.ref(t._channel)
    t.kill()
    assert reference() is None


def test_channels_have_weak_references_and_subclasses(log):
    class Named(channel):
        def __init__(self, name):
            self.name = name

    c = Named("c")
    tasklet(receiving)(log, c)
    stackless.run()
    c.send(c.name)
    assert log == ["c"]


# ---- Preference ------------------------------------------------------------------------------


def test_the_default_preference_is_for_receivers():
    assert channel().preference == -1


def test_with_minus_one_a_sender_switches_to_the_receiver_at_once(log):
    c = channel()
    tasklet(receiving)(log, c)
    stackless.run()
    tasklet(log.append)("the rest of the round")
    c.send("received")
    log.append("sender")
    assert log == ["received", "the rest of the round", "sender"]


def test_with_minus_one_a_receiver_goes_on(log):
    c = channel()
    tasklet(lambda: (c.send(1), log.append("sender")))()
    stackless.run()
    c.receive()
    log.append("receiver")
    stackless.run()
    assert log == ["receiver", "sender"]


def test_with_plus_one_a_receiver_switches_to_the_sender_at_once(log):
    c = channel()
    c.preference = 1
    tasklet(lambda: (c.send(1), log.append("sender")))()
    stackless.run()
    c.receive()
    log.append("receiver")
    assert log == ["sender", "receiver"]


def test_with_plus_one_a_sender_goes_on(log):
    c = channel()
    c.preference = 1
    tasklet(receiving)(log, c)
    stackless.run()
    c.send("received")
    log.append("sender")
    stackless.run()
    assert log == ["sender", "received"]


def test_with_zero_nobody_switches(log):
    c, d = channel(), channel()
    c.preference = d.preference = 0
    tasklet(receiving)(log, c)
    tasklet(lambda: (d.send(1), log.append("sender")))()
    stackless.run()
    c.send("received")
    d.receive()
    log.append("neither")
    stackless.run()
    assert log == ["neither", "received", "sender"]


def test_the_other_side_goes_to_the_end_of_the_round(log):
    c = channel()
    c.preference = 0
    tasklet(receiving)(log, c)
    stackless.run()
    tasklet(log.append)("ready before")
    c.send("received")
    stackless.run()
    assert log == ["ready before", "received"]


def test_schedule_all_runs_the_next_in_the_round_whatever_the_preference(log):
    c = channel()
    c.schedule_all = 1
    tasklet(receiving)(log, c)
    stackless.run()
    tasklet(log.append)("next in the round")
    c.send("received")
    log.append("sender")
    assert log == ["next in the round", "received", "sender"]


def test_schedule_all_holds_for_receivers_too(log):
    c = channel()
    c.schedule_all = True
    tasklet(lambda: (c.send("value"), log.append("sender")))()
    stackless.run()
    assert c.receive() == "value"
    assert log == ["sender"]


def test_schedule_all_can_be_taken_back(log):
    c = channel()
    c.preference = 1
    c.schedule_all = True
    c.schedule_all = False
    assert (c.preference, c.schedule_all) == (1, False)
    tasklet(receiving)(log, c)
    stackless.run()
    c.send(1)
    assert log == []


def test_preference_is_clamped_to_its_sign():
    c = channel()
    for value, kept in ((5, 1), (-7, -1), (0, 0), (2**70, 1)):
        c.preference = value
        assert c.preference == kept


def test_preference_must_be_an_integer():
    with pytest.raises(TypeError, match=r"^preference must be set to an integer$"):
        channel().preference = 1.0


def test_schedule_all_must_be_a_bool_or_integer():
    with pytest.raises(TypeError, match=r"^schedule_all must be set to a bool or integer$"):
        channel().schedule_all = None


# ---- Closing ---------------------------------------------------------------------------------


def test_a_channel_is_closed_once_it_is_closing_and_nobody_waits():
    c = channel()
    assert (c.closing, c.closed) == (False, False)
    tasklet(c.send)(1)
    stackless.run()
    c.close()
    assert (c.closing, c.closed) == (True, False)
    c.receive()
    assert (c.closing, c.closed) == (True, True)


def test_open_undoes_close(log):
    c = channel()
    c.close()
    c.open()
    assert (c.closing, c.closed) == (False, False)
    tasklet(receiving)(log, c)
    stackless.run()
    c.send(1)
    assert log == [1]


def test_on_a_closed_channel_nobody_can_wait():
    c = channel()
    c.close()
    with pytest.raises(ValueError, match=CLOSED):
        c.send(1)
    with pytest.raises(ValueError, match=CLOSED):
        c.receive()
    assert c.balance == 0


def test_those_who_wait_when_it_is_closed_go_on_waiting_and_are_served(log):
    c = channel()
    t = tasklet(receiving)(log, c)
    stackless.run()
    c.close()
    stackless.run()
    assert t.blocked
    c.send("late")
    assert log == ["late"]


# ---- Exceptions ------------------------------------------------------------------------------


def test_send_exception_raises_in_the_receiver():
    c = channel()
    tasklet(c.send_exception)(OSError, 2, "none")
    with pytest.raises(FileNotFoundError, match="none"):
        c.receive()


def test_send_exception_to_one_that_waits(log):
    c = channel()

    def body():
        with pytest.raises(KeyError):
            c.receive()
        log.append("raised")

    tasklet(body)()
    stackless.run()
    c.send_exception(KeyError)
    assert log == ["raised"]


def test_send_exception_wants_a_class():
    with pytest.raises(TypeError, match=r"^channel\.send_exception needs Exception"):
        channel().send_exception(KeyError())


def test_send_throw_raises_as_raise_does():
    c = channel()
    tasklet(c.send_throw)(KeyError, "x")
    with pytest.raises(KeyError, match="x"):
        c.receive()
    error = KeyError("y")
    tasklet(c.send_throw)(error)
    with pytest.raises(KeyError) as caught:
        c.receive()
    assert caught.value is error
    with pytest.raises(TypeError, match=r"^exceptions must be classes, or instances, not int$"):
        c.send_throw(1)


def test_send_throw_with_a_traceback():
    c = channel()

    def source():
        raise KeyError

    try:
        source()
    except KeyError as error:
        tasklet(c.send_throw)(KeyError, None, error.__traceback__)
    with pytest.raises(KeyError) as caught:
        c.receive()
    assert "source" in [entry.name for entry in caught.traceback]


def test_a_bomb_that_is_sent_explodes_in_the_receiver():
    c = channel()
    tasklet(c.send)(stackless.bomb(KeyError, KeyError("x")))
    with pytest.raises(KeyError, match="x"):
        c.receive()


def test_a_bomb_without_arguments_keeps_the_exception_being_handled():
    try:
        raise KeyError("x")
    except KeyError as error:
        handled, kept = error, stackless.bomb()
    assert (kept.type, kept.value) == (KeyError, handled)
    assert kept.traceback is handled.__traceback__


# ---- Sequences and iteration -----------------------------------------------------------------


def test_send_sequence_sends_all_and_returns_how_many(log):
    c = channel()
    tasklet(lambda: log.append(c.send_sequence(iter("abc"))))()
    assert [c.receive() for _ in range(3)] == ["a", "b", "c"]
    stackless.run()
    assert log == [3]


def test_iterating_receives_until_the_channel_is_closing_and_nobody_sends(log):
    c = channel()
    assert iter(c) is c

    def sender():
        c.send_sequence(range(3))
        c.close()

    tasklet(sender)()
    c.preference = 1
    assert list(c) == [0, 1, 2]


def test_iterating_takes_what_waits_in_a_closing_channel():
    c = channel()
    for number in range(2):
        tasklet(c.send)(number)
    stackless.run()
    c.close()
    assert list(c) == [0, 1]


def test_a_sender_can_end_an_iteration(log):
    c = channel()

    def sender():
        c.send(1)
        c.send_exception(StopIteration)

    tasklet(sender)()
    assert list(c) == [1]
    assert not c.closing


def test_a_channel_without_waiters_can_be_pickled():
    c = channel()
    c.preference = 1
    c.close()
    copy = pickle.loads(pickle.dumps(c))
    assert (copy.preference, copy.closing) == (1, True)


def test_a_channel_with_waiters_cannot_be_pickled():
    c = channel()
    tasklet(c.receive)()
    stackless.run()
    with pytest.raises(RuntimeError, match=r"cannot pickle <channel at .*, balance -1>"):
        c.__reduce__()


def test_the_text_of_a_channel_says_how_it_is():
    c = channel()
    assert re.fullmatch(r"<channel at 0x\w+, balance 0>", repr(c))
    c.close()
    assert repr(c).endswith(", closed>")


def test_nothing_else_need_have_been_used_for_its_errors_to_be_raised():
    text = run_isolated(
        """
from ringlet.compat.stackless import channel
c = channel()
def attempt(exchange, *args):
    try:
        exchange(*args)
    except Exception as error:
        print(type(error).__name__, error)
attempt(c.receive)
attempt(c.send, 1)
c.close()
attempt(c.receive)
attempt(c.send, 1)
"""
    ).stdout
    assert text.splitlines() == [
        *["RuntimeError Deadlock: the last runnable tasklet cannot be blocked."] * 2,
        *["ValueError Send/receive operation on a closed channel"] * 2,
    ]

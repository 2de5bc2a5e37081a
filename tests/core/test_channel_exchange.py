"""The exchange of a channel: its queue, its buffer, and that each step is one step."""

import gc
import threading
import weakref
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlet import Channel, ChannelClosed, TaskletError, WouldBlock, _core
from ringlet._core import park, schedule, spawn, wake
from tests.support.isolated import run_isolated
from tests.support.leaks import leak_checked


class Marker:
    """Something that can be watched as it goes."""


def sending(channel, log, value):
    """Send, and write down how that ended."""
    try:
        channel.send(value)
        log.append(("sent", value))
    except BaseException as error:
        log.append((type(error).__name__, value))


def receiving(channel, log, name):
    """Receive, and write down how that ended."""
    try:
        log.append((name, channel.receive()))
    except BaseException as error:
        log.append((name, type(error).__name__))


def settle():
    """Let everybody ready run until nobody is."""
    while any(t.state == "ready" for t in _core.living()):
        schedule()


# --- The queue ------------------------------------------------------------------------------------


def test_balance_counts_who_waits():
    channel, log = Channel(), []
    seen = [channel.balance]
    for name in "ab":
        spawn(receiving, channel, log, name)
        schedule()
        seen.append(channel.balance)
    for value in (1, 2):
        channel.send(value)
        seen.append(channel.balance)
    for value in (3, 4):
        spawn(sending, channel, log, value)
        schedule()
        seen.append(channel.balance)
    assert [channel.receive(), channel.receive()] == [3, 4]
    assert seen == [0, -1, -2, -1, 0, 1, 2]
    settle()


@pytest.mark.parametrize("leaver", [0, 1, 2])
@pytest.mark.parametrize("waiting", ["senders", "receivers"])
def test_anybody_may_leave_the_queue(waiting, leaver):
    channel, log = Channel(), []
    body = sending if waiting == "senders" else receiving
    tasklets = [spawn(body, channel, log, number) for number in range(3)]
    schedule()
    assert channel._waiters() == tasklets
    tasklets[leaver].kill()
    assert abs(channel.balance) == 2
    left = [number for number in range(3) if number != leaver]
    assert channel._waiters() == [tasklets[number] for number in left]
    if waiting == "senders":
        assert [channel.receive() for _ in left] == left
    else:
        for number in left:
            channel.send(number)
    settle()
    assert channel.balance == 0
    assert all(t.finished for t in tasklets)


def test_a_waiting_tasklet_keeps_its_channel():
    channel, log = Channel(), []
    gone = weakref.ref(channel)
    tasklet = spawn(receiving, channel, log, "r")
    schedule()
    del channel
    gc.collect()
    assert gone() is tasklet.waiting_on
    gone().send(1)
    settle()
    assert log == [("r", 1)]
    assert gone() is None


# --- What is carried ------------------------------------------------------------------------------


def test_the_channel_keeps_nothing_it_has_handed_over():
    channel = Channel()
    marker = Marker()
    gone = weakref.ref(marker)
    spawn(channel.send, marker)
    schedule()
    del marker
    assert channel.receive() is gone()
    settle()
    gc.collect()
    assert gone() is None


def test_an_exception_may_be_an_ordinary_value():
    channel = Channel()
    error = ValueError()
    spawn(channel.send, error)
    assert channel.receive() is error
    settle()


def test_the_sender_of_an_exception_does_not_raise_it():
    channel, log = Channel(), []
    sender = spawn(channel.send_exception, KeyError("k"))
    schedule()
    receiving(channel, log, "r")
    settle()
    assert log == [("r", "KeyError")]
    assert sender.result() is None


def test_an_exception_that_is_taken_back_is_not_raised():
    channel = Channel()
    sender = spawn(channel.send_exception, KeyError("k"))
    schedule()
    sender.kill()
    spawn(channel.send, "value")
    assert channel.receive() == "value"
    settle()


def test_only_exceptions_are_sent_to_be_raised():
    channel = Channel(1)
    with pytest.raises(TypeError, match="wants an exception"):
        channel.send_exception(1)
    with pytest.raises(TypeError, match="wants an exception instance"):
        channel._send(ValueError, True)
    with pytest.raises(TypeError, match="takes 2 arguments"):
        channel._try_send(1)
    assert len(channel) == 0


def test_what_a_receiver_that_is_killed_at_once_was_given_goes():
    channel, marker = Channel(preference=0), Marker()
    gone = weakref.ref(marker)
    receiver = spawn(receiving, channel, [], "r")
    schedule()
    channel.send(marker)
    del marker
    receiver.kill()
    settle()
    gc.collect()
    assert gone() is None


# --- The buffer -----------------------------------------------------------------------------------


def test_the_buffer_goes_round_and_grows():
    channel, expected, received = Channel(None), deque(), []
    for number in range(100):
        channel.send(number)
        expected.append(number)
        if number % 3:
            received.append((channel.receive(), expected.popleft()))
    assert len(channel) == len(expected)
    received += [(channel.receive(), expected.popleft()) for _ in range(len(channel))]
    assert all(got == wanted for got, wanted in received)


def test_a_full_buffer_takes_from_the_first_sender_when_somebody_receives():
    channel, log = Channel(2), []
    for number in range(5):
        spawn(sending, channel, log, number)
    settle()
    assert (len(channel), channel.balance) == (2, 3)
    assert [channel.receive() for _ in range(5)] == [0, 1, 2, 3, 4]
    settle()
    assert sorted(log) == [("sent", number) for number in range(5)]


def test_exceptions_wait_in_the_buffer_like_values():
    channel, log = Channel(1), []
    channel.send_exception(KeyError)
    spawn(channel.send_exception, IndexError)
    schedule()
    for _ in range(2):
        receiving(channel, log, "r")
    assert log == [("r", "KeyError"), ("r", "IndexError")]
    settle()


def test_a_buffer_in_a_cycle_is_collected():
    channel, marker = Channel(None), Marker()
    gone = weakref.ref(marker)
    channel.send(channel)
    channel.send(marker)
    del channel, marker
    gc.collect()
    assert gone() is None


def test_a_channel_is_true_though_empty():
    assert (bool(Channel()), len(Channel())) == (True, 0)


# --- Closing --------------------------------------------------------------------------------------


def test_closing_refuses_each_waiting_receiver_with_an_error_of_its_own():
    channel, errors = Channel(), []

    def receive():
        try:
            channel.receive()
        except ChannelClosed as error:
            errors.append(id(error))

    tasklets = [spawn(receive) for _ in range(3)]
    schedule()
    channel.close()
    channel.close()
    assert channel.balance == 0
    for tasklet in tasklets:
        tasklet.join()
    assert len(set(errors)) == 3


@pytest.mark.parametrize("buffer", [0, 1, None])
def test_a_closed_channel_takes_nothing(buffer):
    channel = Channel(buffer)
    channel.close()
    for send in (channel.send, channel.send_nowait):
        with pytest.raises(ChannelClosed, match="cannot send on <channel"):
            send(1)
    with pytest.raises(ChannelClosed):
        channel.send(1, timeout=1)
    with pytest.raises(ChannelClosed):
        channel.send_exception(ValueError)
    for receive in (channel.receive, channel.receive_nowait):
        with pytest.raises(ChannelClosed, match="nothing is left in it"):
            receive()
    channel.open()
    with pytest.raises(WouldBlock):
        channel.receive_nowait()


# --- Where nobody may wait ------------------------------------------------------------------------


def test_in_the_hub_a_channel_works_as_far_as_it_need_not_wait():
    channel, log = Channel(), []
    receiver = spawn(receiving, channel, log, "r")
    sender = spawn(sending, other := Channel(), log, "to the hub")
    me = _core.current()
    schedule()

    def in_hub():
        try:
            log.append(("hub", other.receive()))
            channel.send("from the hub")
            for call in (channel.receive, lambda: channel.send("lost")):
                try:
                    call()
                except TaskletError as error:
                    log.append(("hub", str(error).startswith("cannot wait for <channel")))
        finally:
            wake(me)

    _core.hub().call_soon(in_hub)
    park()
    for tasklet in (receiver, sender):
        tasklet.join()
    assert channel.balance == 0
    assert log[:3] == [("hub", "to the hub"), ("hub", True), ("hub", True)]
    assert sorted(log[3:]) == [("r", "from the hub"), ("sent", "to the hub")]


# --- Threads --------------------------------------------------------------------------------------


def in_thread(f, *args):
    thread = threading.Thread(target=f, args=args)
    thread.start()
    return thread


@pytest.mark.parametrize("buffer", [0, 1, None])
@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_values_cross_threads_in_order(buffer, preference):
    channel = Channel(buffer, preference)
    thread = in_thread(channel.send_sequence, range(20))
    assert [channel.receive() for _ in range(20)] == list(range(20))
    thread.join()


def test_a_thread_that_waits_is_told_of_the_close():
    channel, log = Channel(), []
    thread = in_thread(receiving, channel, log, "r")
    while channel.balance == 0:
        pass
    channel.close()
    thread.join()
    assert log == [("r", "ChannelClosed")]


def test_a_thread_that_ends_leaves_the_queue():
    channel, log = Channel(), []

    def body():
        spawn(receiving, channel, log, "r")
        spawn(sending, Channel(), log, "s")
        schedule()

    in_thread(body).join()
    assert channel.balance == 0
    assert sorted(log) == [("GreenletExit", "s"), ("r", "GreenletExit")]


RACE = """
import sys, threading
import ringlet

sys.setswitchinterval(1e-6)
COUNT = 1500

def produce(channel):
    for number in range(COUNT):
        channel.send(number)

def insist(channel):
    sent = 0
    while sent < COUNT:
        try:
            channel.send_nowait(sent)
        except ringlet.WouldBlock:
            ringlet.sleep(0)
        else:
            sent += 1

for body, buffer in [(produce, 0), (produce, 1), (produce, 3), (produce, None), (insist, 0)]:
    channel = ringlet.Channel(buffer)
    threads = [threading.Thread(target=body, args=[channel]) for _ in range(2)]
    for thread in threads:
        thread.start()
    total = most = 0
    for _ in range(2 * COUNT):
        total += channel.receive()
        most = max(most, len(channel))
    assert total == COUNT * (COUNT - 1), (buffer, total)
    assert buffer is None or most <= buffer, (buffer, most)
    for thread in threads:
        thread.join()
"""


def test_nothing_is_lost_or_overfilled_when_threads_race():
    run_isolated(RACE)


# --- A model --------------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.sampled_from(["send", "receive", "send now", "receive now", "kill", "close", "open"]),
    max_size=40,
)


class Model:
    """What a channel does, told in the simplest way; nobody has a preference."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.buffer, self.senders, self.receivers = deque(), deque(), deque()
        self.closed = False
        self.log = []

    def send(self, value, may_wait):
        if self.closed:
            self.log.append(("ChannelClosed", value))
        elif self.receivers:
            self.log += [("sent", value), (self.receivers.popleft(), value)]
        elif self.capacity is None or len(self.buffer) < self.capacity:
            self.buffer.append(value)
            self.log.append(("sent", value))
        elif may_wait:
            self.senders.append(value)
        else:
            self.log.append(("WouldBlock", value))

    def receive(self, name, may_wait):
        if not self.buffer and self.senders:
            value = self.senders.popleft()
            self.log += [("sent", value), (name, value)]
        elif self.buffer:
            self.log.append((name, self.buffer.popleft()))
            if self.senders:
                self.buffer.append(value := self.senders.popleft())
                self.log.append(("sent", value))
        elif self.closed:
            self.log.append((name, "ChannelClosed"))
        elif may_wait:
            self.receivers.append(name)
        else:
            self.log.append((name, "WouldBlock"))

    def kill(self):
        if self.senders:
            self.log.append(("TaskletExit", self.senders.popleft()))
        elif self.receivers:
            self.log.append((self.receivers.popleft(), "TaskletExit"))

    def close(self):
        self.closed = True
        while self.receivers:
            self.log.append((self.receivers.popleft(), "ChannelClosed"))


def play(capacity, preference, actions):
    """Do the same to a channel and to the model, and compare what can be seen of them."""
    channel, model, log = Channel(capacity, preference), Model(capacity), []
    for number, action in enumerate(actions):
        if action == "send":
            spawn(sending, channel, log, number)
            model.send(number, True)
        elif action == "receive":
            spawn(receiving, channel, log, number)
            model.receive(number, True)
        elif action == "send now":
            try:
                channel.send_nowait(number)
                log.append(("sent", number))
            except (WouldBlock, ChannelClosed) as error:
                log.append((type(error).__name__, number))
            model.send(number, False)
        elif action == "receive now":
            try:
                log.append((number, channel.receive_nowait()))
            except (WouldBlock, ChannelClosed) as error:
                log.append((number, type(error).__name__))
            model.receive(number, False)
        elif action == "kill":
            for waiter in channel._waiters()[:1]:
                waiter.kill()
            model.kill()
        elif action == "close":
            channel.close()
            model.close()
        else:
            channel.open()
            model.closed = False
        settle()
        assert sorted(map(repr, log)) == sorted(map(repr, model.log)), actions[: number + 1]
        assert len(channel) == len(model.buffer)
        assert channel.balance == len(model.senders) - len(model.receivers)
    for waiter in channel._waiters():
        waiter.kill()


@given(st.sampled_from([0, 1, 2, None]), st.sampled_from([-1, 0, 1]), ACTIONS)
def test_it_does_what_the_model_does(capacity, preference, actions):
    play(capacity, preference, actions)


def test_no_history_leaks():
    @leak_checked
    def history():
        actions = ["send", "send", "kill", "receive", "receive", "receive", "send now", "close"]
        for capacity in (0, 1, None):
            play(capacity, -1, [*actions, "receive now", "open", *actions])

    history()

"""Channels: who gets what, who runs when, and what is never lost."""

import threading

import pytest

from ringlet import Channel, ChannelClosed, Timeout, WouldBlock, current, schedule, sleep, spawn
from ringlet.testing import fake_clock


def receive_into(transcript: list, channel: Channel, name: str) -> None:
    transcript.append((name, channel.receive()))


def test_a_sender_waits_until_its_value_is_taken() -> None:
    channel, done = Channel(), []
    sender = spawn(lambda: done.append(channel.send("value")))
    schedule()
    assert (sender.state, channel.balance, done) == ("parked", 1, [])
    assert channel.receive() == "value"
    sender.join()
    assert (channel.balance, done) == (0, [None])


def test_those_who_wait_are_served_in_the_order_they_came() -> None:
    channel, transcript = Channel(preference=0), []
    tasklets = [spawn(receive_into, transcript, channel, name) for name in "abc"]
    schedule()
    assert channel.balance == -3
    assert channel.send_sequence([1, 2, 3]) == 3
    for tasklet in tasklets:
        tasklet.join()
    assert transcript == [("a", 1), ("b", 2), ("c", 3)]


@pytest.mark.parametrize(
    ("preference", "order"),
    [
        (-1, ["receiver has it", "sender goes on", "bystander"]),
        (0, ["sender goes on", "bystander", "receiver has it"]),
        (1, ["sender goes on", "bystander", "receiver has it"]),
    ],
)
def test_who_runs_first_when_a_receiver_waits(preference: int, order: list[str]) -> None:
    channel, transcript = Channel(preference=preference), []

    def receiver() -> None:
        channel.receive()
        transcript.append("receiver has it")

    def sender() -> None:
        channel.send(None)
        transcript.append("sender goes on")

    def bystander() -> None:
        transcript.append("bystander")

    first = spawn(receiver)
    schedule()
    tasklets = [first, spawn(sender), spawn(bystander)]
    for tasklet in tasklets:
        tasklet.join()
    if preference == -1:
        # The sender stays in the ring and runs after a full round.
        order = ["receiver has it", "bystander", "sender goes on"]
    assert transcript == order


@pytest.mark.parametrize(
    ("preference", "first"), [(-1, "receiver"), (0, "receiver"), (1, "sender")]
)
def test_who_runs_first_when_a_sender_waits(preference: int, first: str) -> None:
    channel, transcript = Channel(preference=preference), []

    def sender() -> None:
        channel.send(None)
        transcript.append("sender")

    def receiver() -> None:
        channel.receive()
        transcript.append("receiver")

    one = spawn(sender)
    schedule()
    other = spawn(receiver)
    one.join()
    other.join()
    assert transcript[0] == first


def test_preference_is_clamped_to_its_sign_and_must_be_a_number() -> None:
    channel = Channel(preference=7)
    assert channel.preference == 1
    channel.preference = -(10**30)
    assert channel.preference == -1
    with pytest.raises(TypeError, match="preference must be an integer"):
        channel.preference = "left"  # type: ignore[assignment]


def test_a_buffer_larger_than_any_memory_takes_any_number() -> None:
    channel = Channel(10**30)
    channel.send(1)
    assert channel.receive() == 1


def test_a_time_limit_that_runs_out_transfers_nothing() -> None:
    channel = Channel()
    with fake_clock() as clock:
        with pytest.raises(Timeout, match="within 3 s"):
            channel.send("lost?", timeout=3)
        assert (clock.now, channel.balance) == (3, 0)
        with pytest.raises(Timeout):
            channel.receive(timeout=2)
        assert (clock.now, channel.balance) == (5, 0)
        with pytest.raises(Timeout):
            channel.receive(timeout=0)


def test_a_value_that_came_in_time_is_kept_though_the_limit_runs_out_in_the_same_turn() -> None:
    channel, got = Channel(preference=0), []
    with fake_clock() as clock:
        tasklet = spawn(lambda: got.append(channel.receive(timeout=1)))
        schedule()
        channel.send("in time")
        clock.advance(10)
        tasklet.join()
    assert got == ["in time"]


def test_killing_a_waiting_sender_takes_its_value_back() -> None:
    channel = Channel()
    sender = spawn(channel.send, "taken back")
    schedule()
    sender.kill()
    assert channel.balance == 0
    with pytest.raises(WouldBlock):
        channel.receive_nowait()


def test_closing_ends_waiting_receivers_and_iteration() -> None:
    channel, ended = Channel(), []

    def receiver() -> None:
        with pytest.raises(ChannelClosed, match="was closed"):
            channel.receive()
        ended.append("receiver")

    def reader() -> None:
        assert list(channel) == []
        ended.append("reader")

    tasklets = [spawn(receiver), spawn(reader)]
    schedule()
    channel.close()
    channel.close()
    for tasklet in tasklets:
        tasklet.join()
    assert ended == ["receiver", "reader"]
    assert channel.closed


def test_what_senders_wait_with_survives_closing() -> None:
    channel = Channel()
    sender = spawn(channel.send, 1)
    schedule()
    channel.close()
    with pytest.raises(ChannelClosed, match="cannot send"):
        channel.send(2)
    assert list(channel) == [1]
    sender.join()
    with pytest.raises(ChannelClosed, match="nothing is left"):
        channel.receive()
    channel.open()
    with pytest.raises(WouldBlock):
        channel.send_nowait(3)


def test_a_sent_exception_is_raised_in_the_receiver() -> None:
    channel = Channel()
    spawn(channel.send_exception, KeyError("from afar"))
    with pytest.raises(KeyError, match="from afar"):
        channel.receive()
    caught = []

    def receiver() -> None:
        try:
            channel.receive()
        except ValueError as error:
            caught.append(error)

    tasklet = spawn(receiver)
    schedule()
    channel.send_exception(ValueError)
    tasklet.join()
    assert len(caught) == 1
    with pytest.raises(TypeError):
        channel.send_exception("no exception")  # type: ignore[arg-type]


def test_a_buffer_takes_values_until_it_is_full() -> None:
    channel = Channel(buffer=2)
    channel.send(1)
    channel.send(2)
    assert (len(channel), channel.balance, bool(channel)) == (2, 0, True)
    with pytest.raises(WouldBlock):
        channel.send_nowait(3)
    sender = spawn(channel.send, 3)
    schedule()
    assert channel.balance == 1
    assert [channel.receive() for _ in range(3)] == [1, 2, 3]
    sender.join()


def test_an_unbounded_buffer_never_waits_and_is_drained_after_closing() -> None:
    channel = Channel(buffer=None)
    assert channel.send_sequence(range(1000)) == 1000
    channel.send_exception(ValueError("last"))
    channel.close()
    assert [channel.receive() for _ in range(1000)] == list(range(1000))
    with pytest.raises(ValueError, match="last"):
        channel.receive()
    with pytest.raises(ChannelClosed):
        channel.receive()


@pytest.mark.parametrize("size", [-1, 1.5, "many"])
def test_a_buffer_must_be_a_size(size: object) -> None:
    with pytest.raises(ValueError, match="buffer is a number"):
        Channel(size)  # type: ignore[arg-type]


def test_threads_share_a_channel() -> None:
    there, back = Channel(), Channel()

    def echo() -> None:
        for value in there:
            back.send(value * 2)
        back.close()

    thread = threading.Thread(target=echo)
    thread.start()
    feeder = spawn(lambda: (there.send_sequence(range(50)), there.close()))
    assert list(back) == [2 * number for number in range(50)]
    feeder.join()
    thread.join()


def test_what_it_is_doing_shows() -> None:
    channel = Channel()
    waiter = spawn(channel.receive)
    schedule()
    assert "balance -1" in repr(channel)
    assert waiter.waiting_on is channel
    assert "waiting for <channel" in repr(waiter)
    channel.close()
    assert "closed" in repr(channel)
    with pytest.raises(ChannelClosed):
        waiter.result()


def test_a_ring_of_many_tasklets_passes_a_token_round() -> None:
    channels = [Channel() for _ in range(200)]

    def station(number: int) -> None:
        for _ in range(3):
            value = channels[number].receive()
            channels[(number + 1) % len(channels)].send(value + 1)

    stations = [spawn(station, number) for number in range(1, len(channels))]
    value = 0
    for _ in range(3):
        channels[1].send(value)
        value = channels[0].receive()
    for tasklet in stations:
        tasklet.join()
    assert value == 3 * (len(channels) - 1)
    assert current().state == "running"
    sleep(0)

"""Threads send and receive in every way there is; what was sent must be received, once.

Arguments: the channels' buffer ("None" for any number) and a seed.
"""

import random
import sys
import threading
from collections import Counter

import ringlet
from ringlet import Channel, ChannelClosed, Timeout, WouldBlock, select

BUFFER = None if sys.argv[1] == "None" else int(sys.argv[1])
SEED = int(sys.argv[2])
THREADS, TASKLETS, EACH = 3, 4, 120
BRIEFLY = 0.0002

sys.setswitchinterval(1e-6)
channels = [Channel[int](BUFFER, preference) for preference in (-1, 0, 1)]
sent: list[int] = []
taken_back: list[int] = []
received: list[int] = []
failures: list[BaseException] = []


def send(dice: random.Random, value: int) -> None:
    """Send a value to any channel in any way; it counts as sent if nothing is raised."""
    channel, other = dice.sample(channels, 2)
    try:
        match dice.randrange(6):
            case 0:
                channel.send(value)
            case 1:
                channel.send(value, timeout=BRIEFLY)
            case 2:
                channel.send_nowait(value)
            case 3:
                select(channel.sending(value), other.sending(value))
            case 4:
                select(other.sending(value), channel.sending(value), timeout=BRIEFLY)
            case 5:
                # It may receive instead, what another one sends.
                done = select(channel.sending(value), other.receiving())
                if done.index == 1:
                    received.append(done.value)
                    taken_back.append(value)
                    return
    except (Timeout, WouldBlock):
        taken_back.append(value)
    else:
        sent.append(value)


def receive(dice: random.Random) -> None:
    """Receive from any channel in any way. ChannelClosed once one is closed and drained."""
    channel, other = dice.sample(channels, 2)
    try:
        match dice.randrange(6):
            case 0:
                received.append(channel.receive())
            case 1:
                received.append(channel.receive(timeout=BRIEFLY))
            case 2:
                received.append(channel.receive_nowait())
            case 3:
                received.append(select(*(one.receiving() for one in channels)).value)
            case 4:
                received.append(
                    select(channel.receiving(), other.receiving(), timeout=BRIEFLY).value
                )
            case 5:
                done = select(channel.receiving(), other.receiving(), default=None)
                if done.index >= 0:
                    received.append(done.value)
                else:
                    ringlet.schedule()
    except (Timeout, WouldBlock):
        ringlet.schedule()


def producer(number: int) -> None:
    dice = random.Random(SEED + number)
    for value in range(number * EACH, (number + 1) * EACH):
        send(dice, value)


def consumer(number: int) -> None:
    dice = random.Random(SEED - 1 - number)
    while not all(channel.closed for channel in channels):
        try:
            receive(dice)
        except ChannelClosed:
            ringlet.schedule()
    for channel in channels:
        received.extend(channel)


def thread(work, numbers) -> None:
    try:
        tasklets = [ringlet.spawn(work, number) for number in numbers]
        for tasklet in tasklets:
            tasklet.result()
    except BaseException as error:
        failures.append(error)
        raise


def threads(work) -> list[threading.Thread]:
    made = [
        threading.Thread(target=thread, args=(work, range(i * TASKLETS, (i + 1) * TASKLETS)))
        for i in range(THREADS)
    ]
    for one in made:
        one.start()
    return made


producers, consumers = threads(producer), threads(consumer)
for one in producers:
    one.join()
for channel in channels:
    channel.close()
for one in consumers:
    one.join()
assert not failures, failures
assert len(sent) + len(taken_back) == THREADS * TASKLETS * EACH
assert Counter(received) == Counter(sent), Counter(received) - Counter(sent)
assert len(set(received)) == len(received)
assert [channel.balance for channel in channels] == [0, 0, 0]
assert [len(channel) for channel in channels] == [0, 0, 0]
print(len(sent), "sent", len(taken_back), "taken back")

"""Finalizers use the channels in the midst of whatever else is done with them.

Garbage is collected at every opportunity; what is taken apart sends, receives, selects, closes and
opens. What was sent must be received, once. The argument is a seed.
"""

import gc
import random
import sys
from collections import Counter

from ringlet import Channel, ChannelClosed, Timeout, WouldBlock, select, spawn

dice = random.Random(int(sys.argv[1]))
channels = [Channel(0), Channel(0, 1), Channel(1, 0), Channel(None)]
sent: list[int] = []
received: list[int] = []
meddled = serial = depth = 0


class Meddler:
    """Garbage that does something with a channel as it goes: it is part of a cycle."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        global meddled, depth
        if depth < 3:
            depth += 1
            meddled += 1
            act(may_wait=False)
            depth -= 1


class Carrier:
    """A value that meddles when it is dropped."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.meddler = Meddler()


def act(may_wait: bool) -> None:
    """Do one thing with the channels."""
    global serial
    channel, other = dice.sample(channels, 2)
    serial += 1
    number = serial
    value = Carrier(number) if may_wait and dice.random() < 0.3 else number
    how = {"timeout": 0.001} if may_wait else {"default": None}
    try:
        match dice.randrange(7 if may_wait else 9):
            case 0 | 1:
                channel.send(value, timeout=0.001) if may_wait else channel.send_nowait(value)
                sent.append(number)
            case 2 | 3:
                take(channel.receive(timeout=0.001) if may_wait else channel.receive_nowait())
            case 4:
                done = select(channel.receiving(), other.receiving(), **how)
                if done.index >= 0:
                    take(done.value)
            case 5:
                if select(channel.sending(value), other.sending(value), **how).index >= 0:
                    sent.append(number)
            case 6:
                done = select(channel.sending(value), other.receiving(), **how)
                if done.index == 0:
                    sent.append(number)
                elif done.index == 1:
                    take(done.value)
            case 7:
                channel.close()
            case 8:
                channel.open()
    except (ChannelClosed, Timeout, WouldBlock):
        pass


def take(value: object) -> None:
    received.append(value.number if isinstance(value, Carrier) else value)


def work() -> None:
    for _ in range(60):
        Meddler()
        act(may_wait=True)


def meddle(unraisable: object) -> None:
    failures.append(unraisable)


failures: list[object] = []
sys.unraisablehook = meddle
gc.set_threshold(1)
for tasklet in [spawn(work) for _ in range(8)]:
    tasklet.result()
gc.set_threshold(700)
depth = 3  # no more
for channel in channels:
    while channel.balance > 0 or len(channel):
        take(channel.receive_nowait())
    assert channel.balance == 0
assert not failures, failures
assert Counter(received) == Counter(sent), (Counter(received), Counter(sent))
assert len(set(received)) == len(received)
assert meddled > 50, meddled
print(len(received), "received,", meddled, "meddled")

"""Does each thing with greenlets again and again, with requests for memory refused each time.

First from the first request on, then from the second, until none is left to refuse; the argument
says how many in a row. Whatever the outcome, all
greenlets must be as before or have done what was asked, and go on.
"""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ringlet
from ringlet import Channel, GreenletExit, getcurrent, greenlet, settrace, sync

library = ctypes.CDLL(None)
refuse = library.rl_refuse
refuse.argtypes = [ctypes.c_long, ctypes.c_long]
refuse.restype = None
library.rl_grant.restype = ctypes.c_long
WIDTH = int(sys.argv[1])

main = getcurrent()
SPARE = 8  # rounds without a refusal after which nothing is left to refuse


def grant() -> int:
    """Call rl_grant, which may itself be refused memory until there is no more to refuse."""
    while True:
        try:
            return library.rl_grant()
        except (MemoryError, SystemError):  # ctypes tells it in either way
            continue


def echo(value: Any = None) -> None:
    """Answers forever; what memory it lacks itself it takes lightly."""
    while True:
        try:
            value = main.switch(value)
        except MemoryError:
            value = "lacking"


def sink(depth: int) -> None:
    """The same from deep within C code."""
    if depth:
        sorted([0], key=lambda _: sink(depth - 1))
    else:
        echo()


def started(run: Callable[..., Any] = echo, *args: Any) -> greenlet:
    made = greenlet(run)
    made.switch(*args)
    return made


def answers(one: greenlet) -> None:
    assert one.switch("question") == "question"


# Each yields what is done without memory, and then looks at what has become of it.


def making() -> Iterator[Callable[[], Any]]:
    yield lambda: greenlet(echo)


def making_with_a_parent() -> Iterator[Callable[[], Any]]:
    class Sub(greenlet):
        pass

    yield lambda: Sub(run=echo, parent=main)


def starting() -> Iterator[Callable[[], Any]]:
    new = greenlet(echo)
    yield lambda: new.switch("first")
    if not new and not new.dead:
        assert new.run is echo
        assert new.switch("again") == "again"
    if not new.dead:
        answers(new)


def starting_with_keywords() -> Iterator[Callable[[], Any]]:
    new = greenlet(echo)
    yield lambda: new.switch(value="first")
    if not new and not new.dead:
        assert new.switch("again") == "again"
    if not new.dead:
        answers(new)


def starting_a_crowd() -> Iterator[Callable[[], Any]]:
    """All stay, so that later ones need blocks of their own."""
    crowd = [greenlet(echo) for _ in range(10)]
    crowds.append(crowd)

    def start() -> None:
        for one in crowd:
            one.switch("first")

    yield start
    for one in crowd:
        if not one and not one.dead:
            one.switch()
        if one:
            answers(one)


def switching() -> Iterator[Callable[[], Any]]:
    one = started()
    yield lambda: one.switch("value")
    answers(one)


def switching_with_keywords() -> Iterator[Callable[[], Any]]:
    one = started()
    yield lambda: one.switch(*range(50), x=3)  # more than the interpreter keeps tuples for
    answers(one)


def switching_to_a_deep_one() -> Iterator[Callable[[], Any]]:
    one, deep = started(), started(sink, 20)
    yield lambda: (one.switch("value"), deep.switch("value"))
    answers(deep)
    answers(one)


def throwing() -> Iterator[Callable[[], Any]]:
    one = started()

    def throw() -> None:
        with contextlib.suppress(KeyError):
            one.throw(KeyError, "thrown")

    yield throw
    assert one or one.dead
    if one:
        answers(one)


def throwing_into_a_new_one() -> Iterator[Callable[[], Any]]:
    new = greenlet(echo)
    yield new.throw
    if not new.dead:
        assert isinstance(new.throw(), GreenletExit)
    assert new.dead


def dropping() -> Iterator[Callable[[], Any]]:
    kept = [started(sink, 3)]
    yield kept.clear


def ending() -> Iterator[Callable[[], Any]]:
    one, deep = started(), started(sink, 20)
    outer = greenlet(lambda: greenlet(int, deep).switch())  # making functions can crash CPython
    yield lambda: outer.switch()
    answers(deep)
    answers(one)


def changing_the_parent() -> Iterator[Callable[[], Any]]:
    one, other = greenlet(echo), started()
    yield lambda: setattr(one, "parent", other)
    assert one.parent in (main, other)
    answers(other)


def looking_at_frames() -> Iterator[Callable[[], Any]]:
    one, deep = started(), started(sink, 20)
    frames: list[Any] = []
    yield lambda: frames.extend((one.gr_frame, deep.gr_frame))
    assert frames in ([], [one.gr_frame, deep.gr_frame])
    answers(deep)
    answers(one)


def tracing() -> Iterator[Callable[[], Any]]:
    seen: list[str] = []
    one = started()

    def tracer(event: str, _: Any) -> None:
        seen.append(event)

    def trace() -> None:
        settrace(tracer)
        one.switch("traced")
        one.switch("traced")

    yield trace
    settrace(None)
    answers(one)


def in_a_new_thread() -> Iterator[Callable[[], Any]]:
    """The first greenlets of a thread."""
    outcome: list[str] = []

    def work() -> None:
        went = []
        with contextlib.suppress(MemoryError):
            refuse(number, WIDTH)
            # In 3.15.0, append() drops what it has no room for twice.
            went = [greenlet(getcurrent().switch).switch("went")]
        refusals.append(grant())
        outcome.extend(went)
        outcome.append(greenlet(getcurrent().switch).switch("again"))

    number = rounds[-1]
    yield lambda: None
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome in (["again"], ["went", "again"]), outcome


def spawning() -> Iterator[Callable[[], Any]]:
    done: list[int] = []

    def spawn() -> None:
        ringlet.spawn(done.append, 1)
        ringlet.schedule()

    yield spawn
    ringlet.schedule()
    ringlet.spawn(done.append, 2)
    ringlet.schedule()
    assert done[-1:] == [2]


def exchanging() -> Iterator[Callable[[], Any]]:
    channel: Channel[Any] = Channel()
    got: list[Any] = []

    def receive() -> None:
        while True:
            try:
                value = channel.receive()
                if value == "end":
                    return
                got[:] = [value]
            except MemoryError:
                continue

    receiver = ringlet.spawn(receive)
    ringlet.schedule()
    yield lambda: (channel.send(1), ringlet.schedule(), channel.send(2))
    ringlet.schedule()
    channel.send("last")
    ringlet.schedule()
    assert got == ["last"], got
    channel.send("end")
    assert receiver.join(10)


def sleeping() -> Iterator[Callable[[], Any]]:
    timers = ringlet._core.hub().timers
    before = len(timers)
    woken: list[int] = []

    def sleep(number: int) -> None:
        ringlet.sleep(0.001)
        woken.append(number)

    def sleep_some() -> None:
        for number in range(3):
            ringlet.spawn(sleep, number)
        ringlet.schedule()

    sleepers = len(ringlet.tasklets())
    yield sleep_some
    while len(ringlet.tasklets()) > sleepers:
        ringlet.sleep(0.001)
    assert woken == sorted(woken), woken
    assert len(timers) == before, len(timers)


def setting_timers() -> Iterator[Callable[[], Any]]:
    timers = ringlet._core.Timers()
    fired: list[int] = []
    timers.add(1, fired.append, 1)

    def set_more() -> None:
        timers.add(0, fired.append, 0)
        for _ in range(100):  # more than there is room for at first
            timers.add(2, fired.append, 2)

    yield set_more
    count = len(timers)
    timers.add(3, fired.append, 3)
    timers.fire(count + 1, lambda f, *args: f(*args))
    assert fired == sorted(fired)
    assert len(fired) == count + 1
    assert fired[-1] == 3


def limiting() -> Iterator[Callable[[], Any]]:
    timers = ringlet._core.hub().timers
    before = len(timers)
    channel: Channel[Any] = Channel()
    receiver, sleeper = ringlet.spawn(channel.receive), ringlet.spawn(ringlet.sleep, 0.001)
    ringlet.schedule()

    def wait() -> None:
        assert not receiver.join(0.001)
        sleeper.join(60)

    yield wait
    assert sleeper.join(60)
    receiver.kill()
    assert len(timers) == before, len(timers)


def handing_over(receive: Callable[..., Any], channels: list[Channel[Any]]) -> Iterator[Any]:
    """What send() does not refuse is received, once.

    Neither side is the main tasklet: that one is told what goes wrong in the hub, wherever it is.
    """
    got: list[Any] = [None] * 8
    sent: list[Any] = [None] * 8
    received = 0

    def collect() -> None:
        nonlocal received
        while True:
            try:
                value = receive()
                if value == "end":
                    return
                got[received] = value
                received += 1
            except MemoryError:
                continue

    def send() -> None:
        count = 0
        for number in range(6):
            try:
                channels[number & 1].send(number)
                sent[count] = number
                count += 1
            except MemoryError:
                pass

    def turns() -> None:
        for _ in range(12):
            ringlet.schedule()

    receiver = ringlet.spawn(collect)
    ringlet.schedule()
    sender = ringlet.spawn(send)
    yield turns
    assert sender.join(10)
    while any(len(channel) for channel in channels):
        ringlet.schedule()
    channels[0].send("end")
    assert receiver.join(10)
    assert sorted(got, key=str) == sorted(sent, key=str), (got, sent)
    assert [channel.balance for channel in channels] == [0, 0]


def receiving_what_was_sent() -> Iterator[Callable[[], Any]]:
    channel: Channel[Any] = Channel()
    return handing_over(channel.receive, [channel, channel])


def receiving_when_senders_run_first() -> Iterator[Callable[[], Any]]:
    channel: Channel[Any] = Channel(preference=1)
    return handing_over(channel.receive, [channel, channel])


def selecting() -> Iterator[Callable[[], Any]]:
    channels: list[Channel[Any]] = [Channel(), Channel(preference=1)]
    arms = [channel.receiving() for channel in channels]
    return handing_over(lambda: ringlet.select(*arms).value, channels)


def selecting_from_buffers() -> Iterator[Callable[[], Any]]:
    channels: list[Channel[Any]] = [Channel(1), Channel(None)]
    arms = [channel.receiving() for channel in channels]
    return handing_over(lambda: ringlet.select(*arms).value, channels)


def giving_a_block_so_much_time() -> Iterator[Callable[[], Any]]:
    timers = ringlet._core.hub().timers
    before = len(timers)
    channel: Channel[Any] = Channel()
    expired: list[bool] = []

    def wait() -> None:
        with ringlet.timeout(60), ringlet.timeout(0.001, quiet=True) as scope:
            channel.receive()
        expired.append(scope.expired)

    yield wait
    assert len(timers) == before, len(timers)
    assert channel.balance == 0
    expired.clear()
    wait()
    assert expired == [True]


def locking() -> Iterator[Callable[[], Any]]:
    lock = sync.Lock()

    def hold() -> None:
        with lock:
            ringlet.schedule()

    def take() -> None:
        with lock:
            pass

    holder = ringlet.spawn(hold)
    ringlet.schedule()
    yield take
    holder.join()
    assert (lock.locked(), lock.waiting) == (False, 0)


def waiting_for_a_notification() -> Iterator[Callable[[], Any]]:
    condition = sync.Condition()

    def notify() -> None:
        while True:
            try:
                with condition:
                    condition.notify()
                ringlet.schedule()
            except MemoryError:
                continue

    def wait() -> None:
        with condition:
            condition.wait()

    notifier = ringlet.spawn(notify)
    ringlet.schedule()
    yield wait
    notifier.kill()
    assert (condition._lock.locked(), condition.waiting) == (False, 0)


def queueing() -> Iterator[Callable[[], Any]]:
    items: sync.Queue[Any] = sync.Queue(1)
    put: list[Any] = []
    got: list[Any] = []

    def consume() -> None:
        item = None
        while item != "end":
            try:
                item = items.get()
                got.append(item)
            except MemoryError:
                continue

    def produce() -> None:
        for item in range(3):
            items.put(item)
            put.append(item)

    consumer = ringlet.spawn(consume)
    ringlet.schedule()
    yield produce
    items.put("end")
    consumer.join()
    # Of one that was put or got there may have been no memory to write that down.
    assert len(set(got) ^ {*put, "end"}) <= 2, (put, got)
    assert (items.qsize(), items.waiting) == (0, 0)


crowds: list[list[greenlet]] = []
rounds: list[int] = []  # of the scene under way
refusals: list[int] = []  # that another thread has seen
SCENES = [
    making,
    making_with_a_parent,
    starting,
    starting_with_keywords,
    starting_a_crowd,
    switching,
    switching_with_keywords,
    switching_to_a_deep_one,
    throwing,
    throwing_into_a_new_one,
    dropping,
    ending,
    changing_the_parent,
    looking_at_frames,
    tracing,
    in_a_new_thread,
    spawning,
    exchanging,
    receiving_what_was_sent,
    receiving_when_senders_run_first,
    selecting,
    selecting_from_buffers,
    locking,
    waiting_for_a_notification,
    queueing,
    sleeping,
    limiting,
    giving_a_block_so_much_time,
    setting_timers,
]


def play(scene: Callable[[], Iterator[Callable[[], Any]]]) -> int:
    """Do one thing without memory until it needs no more; returns how often memory was refused."""
    bystanders = [started(), started(sink, 10)]
    unrefused = number = total = 0
    while unrefused < SPARE:
        rounds.append(number)
        acting = scene()
        act = next(acting)
        try:
            refuse(number, WIDTH)
            act()
        except MemoryError:
            pass
        refused = grant()
        next(acting, None)
        for one in bystanders:
            answers(one)
        if scene is in_a_new_thread:
            refused = refusals.pop()
        unrefused = 0 if refused else unrefused + 1
        total += refused > 0
        number += 1
    return total


def silent(_: Any) -> None:
    """For unraisable errors: those of greenlets that are dropped while memory is short."""


sys.unraisablehook = silent
total = 0
for scene in SCENES:
    print(scene.__name__, end=" ", flush=True)
    count = play(scene)
    print(count, flush=True)
    total += count
print("refused in", total, "rounds")
assert total > 30

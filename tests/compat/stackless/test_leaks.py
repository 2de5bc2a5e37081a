"""Nothing is left of what has ended."""

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, schedule_remove, tasklet
from tests.support.leaks import leak_checked


def failing():
    raise KeyError


def endless():
    while True:
        pass


def ends():
    for _ in range(3):
        tasklet(schedule)()
    stackless.run()


def is_discarded():
    tasklet(print, (1,))
    tasklet(print)
    tasklet()


def is_killed():
    for wait in (schedule_remove, channel().receive):
        t = tasklet(wait)()
        stackless.run()
        t.kill()


def fails():
    tasklet(failing)()
    with pytest.raises(KeyError):
        stackless.run()


def is_bound_again():
    t = tasklet(int)()
    stackless.run()
    t.bind(int)()
    stackless.run()


def exchanges():
    c = channel()
    tasklet(c.send_sequence)(["a", "b"])
    tasklet(c.send_exception)(KeyError)
    assert c.receive() == "a"
    with pytest.raises(KeyError):
        c.receive()
    assert c.receive() == "b"
    stackless.run()


def deadlocks():
    with pytest.raises(RuntimeError):
        channel().receive()


def is_watched():
    stackless.set_schedule_callback(lambda before, now: None)
    stackless.set_channel_callback(lambda *args: None)
    c = channel()
    tasklet(c.receive)()
    stackless.run()
    c.send(1)
    schedule()
    stackless.set_schedule_callback(None)
    stackless.set_channel_callback(None)


def is_interrupted():
    t = tasklet(endless)()
    assert stackless.run(100) is t
    t.insert()
    assert stackless.run(100, soft=False, totaltimeout=True) is t
    t.kill()


@pytest.mark.parametrize(
    "body",
    [
        ends,
        is_discarded,
        is_killed,
        fails,
        is_bound_again,
        exchanges,
        deadlocks,
        is_watched,
        is_interrupted,
    ],
)
def test_nothing_is_left_of_a_tasklet_that(body):
    leak_checked(body)()

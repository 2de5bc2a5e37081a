"""The hub: time, signals, other threads, and what it says when nothing can happen any more."""

import os
import signal
import threading

import pytest

from ringlet import (
    Channel,
    TaskletError,
    _core,
    call_threadsafe,
    current,
    getcurrent,
    greenlet,
    schedule,
    sleep,
    spawn,
)
from ringlet.sched import wait
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated


def test_sleepers_wake_in_the_order_of_time() -> None:
    with fake_clock() as clock:
        woken = []

        def sleeper(seconds: float) -> None:
            sleep(seconds)
            woken.append((seconds, clock.now))

        tasklets = [spawn(sleeper, seconds) for seconds in (3600, 1, 86400, 60)]
        for tasklet in tasklets:
            tasklet.join()
    assert woken == [(1, 1), (60, 60), (3600, 3600), (86400, 86400)]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("-inf")])
def test_nobody_sleeps_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot sleep"):
        sleep(seconds)


def test_sleep_wants_a_number():
    with pytest.raises(TypeError, match="a number of seconds, not 'long'"):
        sleep("long")


def test_timers_fire_though_somebody_is_always_ready() -> None:
    with fake_clock() as clock:
        sleeper = spawn(sleep, 1)
        turns = 0
        while not sleeper.finished and turns < 10_000:
            turns += 1
            clock.advance(0.001)
            schedule()
    assert sleeper.finished


def test_nothing_may_block_in_the_hub() -> None:
    errors = []

    def callback() -> None:
        try:
            Channel().receive()
        except TaskletError as error:
            errors.append(str(error))

    _core.hub().call_soon(callback)
    with fake_clock():
        sleep(1)
    assert len(errors) == 1
    assert "in the hub" in errors[0]
    assert "spawn a tasklet" in errors[0]


def test_a_call_from_another_thread_is_made_here() -> None:
    channel: Channel = Channel()
    schedule()
    waiter = spawn(channel.receive)
    schedule()

    def elsewhere() -> None:
        call_threadsafe(channel.send_nowait, threading.get_ident())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert waiter.result() == thread.ident
    thread.join()


def test_another_thread_wakes_a_tasklet_while_the_hub_polls() -> None:
    me = current()
    thread = threading.Thread(target=lambda: _core.wake(me, "woken"))
    spawn(thread.start)
    assert wait.park("another thread") == "woken"
    thread.join()


def test_a_signal_handler_wakes_a_tasklet_while_the_hub_polls() -> None:
    me = current()
    old = signal.signal(signal.SIGUSR1, lambda *_: _core.wake(me, "signalled"))
    try:
        helper = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
        spawn(helper.start)
        assert wait.park("a signal") == "signalled"
        helper.join()
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_what_a_signal_handler_raises_reaches_the_main_program() -> None:
    outcome = run_isolated(
        """
import os, signal, threading
from ringlet import sleep, spawn
other = spawn(sleep, 0.2)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    sleep(100)
except KeyboardInterrupt:
    print("interrupted")
print(other.join())
"""
    )
    assert outcome.stdout == "interrupted\nTrue\n"


def test_a_deadlock_names_everybody_and_where_they_stand() -> None:
    outcome = run_isolated(
        """
from ringlet import Channel, Deadlock, spawn
never = Channel()
def stuck_worker():
    never.receive()
spawn(stuck_worker)
try:
    never.receive()
except Deadlock as error:
    print(error)
"""
    )
    text = outcome.stdout
    assert "all 2 tasklets of MainThread wait" in text
    assert "tasklet main at" in text
    assert "tasklet stuck_worker at" in text
    assert "balance -2" in text
    assert "in stuck_worker" in text
    assert text.count("line ") == 2


def test_it_is_no_deadlock_while_a_thread_may_still_help() -> None:
    outcome = run_isolated(
        """
import threading, time
from ringlet import Channel
channel = Channel()
def late():
    time.sleep(0.1)
    channel.send("rescued")
threading.Thread(target=late).start()
print(channel.receive())
"""
    )
    assert outcome.stdout == "rescued\n"


def test_a_blocking_call_in_a_greenlet_resumes_that_greenlet() -> None:
    channel = Channel()
    seen = []

    def body() -> None:
        inner = greenlet(lambda: seen.append((channel.receive(), getcurrent() is inner)))
        inner.switch()
        seen.append(current().state)

    tasklet = spawn(body)
    schedule()
    channel.send("value")
    tasklet.join()
    assert seen == [("value", True), "running"]


def test_deadlock_is_raised_again_each_time() -> None:
    outcome = run_isolated(
        """
from ringlet import Channel, Deadlock
for _ in range(2):
    try:
        Channel().receive()
    except Deadlock:
        print("deadlock")
"""
    )
    assert outcome.stdout == "deadlock\ndeadlock\n"


def test_a_signal_handler_of_the_program_may_still_help() -> None:
    outcome = run_isolated(
        """
import signal
from ringlet import Channel
channel = Channel()
signal.signal(signal.SIGALRM, lambda *_: channel.send_nowait("rescued"))
signal.setitimer(signal.ITIMER_REAL, 0.05)
print(channel.receive())
"""
    )
    assert outcome.stdout == "rescued\n"


def test_a_callback_that_exits_is_called_once_and_exits_the_program() -> None:
    calls = []

    def leave() -> None:
        calls.append(1)
        raise SystemExit(4)

    _core.hub().call_soon(leave)
    with pytest.raises(SystemExit):
        sleep(1000)
    schedule()
    assert calls == [1]

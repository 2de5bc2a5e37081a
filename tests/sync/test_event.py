"""Event: everybody who waits goes on once it is set, from wherever that is done."""

import signal

import pytest

import ringlet
from ringlet import spawn
from ringlet.sync import Event
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated
from tests.sync.helpers import blocked_thread, in_thread, settle


def test_all_who_wait_go_on_when_it_is_set():
    event = Event()
    assert (event.is_set(), event.waiting) == (False, 0)
    tasklets = [spawn(event.wait) for _ in range(3)]
    ringlet.schedule()
    assert event.waiters == tasklets
    assert tasklets[0].waiting_on is event
    event.set()
    assert event.waiting == 0
    assert [tasklet.result() for tasklet in tasklets] == [True] * 3
    assert event.wait() is True
    assert event.wait(0) is True
    event.clear()
    assert event.is_set() is False


def test_one_that_waits_goes_on_even_if_it_is_cleared_at_once():
    event = Event()
    waiter = spawn(event.wait, timeout=None)
    ringlet.schedule()
    event.set()
    event.clear()
    assert waiter.result() is True


def test_a_time_limit_ends_the_wait():
    event = Event()
    with fake_clock() as clock:
        assert event.wait(2) is False
        assert event.wait(timeout=3) is False
        assert event.wait(0) is event.wait(-1) is False
        assert clock.now == 5
    with pytest.raises(TypeError):
        event.wait("2")
    assert event.waiting == 0


def test_one_that_is_killed_leaves_the_queue():
    event = Event()
    tasklets = [spawn(event.wait) for _ in range(3)]
    ringlet.schedule()
    tasklets.pop(1).kill()
    assert event.waiters == tasklets
    event.set()
    settle()


def test_it_is_set_from_another_thread_and_waited_for_there():
    event = Event()
    waiter = spawn(event.wait)
    ringlet.schedule()
    assert in_thread(event.set) is None
    assert waiter.result() is True
    event.clear()
    with blocked_thread(event.wait) as results:
        event.set()
    assert results == [True]


def test_it_is_set_from_a_signal_handler():
    run_isolated(
        """
import os, signal, threading, ringlet
from ringlet.sync import Event
event = Event()
signal.signal(signal.SIGUSR1, lambda *_: event.set())
# Only once the main program waits, in the hub's poll.
ringlet.spawn(lambda: threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1)).start())
assert event.wait(30)
"""
    )
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_statistics_and_representation():
    event = Event()
    with fake_clock():
        waiter = spawn(event.wait)
        ringlet.sleep(3)
        assert repr(event) == f"<sync.Event at {id(event):#x}: unset, 1 waiting>"
        event.set()
        waiter.join()
    assert repr(event) == f"<sync.Event at {id(event):#x}: set>"
    assert event.statistics == (0, 1, 3.0, 1)

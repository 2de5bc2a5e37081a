"""Signals that tasklets wait for, and handlers that may block."""

import contextvars
import os
import selectors
import signal as stdlib
import threading

import pytest

import ringlet
from ringlet.io import signals
from ringlet.io.threadpool import to_thread
from ringlet.sched.pollers import SelectorPoller, use_poller
from ringlet.testing import fake_clock, run_until_blocked
from tests.io.settling import settle
from tests.support.isolated import run_isolated

USR1, USR2 = stdlib.SIGUSR1, stdlib.SIGUSR2


@pytest.fixture(autouse=True)
def _handlers():
    """A test leaves handlers as they were."""
    # By SIGALRM a test that takes too long is ended.
    numbers = stdlib.valid_signals() - {stdlib.SIGALRM}
    before = {number: stdlib.getsignal(number) for number in numbers}
    yield
    assert before == {number: stdlib.getsignal(number) for number in numbers}


def send(*signums):
    for signum in signums:
        os.kill(os.getpid(), signum)


# --- what it is ---------------------------------------------------------------------------------


def test_every_name_of_the_standard_library_is_here():
    for name in dir(stdlib):
        if not name.startswith("_"):
            assert name in signals.__all__
            assert hasattr(signals, name)
            assert name in dir(signals)
    assert signals.SIGTERM is stdlib.SIGTERM
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = signals.no_such_name


# --- channels -----------------------------------------------------------------------------------


def test_catching():
    seen = []

    def watch():
        with signals.catching(USR1, USR2) as channel:
            for number in channel:
                seen.append(number)
                if number == USR2:
                    break

    watching = ringlet.spawn(watch)
    settle()
    for number in (USR1, USR1, USR2):
        send(number)
        run_until_blocked()
    watching.result()
    assert seen == [USR1, USR1, USR2]
    assert seen[0] is USR1  # a member of signal.Signals, with its name


def test_nothing_is_lost_between_two_receives():
    with signals.catching(USR1, USR2) as channel:
        send(USR1)
        send(USR2)
        ringlet.schedule()
        assert {channel.receive(), channel.receive()} == {USR1, USR2}


def test_the_channel_is_closed_at_the_end():
    with signals.catching(USR1) as channel:
        waiting = ringlet.spawn(list, channel)
        settle()
    assert waiting.result() == []
    assert channel.closed


def test_several_catch_one_signal():
    with signals.catching(USR1) as a:
        with signals.catching(USR1, USR2) as b:
            send(USR1)
            assert (a.receive(), b.receive()) == (USR1, USR1)
        send(USR1)
        assert a.receive() == USR1


def test_what_was_before_is_again_afterwards():
    numbers = []
    stdlib.signal(USR1, lambda number, _: numbers.append(number))
    try:
        with signals.catching(USR1) as channel:
            send(USR1)
            assert channel.receive() == USR1
        send(USR1)
        settle()
        assert numbers == [USR1]
    finally:
        stdlib.signal(USR1, stdlib.SIG_DFL)


def test_a_handler_that_was_set_meanwhile_stays():
    with signals.catching(USR1):
        stdlib.signal(USR1, stdlib.SIG_IGN)
    assert stdlib.getsignal(USR1) is stdlib.SIG_IGN
    stdlib.signal(USR1, stdlib.SIG_DFL)


def test_what_cannot_be_caught():
    with pytest.raises(OSError, match="Invalid argument"):
        signals.on(stdlib.SIGKILL, print)
    with pytest.raises(OSError, match="Invalid argument"), signals.catching(USR1, stdlib.SIGKILL):
        pass
    with pytest.raises(ValueError, match="10000"), signals.catching(10000):
        pass
    with pytest.raises(ValueError, match="name the signals"), signals.catching():
        pass


def test_only_in_the_main_thread():
    def catch():
        with pytest.raises(ValueError, match="main thread"), signals.catching(USR1):
            pass
        with pytest.raises(ValueError, match="main thread"):
            signals.on(USR1, print)
        with pytest.raises(ValueError, match="main thread"):
            signals.wait_for(USR1)
        with pytest.raises(ValueError, match="main thread"):
            signals.pause()

    to_thread(catch)


# --- waiting for one ----------------------------------------------------------------------------


def test_wait_for():
    waiting = ringlet.spawn(signals.wait_for, USR1, USR2)
    settle()
    send(USR2)
    assert waiting.result() == USR2


def test_wait_for_in_time():
    with fake_clock() as clock, pytest.raises(ringlet.Timeout):
        signals.wait_for(USR1, timeout=5)
    assert clock.now == 5


def test_waiting_for_a_signal_is_no_deadlock():
    """The main program waits, and nothing else could wake it."""
    sender = threading.Thread(target=send_when_main_sleeps, args=(os.getpid(),))
    sender.daemon = True
    sender.start()
    assert signals.wait_for(USR1) == USR1
    sender.join()


def wait_until_main_sleeps():
    """Return when the main thread waits in a system call."""
    with open(f"/proc/self/task/{os.getpid()}/stat", "rb", 0) as file:
        while True:
            file.seek(0)
            if file.read().rpartition(b")")[2].split()[0] == b"S":
                return


def send_when_main_sleeps(pid):
    wait_until_main_sleeps()
    os.kill(pid, USR1)


@pytest.mark.parametrize("poller", ["epoll", "select"])
def test_a_signal_that_comes_to_another_thread_is_noticed(poller):
    """It does not interrupt the hub's system call."""

    def send_here():
        wait_until_main_sleeps()
        stdlib.pthread_kill(threading.get_ident(), USR1)

    if poller == "select":
        use_poller(SelectorPoller(selectors.SelectSelector()))
    try:
        with signals.catching(USR1) as channel:
            for _ in range(3):
                # Its end wakes nobody, as that of a job would.
                thread = threading.Thread(target=send_here)
                thread.start()
                assert channel.receive() == USR1
                thread.join()
    finally:
        use_poller(None)


# --- handlers -----------------------------------------------------------------------------------


def test_a_handler_may_block():
    gate = ringlet.Channel()
    steps = []

    def handle(number):
        steps.append(("begins", number))
        gate.receive()
        steps.append("ends")

    with signals.on(USR1, handle) as subscription:
        assert repr(subscription) == "<subscription to SIGUSR1>"
        send(USR1)
        run_until_blocked()
        send(USR1)
        run_until_blocked()
        assert steps == [("begins", USR1)] * 2
        gate.send(None)
        gate.send(None)
        run_until_blocked()
        assert steps[2:] == ["ends"] * 2
    subscription.close()


def test_handlers_have_the_context_of_on():
    variable = contextvars.ContextVar("variable")
    variable.set("on")
    seen = ringlet.Channel(None)
    with signals.on(USR1, lambda _: seen.send(variable.get())):
        variable.set("later")
        send(USR1)
        assert seen.receive() == "on"
        run_until_blocked()


def test_an_error_in_a_handler_ends_nothing(monkeypatch):
    errors = []
    monkeypatch.setattr(ringlet, "excepthook", lambda _, error: errors.append(error))
    with signals.on(USR1, lambda _: 1 // 0):
        send(USR1)
        run_until_blocked()
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_keyboard_interrupt_is_the_main_programs_unless_it_is_caught():
    run_isolated(
        """
import os, signal, ringlet
from ringlet.io import signals
with signals.catching(signal.SIGINT) as channel:
    os.kill(os.getpid(), signal.SIGINT)
    assert channel.receive() == signal.SIGINT
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
ringlet.spawn(interrupt)
try:
    ringlet.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""
    )


def test_many_signals():
    """More than a pipe holds, so that it has to be emptied."""
    run_isolated(
        """
import os, signal, threading, ringlet
from ringlet.io import signals
signals.signal(signal.SIGUSR1, lambda *_: None)
for _ in range(70):
    for _ in range(1000):
        os.kill(os.getpid(), signal.SIGUSR1)
    ringlet.sleep(0.0001)
os.write(signals._pipe[1], b"there is room")
"""
    )


# --- the rest of the module ---------------------------------------------------------------------


def test_pause():
    numbers = []
    stdlib.signal(USR1, lambda number, _: numbers.append(number))
    try:
        pausing = ringlet.spawn(signals.pause)
        settle()
        assert pausing.state == "parked"
        send(USR1)
        pausing.result()
        send(USR1)
        settle()
        assert numbers == [USR1, USR1]
    finally:
        stdlib.signal(USR1, stdlib.SIG_DFL)


def test_signal_is_the_standard_librarys():
    def handler(number, frame):
        pass

    assert signals.signal(USR1, handler) is stdlib.SIG_DFL
    assert stdlib.getsignal(USR1) is handler
    assert signals.signal(USR1, stdlib.SIG_DFL) is handler
    with pytest.raises(ValueError, match="main thread"):
        to_thread(signals.signal, USR1, handler)


def test_the_descriptor_of_somebody_else():
    run_isolated(
        """
import os, signal, ringlet
from ringlet import _core
from ringlet.io import signals
reader, writer = os.pipe()
os.set_blocking(reader, False)
os.set_blocking(writer, False)
assert signals.set_wakeup_fd(-1) == -1
signals.signal(signal.SIGUSR1, lambda *_: None)
ours = signal.set_wakeup_fd(-1)
assert ours != -1
signal.set_wakeup_fd(ours)
assert signals.set_wakeup_fd(writer) == -1
os.kill(os.getpid(), signal.SIGUSR1)
assert os.read(reader, 10) == bytes([signal.SIGUSR1])
assert signals.set_wakeup_fd(-1) == writer
assert signal.set_wakeup_fd(ours) == ours
"""
    )


def test_one_that_was_set_before_is_left_alone():
    run_isolated(
        """
import os, signal
from ringlet.io import signals
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
with signals.catching(signal.SIGUSR1) as channel:
    os.kill(os.getpid(), signal.SIGUSR1)
    assert channel.receive() == signal.SIGUSR1
assert signal.set_wakeup_fd(-1) == writer
"""
    )


def test_after_a_fork():
    """The child has a pipe of its own: its signals do not wake the parent, nor are they lost."""
    run_isolated(
        """
import os, signal, ringlet
from ringlet.io import signals
with signals.catching(signal.SIGUSR1) as channel:
    before = signals._pipe
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert channel.receive() == signal.SIGUSR1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    try:
        os.read(before[0], 1)
    except BlockingIOError:
        pass
    else:
        raise AssertionError("the child has written to the parent's pipe")
    assert len(channel) == 0
"""
    )

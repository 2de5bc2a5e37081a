"""Channels between threads: nothing is lost, whoever waits, ends, forks or interrupts."""

import pytest

from tests.support.isolated import run_isolated


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("buffer", ["0", "1", "3", "None"])
def test_what_was_sent_is_received_once(buffer: str, seed: int) -> None:
    said = run_isolated("race_channels.py", buffer, str(seed), timeout=50).stdout
    assert " sent " in said


FORK = """
import os, threading, warnings
from ringlet import Channel, WouldBlock, schedule, select, spawn, current

received, sent, both = Channel(), Channel(), Channel()

def wait():
    spawn(received.receive)
    spawn(sent.send, "lost")
    spawn(select, both.receiving(), both.sending("lost"))
    schedule()
    ready.set()
    done.wait()
    for tasklet in (*received._waiters(), *sent._waiters(), *both._waiters()):
        tasklet.kill()

def refused(f, *args):
    try:
        f(*args)
    except WouldBlock:
        return True
    return False

ready, done = threading.Event(), threading.Event()
thread = threading.Thread(target=wait)
thread.start()
ready.wait()
warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads
child = os.fork()
if child == 0:
    # Nobody of the other thread is here any more.
    assert refused(received.send_nowait, 1)
    assert refused(sent.receive_nowait)
    assert refused(both.receive_nowait)
    assert refused(both.send_nowait, 1)
    assert select(received.sending(1), sent.receiving(), both.receiving(), default=0).index == -1
    for channel in (received, sent, both):
        assert channel.balance == 0, channel
        channel.close()
        channel.open()
        sender = spawn(channel.send, "here")
        assert channel.receive() == "here"
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (received.balance, sent.balance, both.balance) == (-1, 1, 0)
done.set()
thread.join()
"""


def test_in_a_forked_child_nobody_of_other_threads_waits() -> None:
    run_isolated(FORK)


INTERRUPT = """
import signal, threading
from ringlet import Channel, select, spawn, schedule, sleep

class Enough(Exception):
    pass

def handler(signum, frame):
    raise Enough

signal.signal(signal.SIGALRM, handler)
a, b = Channel(), Channel()
for block in (
    a.receive,
    lambda: a.send(1),
    lambda: select(a.receiving(), b.sending(1)),
    lambda: select(a.receiving(), b.sending(1), timeout=100),
):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        block()
    except Enough:
        pass
    else:
        assert False
    assert (a.balance, b.balance) == (0, 0)

def send(signum, frame):
    a.send_nowait("from a handler")

signal.signal(signal.SIGALRM, send)
for block in (a.receive, lambda: select(b.receiving(), a.receiving()).value):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    assert block() == "from a handler"
    assert (a.balance, b.balance) == (0, 0)
"""


def test_signal_handlers_may_end_a_wait_or_send() -> None:
    run_isolated(INTERRUPT)

"""The parent of workers, by itself; tests/tools/test_serve_workers.py has the whole."""

import pytest

from ringlet.servers import prefork
from ringlet.servers.prefork import Child, Supervisor
from tests.support.isolated import run_isolated


def test_any_server_can_have_workers():
    outcome = run_isolated("""
import logging, os, signal, socket
from ringlet import Channel, schedule, spawn, tasklets
from ringlet.servers import StreamServer
from ringlet.servers.listeners import listen
from ringlet.servers.prefork import Supervisor

logging.basicConfig(level=logging.INFO)
listeners = listen(("127.0.0.1", 0))
# The program has tasklets of its own before it forks: the workers begin without them.
spawn(Channel().receive)
schedule()
assert len(tasklets()) == 2

def echo(sock, address):
    sock.sendall(b"%d %d " % (os.getpid(), len(tasklets())) + sock.recv(100))

def work(link):
    assert len(tasklets()) == 1
    server = StreamServer(listeners, echo)
    server.start()
    link.serve(server, grace=10)
    print("worker ends", flush=True)
    return 0

def try_it():
    with socket.create_connection(listeners[0].address) as client:
        client.sendall(b"hello")
        pid, count, word = client.recv(100).split()
        assert int(pid) != os.getpid() and word == b"hello"
    os.kill(os.getpid(), signal.SIGTERM)

assert Supervisor(work, 2, grace=10, when_ready=try_it).run() == 0
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
print("parent ends")
os._exit(0)
""")
    assert outcome.stdout.count("worker ends") == 2
    assert "told to stop by SIGTERM" in outcome.stderr
    assert outcome.stderr.count("(it ended with status 0)") == 2


def test_workers_that_die_at_once_are_started_ever_more_slowly(monkeypatch):
    supervisor = Supervisor(lambda link: 0, 1)
    pauses = []
    for _ in range(9):
        monkeypatch.setattr(prefork.time, "monotonic", lambda: 101.0)
        supervisor._slow_down(Child(1, None, begun=100.0, begun_at=0.0))
        pauses.append(round(supervisor._not_before - 101.0, 3))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    supervisor._slow_down(Child(1, None, begun=90.0, begun_at=0.0))  # it has served for a while
    supervisor._slow_down(Child(1, None, begun=100.0, begun_at=0.0))
    assert round(supervisor._not_before - 101.0, 3) == 0.1


@pytest.mark.parametrize("count", [0, -1])
def test_no_workers_at_all_are_refused(count):
    with pytest.raises(ValueError, match="would serve nobody"):
        Supervisor(lambda link: 0, count)


def test_messages_may_come_in_pieces():
    ours, theirs = prefork.socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        unread = bytearray()
        theirs.sendall(b'{"ready": true}\n{"fail')
        assert prefork.read_messages(ours, unread) == ([{"ready": True}], False)
        theirs.sendall(b'ed": "x"}\n')
        theirs.close()
        assert prefork.read_messages(ours, unread) == ([{"failed": "x"}], True)


def test_a_fork_that_fails_is_tried_again():
    run_isolated("""
import os, signal
from ringlet.servers.prefork import Supervisor
fork, calls = os.fork, []
def fork_in_need():
    calls.append(1)
    if len(calls) == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = fork_in_need
def work(link):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    link.ready()
    while True:
        signal.pause()
stop = lambda: os.kill(os.getpid(), signal.SIGTERM)
assert Supervisor(work, 2, when_ready=stop).run() == 0
assert len(calls) == 3, calls
""")

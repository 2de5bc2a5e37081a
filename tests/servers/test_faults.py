"""Faults that no server can keep away: clients that reset, read nothing or are too many.

What takes minutes of the same is in tests/load.
"""

import contextlib
import logging
import re
import struct

import pytest

import ringlet
from ringlet.io import socket
from ringlet.servers import HTTPLimits, StreamServer, WSGIServer
from tests.servers.scripted import echo, get, post, post_chunks
from tests.support.isolated import run_isolated

LOCAL = ("127.0.0.1", 0)
ON_AND_AT_ONCE = struct.pack("ii", 1, 0)


@pytest.fixture(autouse=True)
def _nobody_left():
    """A test ends its tasklets, and a server its own before long."""
    yield
    while ringlet.tasklets() != [ringlet.main()]:
        ringlet.sleep(0.001)


@contextlib.contextmanager
def running(server):
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


def reset(sock):
    """Close so that the server gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ON_AND_AT_ONCE)
    sock.close()


def receive_to_end(sock):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            received += data
    return received


def ask(server, data):
    """All that the server has to say to `data`."""
    with socket.create_connection(server.address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_to_end(sock)


@pytest.mark.parametrize(
    "data",
    [get("/", "X: y"), post(b"body"), post_chunks(b"abc", b"de"), get() * 3],
    ids=["get", "post", "chunks", "pipeline"],
)
def test_clients_that_reset_at_every_byte_of_an_exchange(data, caplog):
    """Of what they send, and of what they get."""
    with running(WSGIServer(LOCAL, echo)) as server:
        whole = ask(server, data)
        cuts = [(sent, 0) for sent in range(len(data) + 1)]
        cuts += [(len(data), received) for received in range(1, len(whole) + 1)]
        for sent, received in cuts:
            sock = socket.create_connection(server.address)
            sock.sendall(data[:sent])
            while received > 0:
                received -= len(sock.recv(received))
            reset(sock)
        assert ask(server, data).count(b"HTTP/1.1 200") == whole.count(b"HTTP/1.1 200") > 0
        while len(ringlet.tasklets()) > 2:  # main and who accepts
            ringlet.sleep(0.001)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_client_that_resets_a_handler_while_it_sends(caplog):
    """At every part of what it sends, which the kernel takes or not as it likes."""

    def pour(sock, address):
        for _ in range(100):
            sock.sendall(bytes(65536))

    with running(StreamServer(LOCAL, pour)) as server:
        for received in range(0, 2_000_000, 100_001):
            sock = socket.create_connection(server.address)
            while received > 0:
                received -= len(sock.recv(received))
            reset(sock)
        while len(ringlet.tasklets()) > 2:
            ringlet.sleep(0.001)
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}


def test_what_nobody_reads_is_not_made_and_ends_by_the_limit():
    made = []

    def endless(environ, start_response):
        start_response("200 OK", [])
        while True:
            made.append(1)
            yield bytes(65536)

    limits = HTTPLimits(io_timeout=0.3)
    with running(WSGIServer(LOCAL, endless, http_limits=limits)) as server:
        with socket.create_connection(server.address) as sock:
            sock.sendall(get())
            while len(ringlet.tasklets()) < 3:
                ringlet.sleep(0.001)
            while len(ringlet.tasklets()) > 2:
                ringlet.sleep(0.01)
            assert len(made) * 65536 < 50_000_000
            assert not receive_to_end(sock).endswith(b"0\r\n\r\n")


def test_running_out_of_descriptors_is_said_once_and_survived():
    out = run_isolated("""
import logging, os, resource
import socket as stdlib
from ringlet.io import socket
from ringlet.servers import StreamServer

def echo(sock, address):
    while data := sock.recv(100):
        sock.sendall(data)

logging.basicConfig(format="%(levelname)s %(message)s")
server = StreamServer(("127.0.0.1", 0), echo)
server.start()
clients = []
for _ in range(60):
    client = stdlib.create_connection(server.address)  # blocks the thread: nobody accepts meanwhile
    client.sendall(b"x")
    clients.append(socket.socket(fileno=client.detach()))
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, hard))
for client in clients:
    assert client.recv(1) == b"x"
    client.close()  # now there is room for one more
with socket.create_connection(server.address) as late:
    late.sendall(b"y")
    assert late.recv(1) == b"y"
server.stop(0)
""")
    lines = [line for line in out.stderr.splitlines() if "ERROR" in line]
    assert len(lines) == 1, out.stderr
    assert "cannot accept for now" in lines[0]


def test_the_watchdog_names_the_handler_that_lets_nobody_run():
    text = run_isolated("""
import io
from ringlet.io import socket
from ringlet.servers import StreamServer
from ringlet.tools import watchdog

class Reports(io.StringIO):
    def wait_for(self, text):
        while text not in self.getvalue():
            pass

reports = Reports()

def busy(sock, address):
    data = sock.recv(100)
    reports.wait_for("in busy")
    sock.sendall(data)

server = StreamServer(("127.0.0.1", 0), busy)
server.start()
with watchdog(0.02, file=reports), socket.create_connection(server.address) as client:
    client.sendall(b"still served")
    assert client.recv(100) == b"still served"
server.stop(0)
print(reports.getvalue())
""").stdout
    assert re.search(r"tasklet busy at 0x\w+ has run for [\d.]+ m?s without letting others", text)

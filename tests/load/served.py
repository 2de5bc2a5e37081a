"""A server in a process of its own, and clients that know how to misbehave."""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.perf import clocks
from tests.support.isolated import ROOT

#: Nothing that is bound to come takes longer, on any machine.
PATIENCE = 60.0
#: Clients at the same moment from one address; each address has ports of its own.
PER_ADDRESS = 5000

PYTHON = (sys.executable, "-X", "faulthandler")
ON_AND_AT_ONCE = struct.pack("ii", 1, 0)


class Served:
    """A server of tests/load/serve.py that runs; made by `serving`."""

    def __init__(self, process, port, log):
        self.pid = process.pid
        self.process = process
        self.address = ("127.0.0.1", port)
        self._log = log

    @property
    def log(self):
        """What it has written to stderr so far."""
        return self._log.read_text()

    @property
    def resident(self):
        """Bytes of it that are in memory."""
        return clocks.resident(self.pid)

    @property
    def descriptors(self):
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def connect(self, number=0):
        """A connection, the number-th of many."""
        address = (f"127.0.0.{number // PER_ADDRESS + 1}", 0)
        sock = socket.socket()
        try:
            # The kernel looks for a free port once it knows who is called, so there are enough.
            sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            sock.bind(address)
            sock.settimeout(PATIENCE)
            sock.connect(self.address)
        except BaseException:
            sock.close()
            raise
        return sock

    def get(self, path="/", body=None):
        """The body of the answer to one request, which has to be 200."""
        with self.connect() as sock:
            status, found = exchange(sock, request(path, body, "Connection: close"))
        assert status == 200, (status, found)
        return found

    def state(self):
        """What the web server says it holds, once only the asking connection is left of many."""
        return json.loads(self.get("/state"))

    def take(self, clients):
        """Wait until it has accepted so many."""
        wait_until(lambda: self.descriptors >= clients, "all have been accepted")

    def settle(self, descriptors):
        """Wait until it holds no more descriptors than that."""
        wait_until(lambda: self.descriptors <= descriptors, f"no more than {descriptors} are open")


@contextlib.contextmanager
def serving(name, folder, env=None, **options):
    """Run a server of tests/load/serve.py. Its end is part of the test: SIGTERM, then status 0.

    `env` adds to its environment; what it writes to stderr goes to a file in `folder`.
    """
    log = Path(folder, f"{name}.log")
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*PYTHON, "-m", "tests.load.serve", name, json.dumps(options)],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        served = Served(process, int(line), log)
        yield served
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, served.log
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def many_descriptors(count):
    """Let this process open so many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= count + 100, f"this needs {count + 100} open files: ulimit -Hn says {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def wait_until(true, what):
    """Ask until `true()`; AssertionError when that takes longer than anything should."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"after {PATIENCE:g} seconds still not: {what}"
        time.sleep(0.02)


def request(path="/", body=None, *headers):
    """The bytes of a request, POST if it has a body."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: a"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + (body or b"")


def exchange(sock, data):
    """Send a request and read its response: status and body."""
    sock.sendall(data)
    return read_response(sock)


def read_response(sock):
    """One response whose length is announced: status and body."""
    head, _, body = read_past(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    sizes = [line[15:] for line in lines if line.lower().startswith(b"content-length:")]
    assert len(sizes) == 1, head
    while len(body) < int(sizes[0]):
        more = sock.recv(65536)
        assert more, (head, body)
        body += more
    assert len(body) == int(sizes[0]), (head, body)
    return int(lines[0].split()[1]), body


def read_past(sock, mark):
    """What comes up to `mark`, and what came with it."""
    data = b""
    while mark not in data:
        more = sock.recv(65536)
        assert more, f"the connection ended after {data!r:.200}"
        data += more
    return data


def read_to_end(sock):
    """What comes until the server closes or resets."""
    data = []
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(65536):
            data.append(more)
    return b"".join(data)


def reset(sock):
    """Close so that the server gets a reset, whatever is under way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ON_AND_AT_ONCE)
    sock.close()


def ended(socks):
    """Which of the sockets have been closed or reset by the server, all of them at once asked."""
    poll = select.poll()
    by_fd = {sock.fileno(): sock for sock in socks}
    for fd in by_fd:
        poll.register(fd, select.POLLRDHUP)
    return [by_fd[fd] for fd, _ in poll.poll(0)]

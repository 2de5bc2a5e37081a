"""Clients that reset, by hundreds at once, at every byte of what they send and of what they get."""

import contextlib
import random
import socket
import threading

import pytest

from tests.load.served import (
    exchange,
    read_to_end,
    request,
    reset,
    serving,
    wait_until,
)

pytestmark = [pytest.mark.load, pytest.mark.timeout(600)]

EXCHANGES = {
    "get": request("/stream?1"),
    "post": request("/same", b"b" * 300),
    "chunks": b"POST /same HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nabcde\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n",
    "continue": request("/length", b"b" * 100, "Expect: 100-continue"),
    "pipeline": request() * 3 + request("/same", b"xyz") + request("/long?1", None),
    "failure": request("/fail"),
    "late failure": request("/fail_late"),
    "garbage": b"GET / HTTP/1.1\r\nHost: a\r\nBad header\r\n\r\n",
}


def answer_to(served, data):
    """All that comes when `data` is sent in full, and no more."""
    with served.connect() as sock:
        sock.sendall(data)
        with contextlib.suppress(OSError):  # it may have been cut already
            sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def cut_short(served, data, sent, received):
    """Send so much, receive so much, reset."""
    sock = served.connect()
    try:
        sock.sendall(data[:sent])
        while received > 0:
            got = len(sock.recv(received))
            received = received - got if got else 0
    except ConnectionError:
        pass
    finally:
        reset(sock)


@pytest.mark.parametrize("name", EXCHANGES)
def test_at_every_byte_from_many_clients(name, tmp_path):
    """After each reset the server must have forgotten the connection, and serve the next."""
    data = EXCHANGES[name]
    with serving("web", tmp_path) as served:
        whole = len(answer_to(served, data))
        assert whole > 0
        cuts = [(sent, 0) for sent in range(len(data) + 1)]
        step = max(1, whole // 500)
        cuts += [(len(data), received) for received in range(1, whole + 1, step)]
        random.Random(1).shuffle(cuts)
        before = served.state()
        clients = [
            threading.Thread(
                target=lambda mine: [cut_short(served, data, *cut) for cut in mine],
                args=(cuts[start::8],),
            )
            for start in range(8)
        ]
        for client in clients:
            client.start()
        with served.connect() as friend:
            while any(client.is_alive() for client in clients):
                assert exchange(friend, request()) == (200, b"hello")
        for client in clients:
            client.join()
        wait_until(
            lambda: served.state()["tasklets"] == before["tasklets"], "their tasklets have ended"
        )
        assert served.state()["descriptors"] == before["descriptors"]
        if name != "late failure":  # how much is out before the cut is left to the kernel
            assert len(answer_to(served, data)) == whole
        errors = [line for line in served.log.splitlines() if line.startswith("ERROR")]
        if "fail" in name:
            assert all("the application failed on GET /fail" in line for line in errors)
        else:
            assert errors == []
        assert "never retrieved" not in served.log


def test_a_stream_server(tmp_path):
    """The same without HTTP: what is reset is forgotten, what is not is echoed."""
    data = bytes(range(256)) * 2
    with serving("echo", tmp_path) as served:
        before = served.descriptors
        for sent in range(len(data) + 1):
            cut_short(served, data, sent, 0)
            cut_short(served, data, len(data), sent)
        assert answer_to(served, data) == data
        served.settle(before)
        assert "ERROR" not in served.log

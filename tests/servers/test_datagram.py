"""DatagramServer: a tasklet per datagram."""

import logging
import socket as stdlib
from contextlib import contextmanager

import pytest

from ringlet import Channel
from ringlet.io import socket
from ringlet.servers import DatagramServer
from tests.servers.test_stream import until

LOCAL = ("127.0.0.1", 0)


def shout(data, address, sock):
    sock.sendto(data.upper(), address)


@contextmanager
def serving(handler=shout, address=LOCAL, **options):
    server = DatagramServer(address, handler, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


@contextmanager
def client(server, kind=socket):
    with kind.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect(server.address)
        yield sock


def test_each_datagram_is_answered_where_it_came_to():
    with serving(address=[LOCAL, LOCAL]) as server:
        for address in server.addresses:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(address)  # takes answers from there only
                for word in (b"one", b"", b"two"):
                    sock.send(word)
                    assert sock.recv(100) == word.upper()


def test_a_unix_socket(tmp_path):
    theirs, ours = str(tmp_path / "server"), str(tmp_path / "client")
    seen = Channel(None)

    def handler(data, address, sock):
        seen.send((data, address))

    with serving(handler, theirs, unix_mode=0o640) as server:
        assert server.address == theirs
        assert (tmp_path / "server").stat().st_mode & 0o777 == 0o640
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"nobody", theirs)
            assert seen.receive() == (b"nobody", None)
            sock.bind(ours)
            sock.sendto(b"somebody", theirs)
            assert seen.receive() == (b"somebody", ours)
    assert not (tmp_path / "server").exists()


def test_an_error_in_a_handler_is_logged_once(caplog):
    def handler(data, address, sock):
        if data == b"fail":
            raise ZeroDivisionError
        shout(data, address, sock)

    with serving(handler) as server, client(server) as sock:
        sock.send(b"fail")
        sock.send(b"x")
        assert sock.recv(1) == b"X"
    [record] = caplog.records
    assert (record.name, record.levelno) == ("ringlet.server", logging.ERROR)
    assert "failed on a datagram from 127.0.0.1:" in record.getMessage()


def test_limit_lets_others_wait_in_the_kernel():
    go = Channel()
    began = []

    def handler(data, address, sock):
        began.append(data)
        go.receive()

    with serving(handler, limit=1) as server, client(server) as sock:
        for word in (b"1", b"2"):
            sock.send(word)
        until(lambda: server._room.waiting)
        assert began == [b"1"]
        go.send(None)
        until(lambda: len(began) == 2)
        go.send(None)


def test_the_rest_of_a_long_datagram_is_lost():
    with serving(size=3) as server, client(server) as sock:
        sock.send(b"abcdef")
        assert sock.recv(100) == b"ABC"


def test_stop_handles_what_has_arrived():
    server = DatagramServer(LOCAL, shout)
    server.start()
    with client(server, stdlib) as sock:  # the server gets no turn meanwhile
        for word in (b"a", b"b", b"c"):
            sock.send(word)
        server.stop()
        assert [sock.recv(10) for _ in range(3)] == [b"A", b"B", b"C"]
    assert "stopped" in repr(server)


def test_a_client_that_is_gone_does_no_harm():
    with serving() as server:
        with client(server) as sock:
            sock.send(b"gone")  # the answer meets a closed port, which the kernel reports
        with client(server) as sock:
            sock.send(b"x")
            assert sock.recv(1) == b"X"


@pytest.mark.parametrize("size", [0, -1, "a", None])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="is no number of bytes"):
        DatagramServer(LOCAL, shout, size=size)

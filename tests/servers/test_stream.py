"""StreamServer: accepting, serving, failing and stopping."""

import contextlib
import errno
import logging
import os
import socket as stdlib
import struct

import pytest

import ringlet
from ringlet.channels import Channel
from ringlet.io import socket
from ringlet.servers import StreamServer
from ringlet.testing import fake_clock

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def _nobody_left():
    """A test ends its tasklets."""
    yield
    assert ringlet.tasklets() == [ringlet.main()]


def echo(sock, address):
    while data := sock.recv(65536):
        sock.sendall(data)


def settle():
    """Let all tasklets run until each of them waits, the kernel's part included."""
    for _ in range(5):
        ringlet.sleep(0.001)


@contextlib.contextmanager
def serving(handler=echo, address=LOCAL, **options):
    server = StreamServer(address, handler, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


def connect(server):
    return socket.create_connection(server.address[:2])


def ask(sock, data):
    sock.sendall(data)
    return sock.recv(65536)


def reset(sock):
    """Close so that the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_serves_several_clients_at_once():
    with serving() as server:
        clients = [connect(server) for _ in range(10)]
        for number, client in enumerate(clients):
            assert ask(client, b"%d" % number) == b"%d" % number
        for client in clients:
            client.close()


def test_the_handler_gets_the_address_and_a_socket_without_delay():
    seen = []

    def handler(sock, address):
        seen.append((address, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    with serving(handler) as server, connect(server) as client:
        assert client.recv(1) == b""
        [(address, no_delay)] = seen
        assert address == client.getsockname()
        assert no_delay
    assert type(seen[0][0]) is tuple


def test_the_socket_is_closed_when_the_handler_returns():
    kept = []
    with serving(lambda sock, _: kept.append(sock)) as server, connect(server) as client:
        assert client.recv(1) == b""
        assert kept[0].fileno() == -1


def test_a_socket_the_handler_has_closed_or_given_away_is_no_error(caplog):
    given = []
    with serving(lambda sock, _: sock.close()) as server, connect(server) as client:
        assert client.recv(1) == b""
    with serving(lambda sock, _: given.append(sock.detach())) as server, connect(server) as client:
        settle()
        os.close(given[0])
        assert client.recv(1) == b""
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "level", "text"),
    [
        (ZeroDivisionError("oops"), logging.ERROR, "handler failed on the connection from 127.0"),
        (ConnectionResetError(errno.ECONNRESET, "gone"), logging.WARNING, "lost the connection"),
        (ExceptionGroup("two", [ValueError()]), logging.ERROR, "handler failed"),
    ],
)
def test_an_error_in_a_handler_is_logged_once_and_ends_its_connection_only(
    caplog, capsys, error, level, text
):
    def handler(sock, address):
        while data := sock.recv(100):
            if data == b"fail":
                raise error
            sock.sendall(data)

    with serving(handler) as server, connect(server) as bystander:
        with connect(server) as client:
            assert ask(client, b"fail") == b""
        assert ask(bystander, b"still there") == b"still there"
        with connect(server) as newcomer:
            assert ask(newcomer, b"and new ones") == b"and new ones"
    [record] = caplog.records
    assert (record.name, record.levelno) == ("ringlet.server", level)
    assert text in record.getMessage()
    assert "127.0.0.1:" in record.getMessage()
    assert capsys.readouterr().err == ""


def test_a_client_that_resets_does_no_harm(caplog):
    with serving() as server:
        client = connect(server)
        assert ask(client, b"x") == b"x"
        reset(client)
        with connect(server) as another:
            assert ask(another, b"y") == b"y"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_client_that_resets_before_it_is_accepted_does_no_harm():
    listener = socket.create_server(LOCAL)
    for _ in range(3):
        reset(socket.create_connection(listener.getsockname()))
    with serving(address=listener) as server, connect(server) as client:
        assert ask(client, b"x") == b"x"


def test_limit_lets_others_wait_in_the_kernel():
    with serving(limit=2) as server:
        first, second, third = (connect(server) for _ in range(3))
        assert ask(first, b"1") == b"1"
        assert ask(second, b"2") == b"2"
        third.sendall(b"3")
        settle()
        with pytest.raises(BlockingIOError):
            third.recv(1, socket.MSG_DONTWAIT)
        first.close()
        assert third.recv(1) == b"3"
        second.close()
        third.close()
        with connect(server) as fourth:
            assert ask(fourth, b"4") == b"4"


def test_limit_is_kept_when_handlers_fail():
    def fail(sock, address):
        raise ConnectionResetError

    with serving(fail, limit=1) as server:
        for _ in range(5):
            with connect(server) as client:
                assert client.recv(1) == b""


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nobody_is_refused(limit):
    with pytest.raises(ValueError, match="nobody"):
        StreamServer(LOCAL, echo, limit=limit)


def test_what_cannot_be_called_is_no_handler():
    with pytest.raises(TypeError, match="'text' is no handler"):
        StreamServer(LOCAL, "text")


def test_address():
    server = StreamServer(LOCAL, echo)
    assert server.address == LOCAL
    assert "stopped" in repr(server)
    server.start()
    host, port = server.address
    assert (host, port > 0) == ("127.0.0.1", True)
    assert repr(server) == f"<StreamServer at 127.0.0.1:{port}: 0 connections>"
    server.stop()
    assert server.address == LOCAL


def test_a_used_port_is_named_with_what_to_do():
    with serving() as server:
        another = StreamServer(server.address, echo)
        with pytest.raises(OSError, match="stop the program that is using it") as caught:
            another.start()
        assert caught.value.errno == errno.EADDRINUSE
        assert f"127.0.0.1:{server.address[1]}" in str(caught.value)
        another.stop()
    another.start()  # it is free now, without waiting for old connections
    another.stop()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 80), "cannot listen on 192.0.2.1:80: .*no interface"),
        (("host.invalid", 80), "cannot listen on host.invalid:80: "),
        ("/nowhere/at/all.sock", "cannot listen on /nowhere/at/all.sock: .*make the folder"),
    ],
)
def test_an_address_that_cannot_be_used_is_named(address, text):
    with pytest.raises(OSError, match=text):
        StreamServer(address, echo).start()


def test_ipv6():
    with serving(address=("::1", 0)) as server:
        assert repr(server).startswith("<StreamServer at [::1]:")
        with socket.create_connection(server.address[:2]) as client:
            assert ask(client, b"six") == b"six"


def test_host_names_are_looked_up():
    with serving(address=("localhost", 0)) as server, connect(server) as client:
        assert ask(client, b"x") == b"x"


def test_a_unix_socket_and_its_file(tmp_path):
    path = str(tmp_path / "socket")
    for _ in range(2):
        with serving(address=path) as server:
            assert server.address == path
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                assert ask(client, b"x") == b"x"
            with pytest.raises(OSError, match="or remove the file if none is"):
                StreamServer(path, echo).start()
        assert not os.path.exists(path)


def test_a_file_somebody_else_put_there_is_left_alone(tmp_path):
    path = tmp_path / "socket"
    with serving(address=str(path)):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"


def test_an_abstract_unix_socket():
    name = f"\0ringlet-test-{os.getpid()}"
    with serving(address=name), socket.socket(socket.AF_UNIX) as client:
        client.connect(name)
        assert ask(client, b"x") == b"x"


def test_a_listening_socket_may_be_given():
    listener = socket.create_server(LOCAL)
    with serving(address=listener) as server, connect(server) as client:
        assert server.address == listener.getsockname()
        assert ask(client, b"x") == b"x"
    assert listener.fileno() == -1


def test_starting_and_stopping_twice_changes_nothing():
    server = StreamServer(LOCAL, echo)
    server.stop()
    server.start()
    address = server.address
    server.start()
    assert server.address == address
    server.stop()
    server.stop()


def test_a_stopped_server_can_be_started_again():
    server = StreamServer(LOCAL, echo, limit=1)
    for _ in range(2):
        server.start()
        with connect(server) as client:
            assert ask(client, b"x") == b"x"
            server.stop(0)
            assert client.recv(1) == b""


def test_stop_refuses_new_connections_and_waits_for_handlers():
    go = Channel()
    ended = []

    def handler(sock, address):
        go.receive()
        ended.append(address)

    with serving(handler) as server, connect(server):
        settle()
        address = server.address
        stopping = ringlet.spawn(server.stop)
        settle()
        assert stopping.state == "parked"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        go.send(None)
        stopping.join()
        assert len(ended) == 1


def test_stop_kills_handlers_when_their_time_is_over():
    ends = []

    def handler(sock, address):
        try:
            sock.recv(1)
        except ringlet.TaskletExit:
            ends.append("killed")
            raise

    with serving(handler) as server, connect(server) as client:
        settle()
        with fake_clock() as clock:
            server.stop(30)
            assert clock.now == 30
        assert ends == ["killed"]
        assert client.recv(1) == b""


def test_a_handler_that_never_began_is_dropped_with_its_connection():
    """Somebody kills it between the acceptor's turn and its own first."""

    class KillsBehindAccept:
        def __init__(self, sock):
            self.sock = sock

        def accept(self):
            accepted = self.sock.accept()
            ringlet.spawn(lambda: [t.kill() for t in server._connections.values()])
            return accepted

    with serving(lambda sock, _: sock.sendall(b"began")) as server:
        server._acceptor.kill()
        server._acceptor = ringlet.spawn(server._accept, KillsBehindAccept(server._listener.socket))
        with connect(server) as client:
            settle()
            server.stop()
            assert client.recv(10) == b""
        assert not server._connections


def test_a_handler_that_survives_its_kill_is_named(caplog):
    go = Channel()

    def stubborn(sock, address):
        with contextlib.suppress(ringlet.TaskletExit):
            sock.recv(1)
        go.receive()

    with serving(stubborn) as server, connect(server):
        settle()
        with fake_clock():
            server.stop(0)
        [record] = caplog.records
        assert "still running" in record.getMessage()
        assert "stubborn" in record.getMessage()
        go.send(None)
        settle()


def test_a_handler_may_stop_its_server():
    def handler(sock, address):
        server.stop(0)
        sock.sendall(b"stopped")

    with serving(handler) as server, connect(server) as client:
        assert client.recv(100) == b"stopped"
        assert "stopped" in repr(server)
        settle()


def test_serve_forever_ends_when_the_server_has_stopped():
    go = Channel()
    ended = []

    def handler(sock, address):
        go.receive()
        ended.append("handler")

    server = StreamServer(LOCAL, handler)
    server.start()
    with connect(server):
        forever = ringlet.spawn(server.serve_forever)
        settle()
        stopping = ringlet.spawn(server.stop)
        settle()
        assert forever.state == "parked"
        go.send(None)
        forever.join()
        stopping.join()
    assert ended == ["handler"]


def test_an_exception_in_serve_forever_stops_at_once():
    server = StreamServer(LOCAL, echo)
    forever = ringlet.spawn(server.serve_forever)
    settle()
    with connect(server) as client:
        assert ask(client, b"x") == b"x"
        forever.throw(KeyError("stop"))
        with pytest.raises(KeyError):
            forever.result()
        assert client.recv(1) == b""
    assert "stopped" in repr(server)


def test_somebody_in_a_hurry_may_stop_faster():
    with serving() as server, connect(server) as client:
        assert ask(client, b"x") == b"x"
        patient = ringlet.spawn(server.stop)
        settle()
        server.stop(0)
        assert client.recv(1) == b""
        patient.join()


class Accepts:
    """A listening socket whose accept raises what is in `errors` first."""

    def __init__(self, sock, *errors):
        self.sock = sock
        self.errors = list(errors)

    def accept(self):
        if self.errors:
            raise OSError(self.errors.pop(0), "for the test")
        return self.sock.accept()


def test_errors_of_accept_are_survived(caplog):
    """Running out of descriptors is said once and waited out; lost connections are skipped."""
    server = StreamServer(LOCAL, echo, limit=1)
    errors = [errno.EMFILE, errno.EMFILE, errno.ECONNABORTED, errno.ENFILE, errno.EPERM]
    with socket.create_server(LOCAL) as listener:
        server._listener = None
        accepts = Accepts(listener, *errors)
        acceptor = ringlet.spawn(server._accept, accepts)
        with fake_clock():
            with socket.create_connection(listener.getsockname()) as client:
                assert ask(client, b"x") == b"x"
        acceptor.kill()
        settle()
    assert accepts.errors == []
    [record] = caplog.records
    assert "cannot accept for now" in record.getMessage()


def test_a_listener_that_somebody_closed_is_said(caplog):
    with serving() as server:
        settle()
        server._listener.socket.close()
        settle()
        [record] = caplog.records
        assert "no more connections at 127.0.0.1:" in record.getMessage()


def test_clients_of_the_standard_library():
    with serving() as server:
        with stdlib.create_connection(server.address) as client:
            client.sendall(b"plain")
            settle()
            assert client.recv(100) == b"plain"

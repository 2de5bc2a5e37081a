"""StreamServer: accepting, serving, failing and stopping."""

import contextlib
import errno
import logging
import os
import select
import socket as stdlib
import struct
from typing import ClassVar

import pytest

import ringlet
from ringlet.channels import Channel
from ringlet.io import socket
from ringlet.servers import StreamServer
from ringlet.servers.listeners import Listening, listen
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


def until(condition):
    """Wait until it holds; the test's own time limit ends a wait in vain."""
    while not condition():
        ringlet.sleep(0.001)


def serves(server, count):
    """Wait until the server serves so many."""
    until(lambda: f"{count} connections" in repr(server))


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
        until(lambda: given)
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
        until(lambda: server._room.waiting)
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
    with pytest.raises(OSError, match="closed, as a server that stops leaves the one it was given"):
        server.start()
    assert server.address is listener


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
        serves(server, 1)
        address = server.address
        stopping = ringlet.spawn(server.stop)
        until(lambda: server._listeners[0].socket.fileno() == -1)
        assert stopping.state == "parked"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        go.send(None)
        stopping.join()
        assert len(ended) == 1


def test_stop_kills_handlers_when_their_time_is_over():
    began = Channel()
    ends = []

    def handler(sock, address):
        began.send(None)
        try:
            sock.recv(1)
        except ringlet.TaskletExit:
            ends.append("killed")
            raise

    with serving(handler) as server, connect(server) as client:
        began.receive()
        with fake_clock() as clock:
            server.stop(30)
            assert clock.now == 30
        assert ends == ["killed"]
        assert client.recv(1) == b""


@pytest.mark.parametrize("limit", [None, 1])
def test_a_handler_killed_before_its_first_step_gives_its_place_back(limit):
    """Somebody kills it between the acceptor's turn and its own first."""

    class KillsFirst(StreamServer):
        def _spawn(self, key, f, *args):
            super()._spawn(key, f, *args)
            if not killed:
                killed.append(self._served[key])
                killed[0].kill(wait=False)

    killed = []
    server = KillsFirst(LOCAL, lambda sock, _: sock.sendall(b"began"), limit=limit)
    server.start()
    with connect(server) as client:
        assert client.recv(10) == b""
    with connect(server) as client:
        assert client.recv(10) == b"began"
    assert killed[0].finished
    server.stop(0)


def test_a_handler_that_survives_its_kill_is_named(caplog):
    began = Channel()
    go = Channel()

    def stubborn(sock, address):
        began.send(None)
        with contextlib.suppress(ringlet.TaskletExit):
            sock.recv(1)
        go.receive()

    with serving(stubborn) as server, connect(server):
        began.receive()
        with fake_clock():
            server.stop(0)
        [record] = caplog.records
        assert "still running" in record.getMessage()
        assert "stubborn" in record.getMessage()
        go.send(None)
        until(lambda: not server._served)


def test_a_handler_may_stop_its_server():
    def handler(sock, address):
        server.stop(0)
        sock.sendall(b"stopped")

    with serving(handler) as server, connect(server) as client:
        assert client.recv(100) == b"stopped"
        assert "stopped" in repr(server)
        until(lambda: not server._served)


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
        serves(server, 1)
        stopping = ringlet.spawn(server.stop)
        until(lambda: server._listeners[0].socket.fileno() == -1)
        assert forever.state == "parked"
        go.send(None)
        forever.join()
        stopping.join()
    assert ended == ["handler"]


def test_an_exception_in_serve_forever_stops_at_once():
    server = StreamServer(LOCAL, echo)
    forever = ringlet.spawn(server.serve_forever)
    until(lambda: "stopped" not in repr(server))
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
        until(lambda: server._listeners[0].socket.fileno() == -1)
        server.stop(0)
        assert client.recv(1) == b""
        patient.join()


def test_errors_of_accept_are_survived(caplog):
    """Running out of descriptors is said once and waited out; lost connections are skipped."""

    class Troubled(StreamServer):
        errors: ClassVar = [
            errno.EMFILE,
            errno.EMFILE,
            errno.ECONNABORTED,
            errno.ENFILE,
            errno.EPERM,
        ]

        def _take(self, listener):
            if self.errors:
                raise OSError(self.errors.pop(0), "for the test")
            return super()._take(listener)

    server = Troubled(LOCAL, echo, limit=1)
    server.start()
    with fake_clock(), connect(server) as client:
        assert ask(client, b"x") == b"x"
    server.stop(0)
    assert server.errors == []
    [record] = caplog.records
    assert "cannot accept for now" in record.getMessage()


def test_a_listener_that_somebody_closed_is_said(caplog):
    with serving() as server:
        until(lambda: server._takers[0].state == "parked")
        server._listeners[0].socket.close()
        until(lambda: caplog.records)
        [record] = caplog.records
        assert "no more connections at 127.0.0.1:" in record.getMessage()


def test_clients_of_the_standard_library():
    with serving() as server:
        with stdlib.create_connection(server.address) as client:
            client.sendall(b"plain")
            until(lambda: select.select([client], [], [], 0)[0])
            assert client.recv(100) == b"plain"


# --- several listeners --------------------------------------------------------------------------


def test_several_addresses_are_served(tmp_path):
    path = str(tmp_path / "socket")
    given = socket.create_server(LOCAL)
    with serving(address=[LOCAL, path, given], limit=3) as server:
        assert server.addresses[1:] == [path, given.getsockname()]
        assert server.address == server.addresses[0]
        for address in server.addresses:
            family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
            with socket.socket(family) as client:
                client.connect(address)
                assert ask(client, b"x") == b"x"
    assert not os.path.exists(path)


def test_when_one_of_several_addresses_fails_none_is_listened_at(tmp_path):
    path = str(tmp_path / "socket")
    server = StreamServer([path, "/nowhere/at/all.sock"], echo)
    with pytest.raises(OSError, match=r"/nowhere/at/all\.sock"):
        server.start()
    assert not os.path.exists(path)
    assert "stopped" in repr(server)


def test_a_limit_holds_for_all_listeners_together():
    with serving(address=[LOCAL, LOCAL], limit=1) as server:
        one, two = server.addresses
        with socket.create_connection(one) as first, socket.create_connection(two) as second:
            assert ask(first, b"1") == b"1"
            second.sendall(b"2")
            until(lambda: server._room.waiting == 2)
            with pytest.raises(BlockingIOError):
                second.recv(1, socket.MSG_DONTWAIT)
            first.close()
            assert second.recv(1) == b"2"


def a_name_for(*hosts):
    """A lookup by which every name has these addresses."""

    def lookup(host, port, family=0, kind=0, proto=0, flags=0):
        return [(socket.AF_INET, kind, 0, "", (found, port)) for found in hosts]

    return lookup


def test_a_name_stands_for_all_its_addresses():
    how = Listening(lookup=a_name_for("127.0.0.1", "127.0.0.2"))
    one, two = listen(("both.test", 0), how)
    assert (one.address[0], two.address[0]) == ("127.0.0.1", "127.0.0.2")
    assert one.address[1] == two.address[1] != 0
    one.close()
    two.close()


def test_addresses_of_a_name_that_this_machine_does_not_have_are_left_out():
    how = Listening(lookup=a_name_for("198.51.100.1", "127.0.0.1"))
    [only] = listen(("both.test", 0), how)
    assert only.address[0] == "127.0.0.1"
    only.close()
    how = Listening(lookup=a_name_for("198.51.100.1", "203.0.113.1"))
    with pytest.raises(OSError, match=r"cannot listen on both.test:0: .*no interface"):
        listen(("both.test", 0), how)


def test_a_port_that_only_one_address_of_a_name_has_free_is_not_taken():
    how = Listening(lookup=a_name_for("127.0.0.1", "127.0.0.2"))
    with stdlib.create_server(("127.0.0.2", 0)) as other:
        with pytest.raises(OSError, match="stop the program that is using it"):
            listen(("both.test", other.getsockname()[1]), how)
        with socket.create_server(("127.0.0.1", other.getsockname()[1])):
            pass  # the first one was given back


@pytest.mark.parametrize(
    "address", [None, 80, b"path", (), ("host",), [None], [("h", 1), 5], {"h": 1}]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(TypeError, match="is nothing to listen at: give"):
        StreamServer(address, echo)


def test_no_address_at_all_is_refused():
    with pytest.raises(ValueError, match="empty list"):
        StreamServer([], echo)


@pytest.mark.parametrize("limit", ["a", 1.5, True])
def test_a_limit_that_is_no_number_is_refused(limit):
    with pytest.raises(TypeError, match="is no number: give 1 or more, or None"):
        StreamServer(LOCAL, echo, limit=limit)


def test_what_is_no_ssl_context_is_refused():
    with pytest.raises(TypeError, match="ssl=True is no SSLContext: make one"):
        StreamServer(LOCAL, echo, ssl=True)


def test_a_listening_socket_of_the_standard_library_is_taken_over():
    given = stdlib.create_server(LOCAL)
    address = given.getsockname()
    with serving(address=given) as server, connect(server) as client:
        assert given.fileno() == -1
        assert server.address == address
        assert ask(client, b"x") == b"x"


def test_the_file_of_a_killed_server_is_no_obstacle(tmp_path):
    path = str(tmp_path / "socket")
    with stdlib.socket(stdlib.AF_UNIX) as dead:
        dead.bind(path)
        dead.listen()
    with serving(address=path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert ask(client, b"x") == b"x"


def test_servers_may_share_a_port():
    with serving(reuse_port=True) as one:
        with serving(address=one.address, reuse_port=True) as two:
            assert two.address == one.address


# --- stopping without loss ----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_stop_serves_whoever_has_connected(tmp_path, kind, limit):
    """Also those whom nobody has accepted yet, and also when there is not room for all at once."""
    address = LOCAL if kind == "tcp" else str(tmp_path / "socket")
    server = StreamServer(address, lambda sock, _: sock.sendall(sock.recv(10)), limit=limit)
    server.start()
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    # Sockets of the standard library: the server gets no turn meanwhile.
    clients = [stdlib.socket(family) for _ in range(20)]
    for number, client in enumerate(clients):
        client.settimeout(20)
        client.connect(server.address)
        client.sendall(b"%d" % number)
    assert "0 connections" in repr(server)
    server.stop()
    for number, client in enumerate(clients):
        assert client.recv(10) == b"%d" % number
        client.close()


def test_who_connects_while_the_last_are_taken_is_not_cut_off():
    """The kernel lets nobody in from then on: the first packet is dropped, not answered."""
    [listener] = listen(LOCAL)
    with socket.create_connection(listener.address) as early:
        listener.refuse()
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.address, 0.05)
        sock, _ = listener.socket.accept()
        with sock:
            early.sendall(b"x")
            assert sock.recv(1) == b"x"
        with pytest.raises(BlockingIOError):
            listener.socket.accept()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address)


def test_a_forked_child_leaves_the_listener_to_its_parent(tmp_path, monkeypatch):
    path = tmp_path / "socket"
    [listener] = listen(str(path))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with serving(address=listener) as server:
        assert server.address == str(path)
        server.stop()
    assert path.exists()


def test_a_given_socket_is_not_refused_to_others():
    """Somebody else may go on with it, as systemd does."""
    given = stdlib.create_server(LOCAL)
    with given.dup() as kept:
        with serving(address=given) as server:
            server.stop()
        with stdlib.create_connection(kept.getsockname(), 20) as client:
            kept.accept()[0].close()
            assert client.recv(1) == b""


def test_stopping_is_told():
    seen = []
    with serving(lambda sock, _: seen.append((sock.recv(1), server.stopping))) as server:
        with connect(server):
            serves(server, 1)
            assert not server.stopping
            ringlet.spawn(server.stop)
            until(lambda: server.stopping)
        until(lambda: seen)
    assert seen == [(b"", True)]
    server.start()
    assert not server.stopping
    server.stop()


def test_the_umask_takes_nothing_away_from_the_permissions_asked_for(tmp_path):
    path = str(tmp_path / "socket")
    before = os.umask(0o077)
    try:
        with serving(address=path, unix_mode=0o666):
            assert os.stat(path).st_mode & 0o777 == 0o666
    finally:
        os.umask(before)


def test_stopping_ends_in_time_although_descriptors_have_run_out(monkeypatch):
    def take(self, listener):
        raise OSError(errno.EMFILE, "too many")

    with fake_clock() as clock:
        monkeypatch.setattr(StreamServer, "_take", take)
        server = StreamServer(LOCAL, echo)
        server.start()
        began = clock.time()
        server.stop(1)
        assert clock.time() - began < 2

"""Servers that speak TLS."""

import contextlib
import logging
import ssl as stdlib

import pytest

import ringlet
from ringlet.io import socket, ssl
from ringlet.servers import HTTPLimits, StreamServer, WSGIServer
from ringlet.testing import fake_clock
from tests.certificates import SERVER, STRANGER, client_context, server_context

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def _nobody_left():
    """A test ends its tasklets."""
    yield
    ringlet.schedule()  # those who were killed without waiting for it
    assert ringlet.tasklets() == [ringlet.main()]


def echo(sock, address):
    while data := sock.recv(65536):
        sock.sendall(data)


@contextlib.contextmanager
def serving(handler=echo, address=LOCAL, context=None, **options):
    server = StreamServer(address, handler, ssl=context or server_context(), **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


def connect(server, context=None, **options):
    if isinstance(server.address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(server.address)
    else:
        sock = socket.create_connection(server.address[:2])
    wanted = {"server_hostname": "localhost"} | options
    return (context or client_context()).wrap_socket(sock, **wanted)


def test_an_echo():
    with serving() as server, connect(server) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_contexts_of_the_standard_library_serve():
    context = stdlib.create_default_context(stdlib.Purpose.CLIENT_AUTH)
    context.load_cert_chain(SERVER)
    with serving(context=context) as server, connect(server) as a, connect(server) as b:
        for client in (a, b):  # none of the two holds the thread
            client.sendall(b"hello")
        assert [client.recv(100) for client in (b, a)] == [b"hello", b"hello"]


def test_tls_over_a_unix_socket(tmp_path):
    with serving(address=str(tmp_path / "socket")) as server, connect(server) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_the_handler_gets_a_finished_connection():
    with serving(lambda sock, _: sock.sendall(sock.version().encode())) as server:
        with connect(server, suppress_ragged_eofs=False) as client:
            assert client.recv(100) == b"TLSv1.3"
            # The server says that this is all, and does not just hang up.
            assert client.recv(100) == b""


def test_many_clients_at_once():
    with serving() as server:

        def run(number):
            with connect(server) as client:
                message = b"%d" % number * 1000
                client.sendall(message)
                received = b""
                while len(received) < len(message):
                    received += client.recv(65536)
                return received == message

        clients = [ringlet.spawn(run, number) for number in range(50)]
        assert all(client.result() for client in clients)


def test_a_client_that_never_shakes_hands_holds_up_nobody():
    with fake_clock(), serving(handshake_timeout=5.0) as server:
        with socket.create_connection(server.address) as silent, connect(server) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            assert silent.recv(100) == b""  # after those five seconds
            client.sendall(b"still there")
            assert client.recv(100) == b"still there"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", bytes(500)])
def test_clients_without_tls_are_a_line_in_the_log(caplog, data):
    with serving() as server:
        with socket.create_connection(server.address) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(100):
                    pass
        with connect(server) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "TLS handshake" in record.message
    assert record.exc_info is None


def test_clients_that_do_not_trust_the_server(caplog):
    with serving(context=server_context(STRANGER)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(server)
        ringlet.sleep(0.001)
    assert "TLS handshake" in caplog.text


def test_the_certificate_changes_without_a_restart():
    """A context takes a new one for the connections from then on."""
    context = server_context(STRANGER)
    with serving(context=context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(server)
        context.load_cert_chain(SERVER)
        with connect(server) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"


# --- HTTP ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving_http(app, **options):
    server = WSGIServer(LOCAL, app, ssl=server_context(), **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


def ask(server, request=b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
    """The server's answer, up to the end that it declares."""
    with connect(server, suppress_ragged_eofs=False) as client:
        client.sendall(request)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


def test_https():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.url_scheme"].encode()]

    with serving_http(app) as server:
        answer = ask(server)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"https")


def test_a_file_over_https(tmp_path):
    """The kernel could only send it as it is."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 100_000)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "1000000")])
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    with serving_http(app) as server:
        answer = ask(server)
    assert answer.partition(b"\r\n\r\n")[2] == path.read_bytes()


def test_a_response_that_fails_half_way_has_no_end():
    """A client that reads up to the end of the connection must not take it for the whole."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"the first half"
        raise RuntimeError("no second half")

    with serving_http(app) as server:
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            ask(server, b"GET / HTTP/1.0\r\n\r\n")


def test_a_request_that_is_refused_while_it_still_comes():
    """The refusal arrives although the rest of the request is never read."""

    def app(environ, start_response):
        raise AssertionError("nobody should come here")

    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)
    with serving_http(app, http_limits=HTTPLimits(max_body=1000)) as server:
        with connect(server) as client:

            def send():
                with contextlib.suppress(OSError):
                    client.sendall(request)

            sender = ringlet.spawn(send)
            assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
            sender.kill()

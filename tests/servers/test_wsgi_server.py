"""The server on real connections: many at a time, some of them bad, and its end."""

import http.client
import os
from contextlib import contextmanager

import pytest

from ringlet import Channel, Timeout, schedule, spawn, timeout
from ringlet.io import socket
from ringlet.servers import HTTPLimits, WSGIServer, http_parser
from tests.certificates import client_context, server_context
from tests.servers.conftest import receive_all
from tests.servers.scripted import echo, get, hello, paths, post

SECONDS = 20


@contextmanager
def serving(app, **limits):
    server = WSGIServer(("127.0.0.1", 0), app, http_limits=HTTPLimits(**limits))
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


def connect(server):
    return socket.create_connection(server.address, SECONDS)


def answer_to(client, request):
    """Send one request and read its response."""
    client.sendall(request)
    with http.client.HTTPResponse(client) as response:
        response.begin()
        return response.status, response.read()


class Body:
    """An endless body that tells when it is closed."""

    def __init__(self, data):
        self.data = data
        self.closed = Channel(buffer=1)

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return self

    def __iter__(self):
        while True:
            yield self.data

    def close(self):
        self.closed.send("closed")


def test_one_connection_serves_many_requests():
    with serving(paths) as server, connect(server) as client:
        for number in range(20):
            assert answer_to(client, get(f"/{number}")) == (200, b"/%d" % number)


def test_bad_clients_do_not_disturb_the_others():
    with (
        serving(paths) as server,
        connect(server) as silent,
        connect(server) as slow,
        connect(server) as wild,
        connect(server) as good,
    ):
        slow.sendall(get("/slow")[:-1])
        assert answer_to(good, get("/1")) == (200, b"/1")
        assert answer_to(wild, b"garbage\r\n\r\n")[0] == 400
        assert answer_to(good, get("/2")) == (200, b"/2")
        assert answer_to(slow, get("/slow")[-1:]) == (200, b"/slow")
        assert answer_to(silent, get("/3")) == (200, b"/3")


def test_requests_wait_side_by_side():
    """Each is answered only once all have come."""
    everybody = 50
    here = []
    gate = Channel()

    def app(environ, start_response):
        here.append(environ["PATH_INFO"])
        if len(here) == everybody:
            gate.close()
        for _ in gate:
            pass
        return hello(environ, start_response)

    with serving(app) as server:

        def ask(number):
            with connect(server) as client:
                return answer_to(client, get(f"/{number}"))

        tasklets = [spawn(ask, number) for number in range(everybody)]
        assert [tasklet.result(SECONDS) for tasklet in tasklets] == [(200, b"hello")] * everybody


def test_a_flood_of_pipelined_requests_leaves_room_for_others():
    order = []

    def app(environ, start_response):
        order.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    with serving(app) as server, connect(server) as flood, connect(server) as other:
        flood.sendall(get("/flood") * 1500)
        other.sendall(get("/other"))
        assert answer_to(other, b"") == (200, b"hello")
        assert len(order) < 1500


def test_a_client_may_end_its_side_and_still_read():
    with serving(paths) as server, connect(server) as client:
        client.sendall(get("/1") + get("/2"))
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65536):
            received += data
        assert received.count(b"HTTP/1.1 200 OK") == 2


def test_long_bodies_both_ways():
    body = os.urandom(3_000_000)
    with serving(echo) as server, connect(server) as client:
        sender = spawn(client.sendall, post(body))
        assert answer_to(client, b"") == (200, body)
        sender.result(SECONDS)


def test_a_silent_client_is_sent_away():
    with serving(hello, first_byte_timeout=0.01) as server, connect(server) as client:
        assert client.recv(1) == b""


def test_a_client_that_stops_within_a_head_is_told():
    with serving(hello, header_timeout=0.01) as server, connect(server) as client:
        assert answer_to(client, get()[:-1])[0] == 408
        assert client.recv(1) == b""


def test_a_client_that_leaves_ends_its_response():
    app = Body(b"x" * 10_000)
    with serving(app) as server:
        with connect(server) as client:
            client.sendall(get())
            client.recv(1000)
        assert app.closed.receive(SECONDS) == "closed"


def test_a_client_that_does_not_read_ends_its_response():
    app = Body(b"x" * 1_000_000)
    with serving(app, io_timeout=0.01) as server, connect(server) as client:
        client.sendall(get())
        assert app.closed.receive(SECONDS) == "closed"


def test_the_environ_tells_who_talks_to_whom():
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return hello(environ, start_response)

    with serving(app) as server, connect(server) as client:
        answer_to(client, get())
        keys = ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme")
        assert [seen[0][key] for key in keys] == [
            "127.0.0.1",
            str(server.address[1]),
            "127.0.0.1",
            str(client.getsockname()[1]),
            "http",
        ]


def test_the_options_of_every_server_are_there_too():
    """Several addresses, and a proxy that says whom it speaks for."""
    seen = []

    def app(environ, start_response):
        seen.append([environ[key] for key in ("SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT")])
        return hello(environ, start_response)

    server = WSGIServer(
        [("127.0.0.1", 0), ("127.0.0.1", 0)], app, proxy_protocol=True, backlog=5, reuse_port=True
    )
    server.start()
    try:
        for address in server.addresses:
            with socket.create_connection(address, SECONDS) as client:
                preface = b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\n"
                assert answer_to(client, preface + get()) == (200, b"hello")
        ports = [str(port) for _, port in server.addresses]
    finally:
        server.stop(0)
    assert seen == [[port, "192.0.2.7", "4000"] for port in ports]


def test_a_unix_socket(tmp_path):
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return hello(environ, start_response)

    path = str(tmp_path / "socket")
    server = WSGIServer(path, app)
    server.start()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            assert answer_to(client, get()) == (200, b"hello")
    finally:
        server.stop(0)
    assert (seen[0]["SERVER_NAME"], seen[0]["SERVER_PORT"]) == ("localhost", "")


def test_stopping_ends_idle_connections_and_waits_for_the_others():
    started = Channel()
    go_on = Channel()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            started.send(None)
            go_on.receive()
        return hello(environ, start_response)

    with (
        serving(app, closing_timeout=0.05) as server,
        connect(server) as busy,
        connect(server) as idle,
    ):
        address = server.address
        assert answer_to(idle, get())[0] == 200
        busy.sendall(get("/slow"))
        started.receive(SECONDS)
        stopping = spawn(server.stop, SECONDS)
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, SECONDS)
        go_on.send(None)
        with http.client.HTTPResponse(busy) as response:
            response.begin()
            assert response.headers["connection"] == "close"
            assert response.read() == b"hello"
        assert busy.recv(1) == b""
        stopping.result(SECONDS)


def test_stopping_lets_a_request_come_that_was_on_its_way():
    """On a kept connection, on one that has sent nothing yet, and on one not accepted yet."""
    with (
        serving(paths, closing_timeout=SECONDS) as server,
        connect(server) as kept,
        connect(server) as fresh,
        connect(server) as begun,
    ):
        assert answer_to(kept, get("/0")) == (200, b"/0")
        begun.sendall(get("/3")[:5])
        while len(server._clients) < 3:
            schedule()
        stopping = spawn(server.stop, SECONDS)
        schedule()
        for client, request, body in (
            (kept, get("/1"), b"/1"),
            (fresh, get("/2"), b"/2"),
            (begun, get("/3")[5:], b"/3"),
        ):
            client.sendall(request)
            with http.client.HTTPResponse(client) as response:
                response.begin()
                assert response.headers["connection"] == "close"
                assert response.read() == body
            assert client.recv(1) == b""
        stopping.result(SECONDS)


def test_stopping_ends_idle_connections_over_tls():
    limits = HTTPLimits(closing_timeout=0.05)
    server = WSGIServer(("127.0.0.1", 0), paths, ssl=server_context(), http_limits=limits)
    server.start()
    try:
        with (
            connect(server) as raw,
            client_context().wrap_socket(raw, server_hostname="localhost") as client,
        ):
            assert answer_to(client, get("/1")) == (200, b"/1")
            stopping = spawn(server.stop, SECONDS)
            assert client.recv(1) == b""  # and said so: no error, nothing was cut
            stopping.result(SECONDS)
    finally:
        server.stop(0)


def ask_until_refused(address, keep):
    """How many requests were answered in full, until nobody listened any more."""
    answered = 0
    while True:
        try:
            client = socket.create_connection(address, SECONDS)
        except ConnectionRefusedError:
            return answered
        with client:
            last = False
            while not last:
                client.sendall(get("/", *([] if keep else ["Connection: close"])))
                with http.client.HTTPResponse(client) as response:
                    response.begin()
                    last = response.headers["connection"] == "close"
                    assert response.read() == b"hello"
                answered += 1


@pytest.mark.parametrize("limit", [None, 3])
def test_stopping_under_load_loses_no_request(limit):
    """On connections that are kept and on such as are not, and where they have to queue."""
    served = []

    def app(environ, start_response):
        served.append(None)
        if len(served) == 300:
            stopping.append(spawn(server.stop, SECONDS))
        schedule()  # so that it stops in the midst of others
        return hello(environ, start_response)

    stopping = []
    server = WSGIServer(("127.0.0.1", 0), app, limit=limit)
    server.start()
    try:
        # With a limit, those that are kept would keep the others out.
        keeps = [number % 2 == 0 and limit is None for number in range(20)]
        clients = [spawn(ask_until_refused, server.address, keep) for keep in keeps]
        answered = sum(client.result(SECONDS) for client in clients)
        stopping[0].result(SECONDS)
    finally:
        server.stop(0)
    assert answered == len(served) >= 300


def test_a_request_has_only_so_much_time(caplog):
    """The application is ended where it blocks, and may clean up."""
    ended = []

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/late":
            start_response("200 OK", [("Content-Length", "10")])
            yield b"x"
        try:
            Channel().receive()
        finally:
            ended.append(environ["PATH_INFO"])
        yield b"never"

    with serving(app, request_timeout=0.05) as server:
        with connect(server) as client:
            assert answer_to(client, get("/early"))[0] == 503
            assert client.recv(1) == b""
        with connect(server) as client:
            client.sendall(get("/late"))
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                answer_to(client, b"")
    assert ended == ["/early", "/late"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"GET {path} took longer than 0.05 s and was ended" for path in ended
    ]


def test_a_request_whose_body_does_not_come_in_time_is_told_so():
    with serving(echo, request_timeout=0.05) as server, connect(server) as client:
        assert answer_to(client, post(b"body")[:-1])[0] == 408


def test_a_request_in_time_is_not_disturbed():
    with serving(echo, request_timeout=SECONDS) as server, connect(server) as client:
        for _ in range(3):
            assert answer_to(client, post(b"body")) == (200, b"body")
        client.sendall(post(b"1") + post(b"2"))
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client).count(b"200 OK") == 2


def test_a_time_limit_of_the_applications_own_is_its_error(caplog):
    def app(environ, start_response):
        with timeout(0.01):
            Channel().receive()

    with serving(app, request_timeout=SECONDS) as server, connect(server) as client:
        assert answer_to(client, get())[0] == 500
    assert caplog.records[-1].getMessage() == "the application failed on GET /"


def test_a_response_that_was_cut_is_never_followed_by_another():
    """Though the application hides that its own time limit ended a write half-way."""

    def app(environ, start_response):
        write = start_response("200 OK", [])
        try:
            with timeout(0.05):
                write(b"x" * 20_000_000)
        except Timeout:
            pass
        with pytest.raises(ConnectionAbortedError):
            write(b"y")
        told.send("told")
        return []

    told = Channel(buffer=1)
    with serving(app) as server, connect(server) as client:
        client.sendall(get() + get())
        assert told.receive(SECONDS) == "told"
        raw = receive_all(client)
    assert raw.count(b"HTTP/1.1") == 1
    assert b"y" not in raw.partition(b"\r\n\r\n")[2]


def test_the_application_learns_of_other_processes():
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgi.multiprocess"])
        return hello(environ, start_response)

    for multiprocess in (False, True):
        server = WSGIServer(("127.0.0.1", 0), app, multiprocess=multiprocess)
        server.start()
        try:
            with connect(server) as client:
                answer_to(client, get())
        finally:
            server.stop(0)
    assert seen == [False, True]


def test_stopping_at_once_ends_requests_under_way():
    started = Channel()
    app = Body(b"x" * 100_000)

    def starting(environ, start_response):
        started.send(None)
        return app(environ, start_response)

    with serving(starting) as server, connect(server) as client:
        client.sendall(get())
        started.receive(SECONDS)
        server.stop(0)
        assert app.closed.receive(SECONDS) == "closed"
        server.stop(0)


def test_a_stopped_server_can_start_again():
    with serving(paths) as server:
        for path in ("/1", "/2"):
            server.start()
            with connect(server) as client:
                assert answer_to(client, get(path)) == (200, path.encode())
            server.stop()


def test_a_used_port_is_an_error_that_names_it():
    with serving(hello) as server, pytest.raises(OSError, match=str(server.address[1])):
        WSGIServer(server.address, hello).start()


def test_an_application_has_to_be_callable():
    with pytest.raises(TypeError, match="no WSGI application: it cannot be called"):
        WSGIServer(("127.0.0.1", 0), "hello")


def test_without_httptools_only_making_a_server_fails(monkeypatch):
    missing = ModuleNotFoundError("No module named 'httptools'")
    monkeypatch.setattr(http_parser, "HTTPTOOLS_ERROR", missing)
    with pytest.raises(ImportError, match=r"WSGIServer needs httptools.*ringlet\[server\]"):
        WSGIServer(("127.0.0.1", 0), hello)


def test_a_response_that_stop_ends_is_cut_and_not_taken_for_the_whole():
    """In HTTP/1.0 the end of the connection is the end of the body, unless it is a reset."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        Channel().receive()

    with serving(app) as server, connect(server) as client:
        client.sendall(get(version="1.0"))
        received = b""
        while not received.endswith(b"half"):
            received += client.recv(1000)
        server.stop(0)
        with pytest.raises(ConnectionResetError):
            client.recv(1)

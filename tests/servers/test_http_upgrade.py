"""The hook by which an application takes a connection over for another protocol."""

import pytest

from ringlet import Channel, spawn
from ringlet.io import socket
from ringlet.servers import HTTPLimits, WSGIServer
from ringlet.servers.wsgi_connection import Connection
from tests.servers.scripted import BASE, ScriptedSocket, Talk, get, hello, paths, post

SECONDS = 20
ASK = ("Connection: Upgrade", "Upgrade: shout, other")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n"


def shout(environ, start_response):
    """Gives back what it is told, louder."""
    upgrade = environ.get("ringlet.upgrade")
    if upgrade is None:
        return hello(environ, start_response)
    stream = upgrade("shout")
    while data := stream.receive():
        stream.send(data.upper())
    return []


def serve(app, *reads, access=None, **limits):
    sock = ScriptedSocket(*reads)
    Connection(sock, app, HTTPLimits(**limits), BASE, access).serve()
    return sock


@pytest.mark.parametrize("together", [True, False])
def test_an_application_may_take_the_connection(together):
    """What the client sent right behind its request is not lost, and not taken for a request."""
    reads = [get("/", *ASK), b"get / http/1.1\r\n", b"hm"]
    sock = serve(shout, *([b"".join(reads)] if together else reads))
    assert sock.raw == SWITCH + b"\r\nGET / HTTP/1.1\r\nHM"
    assert ("shutdown", socket.SHUT_WR) in sock.calls


def test_requests_before_it_are_answered():
    sock = serve(shout, get("/1") + get("/2", *ASK) + b"hm")
    assert Talk(sock.raw.partition(SWITCH)[0]).statuses == [200]
    assert sock.raw.endswith(b"\r\n\r\nHM")


@pytest.mark.parametrize(
    "request_",
    [
        get("/"),
        get("/", *ASK, version="1.0"),
        post(b"body", "/", *ASK),
        get("/", "Upgrade: shout"),
    ],
)
def test_a_request_that_cannot_be_upgraded_has_no_hook(request_):
    offered = []

    def app(environ, start_response):
        offered.append("ringlet.upgrade" in environ)
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    serve(app, request_)
    assert offered == [False]


def test_a_declined_upgrade_leaves_http_as_it_is():
    sock = serve(paths, get("/1", *ASK) + get("/2") + get("/3", *ASK), get("/4", *ASK), get("/5"))
    answers = Talk(sock.raw).answers
    assert [answer.body for answer in answers] == [b"/1", b"/2", b"/3", b"/4", b"/5"]


def test_half_a_request_after_a_declined_upgrade():
    sock = serve(paths, get("/1", *ASK) + get("/2")[:9], get("/2")[9:])
    assert [answer.body for answer in Talk(sock.raw).answers] == [b"/1", b"/2"]


def test_garbage_after_a_declined_upgrade_is_refused():
    assert Talk(serve(paths, get("/1", *ASK) + b"garbage\r\n\r\n").raw).statuses == [200, 400]


def test_headers_go_along():
    def app(environ, start_response):
        environ["ringlet.upgrade"]("SHOUT", [("X-Loud", "very")])
        return []

    raw = serve(app, get("/", *ASK)).raw
    assert raw.endswith(b"Upgrade: SHOUT\r\nX-Loud: very\r\n\r\n")


@pytest.mark.parametrize(
    ("protocol", "headers"),
    [
        ("http/3", []),
        ("shout\r\nSet-Cookie: a=b", []),
        ("shout", [("X", "a\r\nSet-Cookie: a=b")]),
        ("shout", [("X\r\nSet-Cookie", "a=b")]),
        ("shout", [("Content-Length", "5")]),
        ("shout", [("Connection", "close")]),
    ],
)
def test_what_cannot_be_sent_is_the_applications_error(protocol, headers, caplog):
    def app(environ, start_response):
        environ["ringlet.upgrade"](protocol, headers)
        return []

    sock = serve(app, get("/", *ASK))
    assert Talk(sock.raw).statuses == [500]
    assert b"Set-Cookie" not in sock.raw
    assert caplog.records[-1].exc_info[0] is ValueError


def test_there_is_one_answer_only(caplog):
    """Neither both, nor two of one kind, nor a body."""

    def after_start(environ, start_response):
        start_response("200 OK", [])
        environ["ringlet.upgrade"]("shout")

    def twice(environ, start_response):
        environ["ringlet.upgrade"]("shout")
        environ["ringlet.upgrade"]("shout")

    def start_after(environ, start_response):
        environ["ringlet.upgrade"]("shout")
        start_response("200 OK", [])

    def body(environ, start_response):
        environ["ringlet.upgrade"]("shout")
        return [b"never"]

    def late_body(environ, start_response):
        environ["ringlet.upgrade"]("shout")
        yield b"never"

    assert Talk(serve(after_start, get("/", *ASK)).raw).statuses == [500]
    for app in (twice, start_after, body, late_body):
        assert serve(app, get("/", *ASK)).raw == SWITCH + b"\r\n"
    kinds = [record.exc_info[0] for record in caplog.records]
    assert kinds == [RuntimeError] * 3 + [ValueError] * 2


def test_only_with_status_426_a_response_may_name_a_protocol():
    def app(environ, start_response):
        start_response("426 Upgrade Required", [("Upgrade", "shout")])
        return [b"shout!"]

    answer = Talk(serve(app, get()).raw).answer
    assert (answer.status, answer.headers["upgrade"]) == (426, "shout")


def test_the_log_has_one_entry_for_all_of_it():
    entries = []
    serve(shout, get("/", *ASK) + b"hm", b"hm", access=entries.append)
    assert [(entry.status, entry.sent, entry.complete) for entry in entries] == [(101, 4, True)]


def test_an_application_may_be_a_generator():
    def app(environ, start_response):
        stream = environ["ringlet.upgrade"]("shout")
        stream.send(b"hm")
        yield from ()

    assert serve(app, get("/", *ASK)).raw == SWITCH + b"\r\nhm"


def test_what_is_to_be_done_when_the_server_stops_may_fail(caplog):
    def app(environ, start_response):
        stream = environ["ringlet.upgrade"]("shout")
        stream.on_stop = lambda: 1 / 0
        connection.finish()
        return []

    sock = ScriptedSocket(get("/", *ASK))
    connection = Connection(sock, app, HTTPLimits(), BASE)
    connection.serve()
    assert caplog.records[-1].exc_info[0] is ZeroDivisionError


def test_a_lost_connection_is_the_end(caplog):
    serve(shout, get("/", *ASK), ConnectionResetError())
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def running(app, **limits):
    server = WSGIServer(("127.0.0.1", 0), app, http_limits=HTTPLimits(**limits))
    server.start()
    return server


def read_head(client):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    return head


def test_no_time_limit_of_a_request_ends_it():
    server = running(shout, request_timeout=0.05, idle_timeout=0.05, io_timeout=0.05)
    try:
        with socket.create_connection(server.address, SECONDS) as client:
            client.sendall(get("/", *ASK))
            read_head(client)
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(SECONDS)
            client.sendall(b"still there?")
            assert client.recv(100) == b"STILL THERE?"
    finally:
        server.stop(0)


@pytest.mark.parametrize("told", [False, True])
def test_stopping_ends_it_or_tells_the_application(told):
    stops = Channel(buffer=1)

    def app(environ, start_response):
        stream = environ["ringlet.upgrade"]("shout")
        if told:
            stream.on_stop = lambda: stops.send("stop")
            stream.send(stops.receive().encode())
        else:
            stream.send(b"end" + stream.receive())
        return []

    server = running(app)
    try:
        with socket.create_connection(server.address, SECONDS) as client:
            client.sendall(get("/", *ASK))
            read_head(client)
            stopping = spawn(server.stop, SECONDS)
            assert client.recv(100) == (b"stop" if told else b"end")
            assert client.recv(100) == b""
            client.close()
            stopping.result(SECONDS)
    finally:
        server.stop(0)


def test_receiving_without_waiting_is_no_end():
    def app(environ, start_response):
        stream = environ["ringlet.upgrade"]("shout")
        with pytest.raises(TimeoutError):
            stream.receive(0)
        stream.send(b"ready")
        stream.send(stream.receive().upper())
        return []

    server = running(app)
    try:
        with socket.create_connection(server.address, SECONDS) as client:
            client.sendall(get("/", *ASK))
            read_head(client)
            assert client.recv(10) == b"ready"
            client.sendall(b"hm")
            assert client.recv(10) == b"HM"
    finally:
        server.stop(0)

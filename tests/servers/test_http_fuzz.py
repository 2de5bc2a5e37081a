"""Whatever a client sends: what is right is answered right, and what is not does no harm.

RINGLET_FUZZ_REQUESTS sets how many conversations each test has, for a long run.
"""

import json
import os
from contextlib import contextmanager

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringlet import schedule, spawn
from ringlet.io import socket
from ringlet.servers import HTTPLimits, WSGIServer
from ringlet.servers.http_names import environ_key
from tests.servers.conftest import receive_all
from tests.servers.requests import conversations, pieces
from tests.servers.scripted import echo, get, parse_answers, post, post_chunks, talk_script

EXAMPLES = int(os.environ.get("RINGLET_FUZZ_REQUESTS", "100"))
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SECONDS = 20
#: What the server may say to what is no request, or none that it serves.
REFUSALS = {400, 408, 411, 413, 414, 417, 431, 501, 505}


def tell(environ, start_response):
    """Answers with the body, and with what it has seen in a header."""
    body = environ["wsgi.input"].read()
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("X-Seen", json.dumps(seen))])
    return [body]


@contextmanager
def serving(caplog, **limits):
    """A server that has to be as good as new in the end, without having logged any error."""
    caplog.set_level("WARNING")
    server = WSGIServer(("127.0.0.1", 0), tell, http_limits=HTTPLimits(**limits))
    server.start()
    try:
        yield server
        assert not server._clients
    finally:
        server.stop(0)
    assert not [record.getMessage() for record in caplog.records]


def talk(server, reads):
    """All that the server says to these bytes. A server that hangs is a TimeoutError."""

    def send():
        try:
            for data in reads:
                client.sendall(data)
                schedule()
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up, having said why

    with socket.create_connection(server.address, SECONDS) as client:
        sender = spawn(send)
        raw = receive_all(client)
        sender.join()
    return raw


def test_what_is_right_is_answered_right(caplog):
    """Every request comes back with its body, in order, and was seen as it was meant."""

    @MANY
    @given(st.data())
    def converse(data):
        requests = data.draw(conversations())
        reads = data.draw(pieces(b"".join(request.raw for request in requests)))
        raw = talk(server, reads)
        answers = parse_answers(raw, [request.method for request in requests])
        assert [answer.status for answer in answers] == [200] * len(requests)
        for number, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            seen = json.loads(answer.headers["x-seen"])
            assert answer.body == (b"" if request.method == "HEAD" else request.body)
            assert seen["HTTP_X_NUMBER"] == str(number)
            assert seen["REQUEST_METHOD"] == request.method
            assert seen["PATH_INFO"] == request.path
            assert seen["QUERY_STRING"] == request.query
            for name, value in request.headers.items():
                assert seen[environ_key(name.encode())] == value

    with serving(caplog) as server:
        converse()


SPLINTERS = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b",", b"\x7f", b"\xff", b"/", b"%"),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n"),
        *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n"),
        *(b"Host: b\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n"),
        *(b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/9.9"),
        *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"-1", b"0x", b";"),
        b"x" * 9000,
        b"X: y\r\n" * 200,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    ]
)


@st.composite
def wrong_streams(draw):
    """Conversations with splinters stuck into them, and pieces lost or said twice."""
    stream = b"".join(request.raw for request in draw(conversations()))
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(stream)))
        until = min(len(stream), where + draw(st.sampled_from([0, 0, 1, 2, 10, 1000])))
        middle = draw(
            SPLINTERS | st.binary(max_size=3) | st.just(stream[where:until] * 2) | st.just(b"")
        )
        stream = stream[:where] + middle + stream[until:]
    return draw(pieces(stream))


def test_what_is_wrong_does_no_harm(caplog):
    """Nothing fails or hangs, and all that is said is HTTP."""

    @MANY
    @given(wrong_streams() | st.lists(st.binary(min_size=1), max_size=3))
    def confuse(reads):
        raw = talk(server, reads)
        # A mutant may have made any request a HEAD, so what follows a head is not looked at.
        codes = {
            int(line.split(b" ")[1])
            for line in raw.split(b"\r\n")
            if line.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
        }
        assert not raw or raw.startswith(b"HTTP/1.1 ")
        assert codes <= REFUSALS
        # It is still there for others.
        assert parse_answers(talk(server, [get("/", "Connection: close")]))[0].status == 200

    with serving(caplog, max_body=1 << 20) as server:
        confuse()


REQUESTS = st.sampled_from(
    [
        get("/a?b", "X: y"),
        get("/", "Connection: close"),
        get("/", "Connection: upgrade", "Upgrade: h2c"),
        post(b"hello", "/x", "Expect: 100-continue"),
        post(b"hello", "/x", "Connection: upgrade", "Upgrade: h2c"),
        post_chunks(b"abc", b"defg"),
    ]
)


@st.composite
def scripts(draw):
    """Simple requests with splinters stuck into them, cut anywhere."""
    stream = b"".join(draw(st.lists(REQUESTS, min_size=1, max_size=3)))
    for splinter in draw(st.lists(SPLINTERS | st.binary(max_size=3), max_size=3)):
        where = draw(st.integers(0, len(stream)))
        stream = stream[:where] + splinter + stream[where + draw(st.integers(0, 2)) :]
    return draw(pieces(stream))


@MANY
@given(st.lists(st.binary(min_size=1), max_size=3) | scripts())
def test_all_that_is_said_is_http(reads):
    """To the last byte, for methods that a reader of the responses knows."""
    answers = talk_script(echo, *reads, max_body=1000).answers
    assert {answer.status for answer in answers} <= REFUSALS | {200}

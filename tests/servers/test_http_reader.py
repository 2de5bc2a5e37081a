"""Keep-alive, pipelining, bodies on demand, and the limits on time and size."""

import socket

import pytest

from ringlet.servers import http_reader, http_wire
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.http_wire import HEAD_BYTES
from ringlet.servers.wsgi_connection import Connection
from tests.servers.scripted import (
    BASE,
    ScriptedSocket,
    Talk,
    echo,
    get,
    hello,
    paths,
    post,
    post_chunks,
    talk_script,
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = "Expect: 100-continue"


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        for module in (http_reader, http_wire):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_connection_serves_one_request_after_the_other(talk):
    result = talk(paths, get("/1"), get("/2"), get("/3"))
    assert [answer.body for answer in result.answers] == [b"/1", b"/2", b"/3"]


def test_pipelined_requests_are_answered_in_order(talk):
    result = talk(paths, b"".join(get(f"/{i}") for i in range(50)))
    assert [answer.body for answer in result.answers] == [b"/%d" % i for i in range(50)]


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_it_does_not_matter_how_the_stream_is_cut(size):
    stream = (
        get("/1")
        + post(b"body", "/2")
        + post_chunks(b"one", b"two" * 10, path="/3")
        + post(b"", "/4")
        + get("/5?q", "X: " + "y" * 100)
    )
    result = talk_script(echo, *(stream[i : i + size] for i in range(0, len(stream), size)))
    bodies = [answer.body for answer in result.answers]
    assert bodies == [b"", b"body", b"one" + b"two" * 10, b"", b""]


def test_the_client_decides_to_close(talk):
    result = talk(paths, get("/1", "Connection: close"), get("/2"))
    assert result.answer.body == b"/1"
    assert result.answer.headers["connection"] == "close"


def test_data_after_the_last_request_is_no_request(talk):
    result = talk(paths, get("/1", "Connection: close") + get("/2"))
    assert result.answer.body == b"/1"


def test_http_1_0_closes_unless_asked_not_to(talk):
    assert talk(paths, get("/1", version="1.0"), get("/2")).statuses == [200]
    again = get("/2", "Connection: keep-alive", version="1.0")
    result = talk(paths, again, again)
    assert result.statuses == [200, 200]
    assert result.answers[0].headers["connection"] == "keep-alive"


def test_an_interrupted_head_is_a_bad_request(talk):
    assert talk(hello, get("/")[:-3]).answer.status == 400


def test_nothing_at_all_gets_no_answer(talk):
    assert talk(hello).raw == b""


def test_a_silent_client_is_left_without_a_word():
    result = talk_script(hello, TimeoutError(), get("/"), first_byte_timeout=7.0)
    assert result.raw == b""
    assert result.sock.timeouts[-1] == 7.0


def test_a_kept_connection_that_falls_silent_is_left_without_a_word():
    result = talk_script(hello, get("/"), TimeoutError(), get("/"))
    assert result.statuses == [200]


def test_a_head_that_stops_arriving_times_out():
    assert talk_script(hello, get("/")[:-3], TimeoutError()).answer.status == 408


def test_a_head_that_drips_times_out(clock):
    """Each byte is in time, the whole is not."""
    head = get("/")
    sock = ScriptedSocket(*(head[i : i + 1] for i in range(len(head))))

    def tick():
        clock.now += 1.0

    sock.before_read = tick
    Connection(sock, hello, HTTPLimits(header_timeout=10.0), BASE).serve()
    assert Talk(sock.raw).answer.status == 408
    assert b"".join(sock.reads).endswith(b"Host: a\r\n\r\n")


def test_a_body_that_stops_arriving_times_out():
    result = talk_script(echo, post(b"body")[:-2], TimeoutError(), io_timeout=3.0)
    assert result.answer.status == 408
    assert result.answer.headers["connection"] == "close"


def test_a_body_that_drips_times_out(clock):
    """Each byte is in time, but fewer come than a second should bring."""
    left = []
    sock = ScriptedSocket(post(b"x" * 1000)[:-1000], *[b"x"] * 1000)

    def tick():
        clock.now += 1.0
        left.append(len(sock.reads))

    sock.before_read = tick
    Connection(sock, echo, HTTPLimits(io_timeout=30.0, min_rate=10.0), BASE).serve()
    assert Talk(sock.raw).answer.status == 408
    # After 30 seconds, and a tenth of a second for each byte; then the rest is thrown away.
    assert 1000 - left[-2] >= 33
    assert sock.reads


def test_a_body_that_is_fast_enough_may_take_its_time(clock):
    sock = ScriptedSocket(post(b"x" * 1000)[:-1000], *[b"x" * 20] * 50)

    def tick():
        clock.now += 1.0

    sock.before_read = tick
    Connection(sock, echo, HTTPLimits(io_timeout=5.0, min_rate=20.0), BASE).serve()
    assert Talk(sock.raw).answer.body == b"x" * 1000


def test_the_time_an_application_takes_is_not_the_clients(clock):
    def app(environ, start_response):
        start_response("200 OK", [])
        for _ in range(10):
            clock.now += 1000.0
            yield environ["wsgi.input"].read(1)

    sock = ScriptedSocket(post(b"x" * 10)[:-10], *[b"x"] * 10)
    Connection(sock, app, HTTPLimits(), BASE).serve()
    assert Talk(sock.raw).answer.body == b"x" * 10


def test_a_chunks_endless_extension_is_refused():
    """It is no part of the body, so no limit on that would hold it."""
    head = post_chunks()[:-5]
    sock = ScriptedSocket(head + b"1;", *[b"x" * 1000] * 5000)
    Connection(sock, echo, HTTPLimits(max_header_bytes=10_000), BASE).serve()
    assert Talk(sock.raw).answer.status == 431
    assert len(sock.reads) > 3000


def test_a_body_that_ends_early_is_a_bad_request(talk):
    assert talk(echo, post(b"body")[:-2]).answer.status == 400


def test_equal_time_limits_are_set_once():
    """Setting one costs on the way of every request."""
    limits = dict.fromkeys(("first_byte_timeout", "idle_timeout", "io_timeout"), 5.0)
    result = talk_script(hello, get("/"), get("/"), get("/"), **limits)
    assert result.sock.timeouts == [5.0]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/" + "x" * 84), 200),  # GET, two blanks, the path and HTTP/1.1: 98 bytes
        (get("/" + "x" * 87), 414),
        (get("/" + "x" * 500), 414),
        (get("/", *["X: y"] * 9), 200),
        (get("/", *["X: y"] * 10), 431),
        (get("/", "X: " + "y" * 180), 200),  # with Host: a, 193 bytes
        (get("/", "X: " + "y" * 190), 431),
        (get("/", "X: " + "y" * 5000), 431),
        (get("/", "X" * 5000 + ": y"), 431),
    ],
)
def test_the_head_is_limited(talk, request_, status, cut):
    limits = {"max_request_line": 100, "max_headers": 10, "max_header_bytes": 200}
    reads = [request_[i : i + 1] for i in range(len(request_))] if cut else [request_]
    assert talk(hello, *reads, **limits).answer.status == status


def test_an_endless_head_is_refused_before_it_ends():
    for start in (b"GET /", b"GET / HTTP/1.1\r\nX", b"GET / HTTP/1.1\r\nX: ", b"\r\n"):
        sock = ScriptedSocket(start, *[b"\r\n" * 500 if start == b"\r\n" else b"y" * 1000] * 1000)
        Connection(sock, hello, HTTPLimits(), BASE).serve()
        assert Talk(sock.raw).answer.status in (414, 431)
        read = 1000 - len(sock.reads)
        # Some more is read and thrown away, for the client to see the answer.
        assert read < (8190 + 32768 + http_wire.LINGER_BYTES) / 1000 + 3


def test_trailers_are_limited_too(talk):
    trailers = "".join(f"X-{i}: y\r\n" for i in range(20))
    raw = post_chunks(b"abc")[:-2] + trailers.encode() + b"\r\n"
    assert talk(echo, raw, max_headers=10).answer.status == 431
    assert talk(echo, raw, max_headers=30).answer.status == 200


def test_a_long_body_is_refused_before_the_application_runs(talk):
    result = talk(lambda *_: pytest.fail("it ran"), post(b"x" * 11), max_body=10)
    assert result.answer.status == 413
    assert talk(echo, post(b"x" * 10), max_body=10).answer.status == 200


def test_a_chunked_body_is_refused_once_it_is_too_long(talk):
    assert talk(echo, post_chunks(b"x" * 6, b"y" * 5), max_body=10).answer.status == 413
    assert talk(echo, post_chunks(b"x" * 6, b"y" * 4), max_body=10).answer.status == 200


def test_the_application_gets_an_oserror_for_a_body_it_cannot_have(talk):
    caught = []

    def app(environ, start_response):
        for _ in range(2):
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                caught.append(str(error))
        return hello(environ, start_response)

    result = talk(app, post(b"body")[:-2])
    assert result.answer.status == 200
    assert result.answer.headers["connection"] == "close"
    assert (
        caught
        == ["the request body cannot be read: the connection ended within the request's body"] * 2
    )


def test_continue_is_sent_when_the_body_is_first_read():
    order = []

    def app(environ, start_response):
        order.append(list(sock.writes))
        data = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [data]

    head, body = post(b"body", "/", EXPECT)[:-4], b"body"
    sock = ScriptedSocket(head, body[:2], body[2:], get("/"))
    Connection(sock, app, HTTPLimits(), BASE).serve()
    assert order[0] == []
    assert sock.writes[0] == CONTINUE
    assert [answer.body for answer in Talk(sock.raw).answers] == [b"body", b""]
    assert Talk(sock.raw).raw.count(CONTINUE) == 1


def test_continue_is_not_sent_to_a_client_that_did_not_wait(talk):
    result = talk(echo, post(b"body", "/", EXPECT), get("/"))
    assert CONTINUE not in result.raw
    assert result.statuses == [200, 200]


def test_a_client_that_waits_for_a_body_nobody_reads_is_answered_at_once():
    """Whether it sends the body all the same is not known, so the connection ends."""
    result = talk_script(paths, post(b"body", "/1", EXPECT)[:-4], get("/2"))
    assert result.answer.body == b"/1"
    assert result.answer.headers["connection"] == "close"


def test_continue_is_not_sent_after_the_response_began(talk):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"head"
        yield environ["wsgi.input"].read()

    result = talk(app, post(b"body", "/", EXPECT)[:-4], b"body")
    assert CONTINUE not in result.raw
    assert result.answer.body == b"headbody"


def test_http_1_0_expects_nothing(talk):
    raw = b"POST / HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    result = talk(echo, raw, b"body")
    assert CONTINUE not in result.raw
    assert result.answer.body == b"body"


def test_a_short_body_nobody_reads_is_skipped(talk):
    first = post(b"x" * 1000, "/1")
    result = talk(paths, first[:-500], first[-500:], get("/2"))
    assert [answer.body for answer in result.answers] == [b"/1", b"/2"]


def test_a_long_body_nobody_reads_ends_the_connection():
    head = post(b"x" * 200_000, "/1")[:-200_000]
    sock = ScriptedSocket(head, *[b"x" * 10_000] * 20, get("/2"))
    Connection(sock, paths, HTTPLimits(), BASE).serve()
    result = Talk(sock.raw)
    assert result.answer.body == b"/1"
    assert result.answer.headers["connection"] == "close"
    assert ("shutdown", socket.SHUT_WR) in sock.calls


def test_an_endless_chunked_body_nobody_reads_ends_the_connection(talk):
    chunks = post_chunks(*[b"x" * 10_000] * 50, path="/1")
    result = talk(paths, *(chunks[i : i + 9000] for i in range(0, len(chunks), 9000)), get("/2"))
    assert result.answer.body == b"/1"


def test_a_body_nobody_reads_has_to_arrive_in_time(clock):
    sock = ScriptedSocket(post(b"x" * 1000, "/1")[:-1000], *[b"x"] * 1000, get("/2"))

    def tick():
        clock.now += 1.0

    sock.before_read = tick
    Connection(sock, paths, HTTPLimits(), BASE).serve()
    assert Talk(sock.raw).answer.body == b"/1"


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError(), OSError(113, "x")])
def test_a_lost_connection_ends_quietly(error, caplog):
    assert talk_script(hello, error).raw == b""
    assert talk_script(hello, get("/"), error).statuses == [200]
    assert talk_script(hello, get("/")[:-3], error).raw == b""
    assert talk_script(echo, post(b"body")[:-2], error).raw == b""
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_closing_tells_the_client_and_takes_no_more_requests():
    def app(environ, start_response):
        connection.finish()
        return paths(environ, start_response)

    sock = ScriptedSocket(get("/1"), get("/2"))
    connection = Connection(sock, app, HTTPLimits(), BASE)
    connection.serve()
    assert Talk(sock.raw).answer.headers["connection"] == "close"
    assert sock.calls == []


def test_closing_ends_an_idle_connection():
    sock = ScriptedSocket()
    connection = Connection(sock, hello, HTTPLimits(), BASE)
    sock.before_read = connection.end_if_idle
    connection.serve()
    assert sock.calls == [("shutdown", socket.SHUT_RD)]


def test_closing_leaves_a_request_that_has_begun():
    """Not one that is read, and not one that is being answered."""
    sock = ScriptedSocket(get("/")[:5], get("/")[5:])

    def app(environ, start_response):
        connection.end_if_idle()
        return hello(environ, start_response)

    connection = Connection(sock, app, HTTPLimits(), BASE)

    def look():
        if len(sock.reads) == 1:
            connection.finish()
            connection.end_if_idle()

    sock.before_read = look
    connection.serve()
    assert Talk(sock.raw).answer.headers["connection"] == "close"
    assert ("shutdown", socket.SHUT_RD) not in sock.calls


def test_a_response_that_promised_to_go_on_is_kept_to_while_closing():
    """Closing began when its head was sent: the next request may be on its way."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        yield b"x"
        connection.finish()

    sock = ScriptedSocket(get("/1"), get("/2"), get("/3"))
    connection = Connection(sock, app, HTTPLimits(closing_timeout=3.0), BASE)
    connection.serve()
    first, second = Talk(sock.raw).answers
    assert "connection" not in first.headers
    assert second.headers["connection"] == "close"
    assert 3.0 in sock.timeouts


@pytest.mark.parametrize(
    "limits",
    [
        {"first_byte_timeout": 0},
        {"idle_timeout": 0},
        {"min_rate": 0},
        {"request_timeout": -1.0},
        {"closing_timeout": 0},
        {"closing_timeout": None},
        {"header_timeout": -1.0},
        {"io_timeout": 0.0},
        {"max_request_line": 0},
        {"max_header_bytes": -5},
        {"max_headers": 0},
        {"max_body": -1},
    ],
)
def test_senseless_limits_are_refused(limits):
    (name,) = limits
    with pytest.raises(ValueError, match=f"HTTPLimits.{name}"):
        HTTPLimits(**limits)


def test_limits_can_be_lifted():
    names = ("first_byte_timeout", "idle_timeout", "header_timeout", "io_timeout", "min_rate")
    limits = dict.fromkeys(names)
    result = talk_script(echo, get("/")[:5], get("/")[5:], post(b"x" * 5)[:-2], b"xx", **limits)
    assert result.statuses == [200, 200]
    assert set(result.sock.timeouts) == {None}


def test_a_client_that_sends_thousands_of_requests_has_few_of_them_read_at_once():
    """The others stay in the kernel, which makes the client wait."""
    queued = []

    def app(environ, start_response):
        queued.append(len(connection._reader.queue))
        return hello(environ, start_response)

    sock = ScriptedSocket(post(bytes(50_000)), get() * 4000)
    connection = Connection(sock, app, HTTPLimits(), BASE)
    connection.serve()
    assert len(queued) == 4001
    assert max(queued) <= HEAD_BYTES // len(get())

"""What leaves on the wire for what an application returns, and what must never leave."""

import re
import socket
import sys

import pytest

from ringlet.servers import http_head
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.http_wire import SEND_BYTES
from ringlet.servers.wsgi_connection import Connection
from tests.servers.scripted import BASE, ScriptedSocket, get, talk_script


def app_of(result, headers=(), status="200 OK"):
    """An application that answers with `result`, or with what it returns if it is a function."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return result() if callable(result) else result

    return app


def parts(*data):
    """An application's generator, whose length nobody can know."""
    return lambda: iter(data)


LENGTH_5 = [("Content-Length", "5")]

FRAMING = {
    # result, headers of the application, then what is expected: body, length, chunked
    "one part": ([b"hello"], [], b"hello", "5", False),
    "one part, tuple": ((b"hello",), [], b"hello", "5", False),
    "several parts": ([b"he", b"", b"llo"], [], b"hello", "5", False),
    "empty part": ([b""], [], b"", "0", False),
    "no part": ([], [], b"", "0", False),
    "length given": ([b"hello"], LENGTH_5, b"hello", "5", False),
    "length given, several": ([b"he", b"llo"], LENGTH_5, b"hello", "5", False),
    "same length twice": ([b"hello"], LENGTH_5 * 2, b"hello", "5", False),
    "iterator": (parts(b"he", b"", b"llo"), [], b"hello", None, True),
    "iterator, length given": (parts(b"he", b"llo"), LENGTH_5, b"hello", "5", False),
    "empty iterator": (parts(), [], b"", "0", False),
    "iterator of empty parts": (parts(b"", b""), [], b"", "0", False),
    "many long parts": ([b"x" * 99_999] * 9, [], b"x" * 899_991, "899991", False),
}


@pytest.mark.parametrize(
    ("result", "headers", "body", "length", "chunked"), FRAMING.values(), ids=FRAMING.keys()
)
def test_framing(talk, result, headers, body, length, chunked):
    answer, after = talk(app_of(result, headers), get(), get()).answers
    assert answer.body == after.body == body
    assert answer.headers.get("content-length") == length
    assert (answer.headers.get("transfer-encoding") == "chunked") == chunked
    assert "connection" not in answer.headers


@pytest.mark.parametrize(
    ("result", "headers", "body", "length", "chunked"), FRAMING.values(), ids=FRAMING.keys()
)
def test_framing_for_http_1_0(talk, result, headers, body, length, chunked):
    """Without a length, the end of the connection is the end of the body."""
    request = get("/", "Connection: keep-alive", version="1.0")
    talked = talk(app_of(result, headers), request, request)
    assert all(answer.body == body for answer in talked.answers)
    answer = talked.answers[0]
    assert answer.headers.get("content-length") == length
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == ("close" if chunked else "keep-alive")


@pytest.mark.parametrize(
    ("result", "headers", "body", "length", "chunked"), FRAMING.values(), ids=FRAMING.keys()
)
def test_head_has_the_headers_of_get_and_no_body(talk, result, headers, body, length, chunked):
    raw = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    talked = talk(app_of(result, headers), raw, get(), methods=["HEAD", "GET"])
    answer, after = talked.answers
    assert answer.body == b""
    assert after.body == body
    # A length that is given is the right one; "0" for an empty list could be wrong for GET.
    assert answer.headers.get("content-length") in (None, length)
    if body and length is not None and headers:
        assert answer.headers["content-length"] == length


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[], [b"body"], [b"a", b"b"], parts(b"body")])
def test_a_status_without_a_body(talk, status, result):
    answer, after = talk(app_of(result, status=status), get(), get()).answers
    assert answer.status == after.status == int(status[:3])
    assert answer.body == b""
    assert not {"content-length", "transfer-encoding"} & answer.headers.keys()


def test_not_modified_may_tell_the_length_but_no_content_may_not(talk):
    for status, length in (("304 Not Modified", "5"), ("204 No Content", None)):
        answer, _ = talk(app_of([], LENGTH_5, status), get(), get()).answers
        assert answer.headers.get("content-length") == length


def test_head_and_body_leave_in_one_write():
    assert len(talk_script(app_of([b"hello"]), get()).sock.writes) == 1
    assert len(talk_script(app_of([b"he", b"llo"]), get()).sock.writes) == 1
    # The head, with the first part; the other part; the end.
    assert len(talk_script(app_of(parts(b"he", b"llo")), get()).sock.writes) == 3


def test_parts_leave_as_they_come():
    """None waits for the next, because the next may never come."""
    sent = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for data in (b"one", b"two"):
            yield data
            sent.append(sock.writes[-1].rpartition(b"\r\n\r\n")[2])

    sock = ScriptedSocket(get())
    Connection(sock, app, HTTPLimits(), BASE).serve()
    assert sent == [b"3\r\none\r\n", b"3\r\ntwo\r\n"]


def test_a_long_body_is_not_copied_into_one_write():
    body = b"x" * (SEND_BYTES * 2)
    talked = talk_script(app_of([body]), get())
    assert talked.answer.body == body
    assert len(talked.sock.writes) > 1


def test_write_and_iterable_together(talk):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"three", b" four"]

    talked = talk(app, get(), get())
    assert [answer.body for answer in talked.answers] == [b"one two three four"] * 2


def test_a_date_is_added_once(talk):
    answer = talk(app_of([b""]), get()).answer
    assert re.fullmatch(
        r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        answer.headers["date"],
    )
    given = [("Date", "Mon, 01 Jan 2001 00:00:00 GMT")]
    raw = talk(app_of([b""], given), get()).raw
    assert raw.count(b"Date: ") == 1
    assert b"Date: Mon, 01 Jan 2001 00:00:00 GMT\r\n" in raw


def test_the_application_may_close_the_connection(talk):
    talked = talk(app_of([b"bye"], [("Connection", "close")]), get(), get())
    assert talked.answer.headers["connection"] == "close"


def test_keep_alive_is_the_servers_to_promise(talk):
    talked = talk(app_of([b"x"], [("Connection", "keep-alive")]), get(), get())
    assert talked.statuses == [200, 200]
    assert b"keep-alive" not in talked.raw


BAD_HEADS = {
    "CR and LF in value": ("200 OK", [("X", "a\r\nSet-Cookie: b=c")]),
    "LF in value": ("200 OK", [("X", "a\nSet-Cookie: b=c")]),
    "CR in value": ("200 OK", [("X", "a\rSet-Cookie: b=c")]),
    "NUL in value": ("200 OK", [("X", "a\0b")]),
    "body in value": ("200 OK", [("X", "a\r\n\r\n<script>")]),
    "break in value of a known name": ("200 OK", [("Date", "a\r\nSet-Cookie: b=c")]),
    "break in length": ("200 OK", [("Content-Length", "5\r\nSet-Cookie: b=c")]),
    "break in name": ("200 OK", [("X\r\nSet-Cookie", "b=c")]),
    "colon in name": ("200 OK", [("Set-Cookie: b=c\r\nX", "a")]),
    "blank in name": ("200 OK", [("X Y", "a")]),
    "no name": ("200 OK", [("", "a")]),
    "name beyond ASCII": ("200 OK", [("X-\xe9", "a")]),
    "value beyond latin-1": ("200 OK", [("X", "Set-Cookie \u20ac")]),
    "break in status": ("200 OK\r\nSet-Cookie: b=c", []),
    "LF in status": ("200 OK\nSet-Cookie: b=c", []),
    "status without code": ("OK", []),
    "status without blank": ("200", []),
    "interim status": ("100 Continue", []),
    "long code": ("2000 OK", []),
    "bytes for status": (b"200 OK", []),
    "number for status": (200, []),
    "bytes for name": ("200 OK", [(b"X", "a")]),
    "bytes for value": ("200 OK", [("X", b"a")]),
    "number for value": ("200 OK", [("X", 5)]),
    "number for length": ("200 OK", [("Content-Length", 5)]),
    "negative length": ("200 OK", [("Content-Length", "-5")]),
    "length in words": ("200 OK", [("Content-Length", "five")]),
    "two lengths": ("200 OK", [("Content-Length", "5"), ("Content-Length", "6")]),
    "framing": ("200 OK", [("Transfer-Encoding", "chunked")]),
    "upgrade": ("200 OK", [("Upgrade", "x")]),
    "keep-alive": ("200 OK", [("Keep-Alive", "timeout=5")]),
    "no pairs": ("200 OK", ["X: a"]),
}


@pytest.mark.parametrize(("status", "headers"), BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_a_head_that_cannot_be_sent_is_the_applications_error(talk, status, headers, caplog):
    talked = talk(app_of([b"hello"], headers, status), get("/bad"), get())
    assert talked.answer.status == 500
    assert b"Set-Cookie" not in talked.raw
    assert b"script" not in talked.raw
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == "the application failed on GET /bad"
    assert record.exc_info is not None


BAD_BODIES = {
    "str": ["hello"],
    "strs": ["he", "llo"],
    "str in iterator": parts("hello"),
    "number": [5],
    "numbers": [5, 6],
    "bytearray": [bytearray(b"hello")],
    "bytearray in iterator": parts(bytearray(b"hello")),
    "None": None,
    "number for all": 5,
}


@pytest.mark.parametrize("result", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_none_is_the_applications_error(talk, result, caplog):
    talked = talk(app_of(result), get(), get())
    assert talked.answer.status == 500
    assert [record.exc_info[0] for record in caplog.records] == [TypeError]


def test_start_response_has_to_be_called(talk):
    assert talk(lambda environ, start_response: [b"x"], get()).answer.status == 500
    assert talk(lambda environ, start_response: [], get()).answer.status == 500
    assert talk(lambda environ, start_response: iter([b"x"]), get()).answer.status == 500


def test_start_response_may_be_called_by_the_first_step_of_the_body(talk):
    def app(environ, start_response):
        start_response("201 Created", [])
        yield b"x"

    assert talk(app, get()).answer.status == 201


@pytest.mark.parametrize(
    ("result", "sent"),
    [([b"too long"], None), ([b"hey"], None), ([b"a", b"b"], None), ([], None)],
)
def test_a_list_that_contradicts_its_length_is_not_sent(talk, result, sent, caplog):
    assert talk(app_of(result, LENGTH_5), get(), get()).answer.status == 500
    assert caplog.records[-1].exc_info[0] is ValueError


@pytest.mark.parametrize("data", [[b"he", b"l"], [b"hello", b" world"], [b"he", b"llo world"]])
def test_an_iterator_that_contradicts_its_length_cuts_the_connection(data, caplog):
    talked = talk_script(app_of(parts(*data), LENGTH_5), get(), get())
    assert len(talked.sock.writes[0].partition(b"\r\n\r\n")[2]) <= 5
    assert talked.raw.count(b"HTTP/1.1") == 1
    assert talked.raw.partition(b"\r\n\r\n")[2] in (b"hel", b"hello")
    assert caplog.records[-1].exc_info[0] is ValueError
    assert ("setsockopt", socket.SO_LINGER) in talked.sock.calls


def error_info():
    try:
        raise LookupError("the first answer")
    except LookupError:
        return sys.exc_info()


def test_exc_info_replaces_a_head_that_was_not_sent(talk):
    def app(environ, start_response):
        start_response("204 No Content", [("X-One", "1"), ("Content-Length", "5")])
        start_response("500 Oops", [("X-Two", "2")], error_info())
        return [b"sorry"]

    answer, _ = talk(app, get(), get()).answers
    assert (answer.status, answer.reason, answer.body) == (500, "Oops", b"sorry")
    assert "x-one" not in answer.headers
    assert answer.headers["x-two"] == "2"


def test_exc_info_is_raised_once_the_head_was_sent(talk, caplog):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"partial")
        start_response("500 Oops", [], error_info())
        return [b"never"]

    talked = talk(app, get(), get())
    assert b"Oops" not in talked.raw
    assert b"never" not in talked.raw
    assert caplog.records[-1].exc_info[0] is LookupError


def test_a_second_call_without_exc_info_is_an_error(talk, caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return [b"never"]

    assert talk(app, get()).answer.status == 500
    assert "exc_info" in str(caplog.records[-1].exc_info[1])


def test_headers_that_were_sent_before_mean_the_same_again():
    """Their lines are kept, but what they say about a body is about each response."""
    headers = [("Content-Type", "text/x-kept"), ("Content-Length", "5")]

    def app(environ, start_response):
        status = environ["QUERY_STRING"] or "200"
        start_response(f"{status} As%20asked", headers)
        return [b"" if status == "204" else b"hello"]

    reads = [get("/?200"), get("/?204"), get("/?200"), get("/?200")]
    reads[3] = reads[3].replace(b"GET", b"HEAD")
    answers = talk_script(app, *reads, methods=["GET", "GET", "GET", "HEAD"]).answers
    assert [answer.body for answer in answers] == [b"hello", b"", b"hello", b""]
    assert [answer.headers.get("content-length") for answer in answers] == ["5", None, "5", "5"]
    assert all(answer.headers["content-type"] == "text/x-kept" for answer in answers)
    assert http_head.known_lines[headers[1]] == ("\r\nContent-Length: 5", 5)


def test_a_kept_length_that_contradicts_another_is_refused(caplog):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "5"), ("Content-Length", "6")])
        return [b"hello"]

    def six(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        return [b"hello!"]

    assert talk_script(six, get()).answer.body == b"hello!"
    assert talk_script(app, get()).answer.status == 500
    assert "contradicts" in caplog.text


def test_cookies_are_not_kept_and_what_is_kept_is_bounded():
    def app(environ, start_response):
        start_response("200 OK", [("Set-Cookie", "session=secret"), ("X-Long", "x" * 100)])
        return []

    assert talk_script(app, get()).answer.headers["set-cookie"] == "session=secret"
    assert not any("secret" in value or len(value) > 90 for _, value in http_head.known_lines)

    def inventive(environ, start_response):
        start = int(environ["QUERY_STRING"])
        start_response("200 OK", [("X-Number", str(start + number)) for number in range(90)])
        return []

    talk = talk_script(inventive, *[get(f"/?{start}") for start in range(0, 900, 90)])
    assert talk.statuses == [200] * 10
    assert len(http_head.known_lines) <= 256


def test_headers_may_come_in_lists_too():
    def app(environ, start_response):
        start_response("200 OK", [["Content-Length", "2"], ["X-Y", "z"]])
        return [b"ok"]

    assert talk_script(app, get()).answer.headers["x-y"] == "z"


@pytest.mark.parametrize("second", [[], LENGTH_5])
def test_a_start_response_that_failed_leaves_nothing_behind(talk, second):
    def app(environ, start_response):
        with pytest.raises(ValueError, match="line break"):
            start_response("200 OK", [("Content-Length", "9"), ("X", "a\nb")])
        start_response("500 No", second)
        return iter([b"hello"])

    for answer in talk(app, get(), get()).answers:
        assert (answer.status, answer.body) == (500, b"hello")
        assert answer.headers.get("content-length") == ("5" if second else None)


def test_nothing_replaces_a_head_that_was_sent_also_without_an_error():
    """sys.exc_info() outside of an `except` block."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "8")])(b"hello")
        with pytest.raises(RuntimeError, match="too late"):
            start_response("200 OK", [("Content-Length", "1")], sys.exc_info())
        return iter([b"you"])

    assert talk_script(app, get()).answer.body == b"helloyou"


def test_writing_after_the_end_is_refused():
    """It would be taken for the next response."""
    writes = []

    def app(environ, start_response):
        for write in writes:
            with pytest.raises(RuntimeError, match="after the end"):
                write(b"HTTP/1.1 200 OK\r\n\r\n")
        writes.append(start_response("200 OK", []))
        return iter([b"hello"])

    assert [answer.body for answer in talk_script(app, get(), get()).answers] == [b"hello"] * 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_content_has_no_length_of_a_file_or_a_body_either(method):
    def app(environ, start_response):
        start_response("204 No Content", [])
        if environ["PATH_INFO"] == "/body":
            return [b"hello"]
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))

    for path in ("/body", "/file"):
        ask = get(path).replace(b"GET", method.encode())
        answer = talk_script(app, ask, methods=[method]).answer
        assert (answer.status, answer.headers.get("content-length")) == (204, None)

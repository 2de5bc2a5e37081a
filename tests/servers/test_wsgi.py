"""PEP 3333 as an application sees it, and what its errors do to the client and the log."""

import gc
import io
import logging
import sys
from wsgiref.validate import validator

import pytest

from ringlet.servers.http_file import BlockFileWrapper
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.http_parser import Request, RequestParser
from ringlet.servers.http_response import Response
from ringlet.servers.wsgi_connection import Connection, base_environ
from tests.servers.scripted import (
    BASE,
    ScriptedSocket,
    echo,
    get,
    hello,
    post,
    post_chunks,
    talk_script,
)


def environ_of(request):
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return hello(environ, start_response)

    talk_script(app, request)
    return seen[0]


def test_the_environ_has_what_pep_3333_asks_for():
    environ = environ_of(get("/x?y"))
    assert {key: environ[key] for key in environ if not key.startswith("HTTP_")} == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/x",
        "QUERY_STRING": "y",
        "REQUEST_URI": "/x?y",
        "RAW_URI": "/x?y",
        "SERVER_NAME": "server.example",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "ringlet",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "40000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": environ["wsgi.input"],
        "wsgi.input_terminated": True,
        "wsgi.errors": BASE["wsgi.errors"],
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": BlockFileWrapper,
    }
    assert type(environ) is dict


def test_errors_go_where_the_standard_ones_went_when_the_server_was_made(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    base = base_environ("http", ("server.example", "80"), ("192.0.2.7", "40000"))
    assert base["wsgi.errors"] is sys.stderr


def test_each_request_has_an_environ_of_its_own():
    def app(environ, start_response):
        assert "mine" not in environ
        environ["mine"] = environ["REQUEST_METHOD"] = environ["wsgi.url_scheme"] = "changed"
        return hello(environ, start_response)

    assert talk_script(app, get() + get(), get()).statuses == [200, 200, 200]


@validator
def careful(environ, start_response):
    """Checks both sides against PEP 3333, and fails on any offence."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    lines = environ["wsgi.input"].readline(5), list(environ["wsgi.input"])
    assert lines == (b"", [])
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
    return [body or b"nothing"]


@pytest.mark.filterwarnings("ignore::wsgiref.validate.WSGIWarning")
@pytest.mark.parametrize(
    "request_",
    [
        get("/a%20b?c"),
        get("/", version="1.0"),
        post(b"body", "/", "Content-Type: text/x"),
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_the_standard_librarys_validator_agrees(talk, request_, caplog):
    method = request_.partition(b" ")[0].decode()
    answer = talk(careful, request_, methods=[method]).answers[0]
    assert not caplog.records
    assert answer.status == 200


def test_a_chunked_body_is_read_to_its_end(talk):
    def app(environ, start_response):
        assert "CONTENT_LENGTH" not in environ
        data = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [data]

    assert talk(app, post_chunks(b"one", b"two")).answer.body == b"onetwo"


def failing(environ, start_response):
    raise LookupError


def failing_late(environ, start_response):
    start_response("200 OK", [])
    yield b"x"
    raise LookupError


UPGRADE = ("Connection: upgrade", "Upgrade: x")


@pytest.mark.parametrize(
    ("app", "request_"),
    [
        (hello, get()),
        (echo, post(b"xx")),
        (echo, post_chunks(b"ab")),
        (failing, get()),
        (failing_late, get()),
        (hello, b"garbage\r\n\r\n"),
        (echo, post(b"body")[:-1]),
        (echo, post_chunks(b"x" * 50)),
        (hello, get("/", *UPGRADE)),
        (echo, post(b"x", "/", *UPGRADE)),
    ],
)
def test_a_connection_is_freed_at_once(request_, app, monkeypatch):
    """Whatever comes of it, nothing waits for the collector."""
    # What is logged is kept by pytest, with the frames of the error.
    monkeypatch.setattr(logging.getLogger("ringlet.server"), "disabled", True)
    kinds = (Connection, Request, RequestParser, Response)

    def alive():
        return sum(isinstance(each, kinds) for each in gc.get_objects())

    sock = ScriptedSocket(request_)
    gc.collect()
    before = alive()  # what pytest keeps of other tests
    gc.disable()
    try:
        Connection(sock, app, HTTPLimits(max_body=20), BASE).serve()
        assert alive() == before
    finally:
        gc.enable()


def test_a_body_is_read_only_as_far_as_asked_for():
    left = []

    def app(environ, start_response):
        environ["wsgi.input"].read(3)
        left.append(environ["wsgi.input"].received)
        return hello(environ, start_response)

    request = post(b"x" * 1000)
    talk_script(app, *(request[i : i + 100] for i in range(0, len(request), 100)))
    assert 3 <= left[0] < 200


@pytest.mark.parametrize("size", [None, 3])
def test_the_file_wrapper_sends_a_file_and_closes_it(size):
    file = io.BytesIO(b"0123456789" * 10)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "100")])
        wrapper = environ["wsgi.file_wrapper"]
        return wrapper(file) if size is None else wrapper(file, size)

    talked = talk_script(app, get())
    assert talked.answer.body == b"0123456789" * 10
    assert file.closed
    assert len(talked.sock.writes) == (1 if size is None else 34)


class Body:
    """An iterable that notes when it is closed, and may fail anywhere."""

    def __init__(self, *steps, on_close=None):
        self.steps = steps
        self.on_close = on_close
        self.closed = 0

    def __iter__(self):
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            yield step

    def close(self):
        self.closed += 1
        if self.on_close is not None:
            raise self.on_close


class AppError(Exception):
    pass


def errors(caplog):
    return [record for record in caplog.records if record.levelname != "DEBUG"]


HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("steps", "reads"),
    [
        ([b"a", b"b"], [get()]),
        ([], [get()]),
        ([b"a", b"b"], [HEAD]),
        ([AppError()], [get()]),
        ([b"a", AppError()], [get()]),
        ([b"a", "b"], [get()]),
        ([b"a", SystemExit(3)], [get()]),
    ],
)
def test_the_body_is_closed_exactly_once(talk, steps, reads):
    body = Body(*steps)

    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    talk(app, *reads)
    assert body.closed == 1


def test_the_body_is_closed_when_the_client_is_gone(caplog):
    body = Body(b"a", b"b")
    sock = ScriptedSocket(get(), get())

    def app(environ, start_response):
        start_response("200 OK", [])
        sock.write_error = BrokenPipeError()
        return body

    Connection(sock, app, HTTPLimits(), BASE).serve()
    assert body.closed == 1
    assert not errors(caplog)


@pytest.mark.parametrize(
    "error", [AppError("secret"), SystemExit(3), OSError("secret"), TimeoutError()]
)
@pytest.mark.parametrize("where", ["call", "start", "first step"])
def test_an_error_before_the_head_is_a_500(talk, error, where, caplog):
    def app(environ, start_response):
        if where == "call":
            raise error
        start_response("200 OK", [("Content-Length", "10"), ("X-Secret", "1")])
        if where == "start":
            raise error
        return Body(error)

    talked = talk(app, get("/path?q"), get())
    assert talked.answer.status == 500
    assert talked.answer.headers["connection"] == "close"
    assert b"ecret" not in talked.raw
    assert b"Traceback" not in talked.raw
    (record,) = errors(caplog)
    assert record.name == "ringlet.server"
    assert record.getMessage() == "the application failed on GET /path?q"
    assert record.exc_info[1] is error


def test_the_answer_to_head_has_no_body_even_then(talk):
    def app(environ, start_response):
        raise AppError

    raw = talk(app, HEAD).raw
    assert raw.startswith(b"HTTP/1.1 500 ")
    assert raw.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("headers", [[], [("Content-Length", "10")]])
def test_an_error_after_the_head_cuts_the_connection(talk, headers, caplog):
    def app(environ, start_response):
        start_response("200 OK", headers)
        return Body(b"a", AppError("secret"))

    talked = talk(app, get(), get())
    assert talked.raw.count(b"HTTP/1.1") == 1
    assert talked.raw.startswith(b"HTTP/1.1 200 OK")
    assert b"secret" not in talked.raw
    # Neither the last chunk nor all of the announced length.
    assert talked.raw.endswith(b"\r\n\r\na" if headers else b"1\r\na\r\n")
    assert len(errors(caplog)) == 1


def test_an_error_of_close_is_logged_and_the_answer_stands(caplog):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return Body(b"a", on_close=AppError())

    talked = talk_script(app, get())
    assert talked.answer.body == b"a"
    assert talked.sock.calls == []
    assert errors(caplog)[0].exc_info[0] is AppError


def test_an_error_of_both_is_logged_once_with_both(talk, caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        return Body(AppError("body"), on_close=AppError("close"))

    talked = talk(app, get())
    assert talked.answer.status == 500
    (record,) = errors(caplog)
    assert str(record.exc_info[1]) == "close"
    assert str(record.exc_info[1].__context__) == "body"


def test_an_interrupt_is_not_the_applications_error():
    """It ends the server, after the body was closed."""
    body = Body(b"a", KeyboardInterrupt())

    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    with pytest.raises(KeyboardInterrupt):
        talk_script(app, get())
    assert body.closed == 1


def test_an_oserror_of_the_application_is_its_own(talk, caplog):
    """Even while a body was not read to its end."""

    def app(environ, start_response):
        environ["wsgi.input"].read(1)
        raise FileNotFoundError("data.json")

    assert talk(app, post(b"body")[:-1]).answer.status == 500
    assert errors(caplog)[0].exc_info[0] is FileNotFoundError


def test_the_clients_error_passed_on_is_not_logged(talk, caplog):
    def app(environ, start_response):
        environ["wsgi.input"].read()

    assert talk(app, post(b"body")[:-1]).answer.status == 400
    assert not errors(caplog)

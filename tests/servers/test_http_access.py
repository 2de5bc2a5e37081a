"""What the access log says, where it goes, and that it is never a problem of the requests."""

import io
import json
import logging
import os
import time

import pytest

from ringlet.servers import WSGIServer
from ringlet.servers.http_access import Access, AccessSink, LogFile, formatter
from ringlet.servers.http_forwarded import TrustedProxies
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.wsgi_connection import Connection
from tests.servers.scripted import BASE, ScriptedSocket, echo, get, hello, post


def logged(app, *reads, **limits):
    """What is logged of a connection."""
    entries = []
    Connection(ScriptedSocket(*reads), app, HTTPLimits(**limits), BASE, entries.append).serve()
    return entries


def line_of(access_format, **fields):
    return formatter(access_format)(Access(**{"remote_addr": "192.0.2.7"} | fields))


@pytest.fixture
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_what_is_known_of_a_request():
    (access,) = logged(hello, get("/x?y", "Referer: http://b/", "User-Agent: me/1"), io_timeout=5.0)
    assert 0 <= time.time() - access.began < 60
    assert 0 <= access.seconds < 60
    access.began = access.seconds = 0
    assert access == Access(
        remote_addr="192.0.2.7",
        method="GET",
        target="/x?y",
        protocol="HTTP/1.1",
        status=200,
        sent=5,
        complete=True,
        host="a",
        referer="http://b/",
        user_agent="me/1",
    )


def test_each_request_is_logged_once_and_in_order():
    entries = logged(echo, get("/1") + post(b"abc", "/2"), get("/3", "Connection: close"), get())
    assert [(entry.target, entry.sent) for entry in entries] == [("/1", 0), ("/2", 3), ("/3", 0)]


def parts(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")] if environ["QUERY_STRING"] else [])
    yield b"abc"
    yield b"d"


@pytest.mark.parametrize("target", ["/", "/?length"])
def test_what_was_sent_is_counted_without_framing(target):
    (access,) = logged(parts, get(target))
    assert (access.sent, access.complete) == (4, True)


def test_nothing_is_sent_for_head():
    (access,) = logged(parts, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (access.method, access.status, access.sent) == ("HEAD", 200, 0)


@pytest.mark.parametrize(
    ("read", "status"), [(b"garbage\r\n\r\n", 400), (get("/" + "x" * 9000), 414)]
)
def test_what_is_refused_is_logged_too(read, status):
    (access,) = logged(hello, read)
    assert (access.method, access.target, access.status) == ("", "", status)
    assert access.remote_addr == "192.0.2.7"


def test_what_a_trusted_proxy_sends_malformed_is_logged():
    entries = []
    sock = ScriptedSocket(get("/x", "X-Forwarded-Proto: gopher"))
    trust = TrustedProxies(["*"])
    Connection(sock, hello, HTTPLimits(), BASE, entries.append, trust).serve()
    assert [(entry.target, entry.status) for entry in entries] == [("/x", 400)]


def test_a_failing_application_is_logged_with_what_the_client_saw():
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/early":
            raise LookupError
        start_response("200 OK", [])
        yield b"abc"
        raise LookupError

    (early,) = logged(app, get("/early"))
    assert (early.status, early.complete) == (500, True)
    (late,) = logged(app, get("/late"))
    assert (late.status, late.sent, late.complete) == (200, 3, False)


def test_a_client_that_left_is_logged_as_one():
    entries = []
    sock = ScriptedSocket(post(b"body")[:-1], ConnectionResetError())
    Connection(sock, echo, HTTPLimits(), BASE, entries.append).serve()
    assert [(entry.status, entry.complete) for entry in entries] == [(0, False)]


def test_the_application_can_name_the_user_and_change_nothing_else():
    def app(environ, start_response):
        environ.update(REMOTE_USER="ada", REQUEST_METHOD="X", RAW_URI="X", REMOTE_ADDR="X")
        return hello(environ, start_response)

    (access,) = logged(app, get("/x"))
    assert (access.remote_user, access.method, access.target) == ("ada", "GET", "/x")
    assert access.remote_addr == "192.0.2.7"


FULL = {
    "remote_user": "ada",
    "began": 1_000_000_000.25,
    "seconds": 0.0125,
    "method": "GET",
    "target": "/x?y",
    "protocol": "HTTP/1.1",
    "status": 200,
    "sent": 5,
    "complete": True,
    "host": "a",
    "referer": "http://b/",
    "user_agent": "me/1",
}
COMMON = '192.0.2.7 - ada [09/Sep/2001:01:46:40 +0000] "GET /x?y HTTP/1.1" 200 5'


@pytest.mark.usefixtures("in_utc")
def test_the_formats():
    assert line_of("common", **FULL) == COMMON
    assert line_of("combined", **FULL) == COMMON + ' "http://b/" "me/1"'
    assert line_of("{host} {request} {seconds:.3f}", **FULL) == "a GET /x?y HTTP/1.1 0.013"
    assert line_of("common") == '192.0.2.7 - - [01/Jan/1970:00:00:00 +0000] "-" - -'
    assert json.loads(line_of("json", **FULL)) == {
        **{key: FULL[key] for key in FULL if key != "began"},
        "time": "2001-09-09T01:46:40.250Z",
        "remote_addr": "192.0.2.7",
    }


@pytest.mark.parametrize(("zone", "offset"), [("XXX-5:30", "+0530"), ("XXX+8", "-0800")])
def test_a_time_tells_how_far_it_is_from_utc(zone, offset, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert f" {offset}]" in line_of("common", began=86400.0 * 365 + len(zone))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("access_format", ["common", "combined", "json", "{user_agent}"])
def test_no_client_can_forge_a_line_or_a_field(access_format):
    nasty = 'a" 200 5\nforged\\\x1b[31m\x7f\x85\xe9 \u20ac'
    line = line_of(
        access_format, target=nasty, user_agent=nasty, referer=nasty, remote_user=nasty, method="X"
    )
    assert line.isprintable()
    assert line.isascii()
    assert '"' not in line.replace('\\"', "").replace('" "', "") or access_format != "{user_agent}"
    if access_format == "{user_agent}":
        assert line == r"a\" 200 5\x0aforged\\\x1b[31m\x7f\x85\xe9 \x5c\x75\x32\x30\x61\x63"
    elif access_format == "json":
        assert json.loads(line)["user_agent"] == nasty


@pytest.mark.parametrize("access_format", ["", "commn", "{nobody}", "{0}", "{status", "{status:q}"])
def test_a_format_that_makes_no_sense_is_refused(access_format):
    with pytest.raises(ValueError, match="access_format"):
        WSGIServer(("127.0.0.1", 0), hello, access_log=io.StringIO(), access_format=access_format)


def write(log, access_format="{target}"):
    sink = AccessSink(log, access_format)
    sink(Access(remote_addr="", target="/1"))
    sink(Access(remote_addr="", target="/2"))
    return sink


def test_a_stream_gets_lines(capsys):
    stream = io.StringIO()
    write(stream)
    assert stream.getvalue() == "/1\n/2\n"
    write("-")
    assert capsys.readouterr().out == "/1\n/2\n"


def test_a_logger_gets_messages(caplog):
    caplog.set_level(logging.INFO, "access")
    write(logging.getLogger("access"), "100% {target}")
    assert [record.getMessage() for record in caplog.records] == ["100% /1", "100% /2"]


def test_a_callable_gets_it_all():
    seen = []
    write(seen.append)
    assert [access.target for access in seen] == ["/1", "/2"]


def test_a_file_is_appended_to(tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n")
    for log in (str(path), path):
        write(log).close()
    assert path.read_text() == "before\n" + "/1\n/2\n" * 2


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ringlet.servers.http_access.time.monotonic", lambda: now[0])
    path, moved = tmp_path / "log", tmp_path / "log.1"
    file = LogFile(str(path))
    file.write("1\n")
    path.rename(moved)
    file.write("2\n")  # looked at less than a second ago
    now[0] += 1.0
    file.write("3\n")
    now[0] += 1.0
    path.unlink()
    file.write("4\n")
    file.close()
    file.close()
    assert (moved.read_text(), path.read_text()) == ("1\n2\n", "4\n")


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        WSGIServer(("127.0.0.1", 0), hello, access_log=tmp_path / "none" / "log")


@pytest.mark.parametrize("log", [5, object(), io.BytesIO()])
def test_what_cannot_be_written_to_is_refused(log):
    with pytest.raises(TypeError, match="give a path, a text stream, a logger or a callable"):
        WSGIServer(("127.0.0.1", 0), hello, access_log=log)


def test_a_log_that_fails_is_reported_once_and_harms_nobody(caplog):
    class Full(io.StringIO):
        full = True

        def write(self, text):
            if self.full:
                raise OSError(28, os.strerror(28))
            return super().write(text)

    stream = Full()
    sink = AccessSink(stream, "{target}")
    sock = ScriptedSocket(get("/1"), get("/2"))
    Connection(sock, hello, HTTPLimits(), BASE, sink).serve()
    assert sock.raw.count(b"200 OK") == 2
    assert [record.getMessage() for record in caplog.records] == [
        "the access log cannot be written"
    ]
    stream.full = False
    sink(Access(remote_addr="", target="/3"))
    assert stream.getvalue() == "/3\n"

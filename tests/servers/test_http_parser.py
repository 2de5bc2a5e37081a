"""What is refused, with which status, and what a good request turns into."""

import pytest

from ringlet.servers import http_parser
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.http_parser import RequestParser, require_httptools
from tests.servers.scripted import get, hello, paths, post, post_chunks, talk_script

GET = "GET / HTTP/1.1\r\nHost: a\r\n"
POST = "POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    # Not HTTP, or not of a kind this server speaks.
    "garbage": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a word": ("hello\r\n\r\n", 400),
    "unknown method": ("FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "small method": ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no version": ("GET /\r\n\r\n", 505),
    "HTTP/0.9": ("GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/1.2": ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "HTTP/2.0": ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "CONNECT": ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "RTSP": ("DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n", 501),
    # The request target.
    "no path": ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "star without OPTIONS": ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment": ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "foreign scheme": ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "user in target": ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "blank in target": ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in target": ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "byte in target": ("GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # Line ends and blanks, about which two parsers could disagree.
    "LF only": ("GET / HTTP/1.1\nHost: a\n\n", 400),
    "LF after request line": ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "LF after header": (GET + "A: b\n\r\n", 400),
    "LF at end of head": (GET + "\n", 400),
    "CR only": ("GET / HTTP/1.1\rHost: a\r\r", 400),
    "CR in value": (GET + "A: b\rc: d\r\n\r\n", 400),
    "NUL in value": (GET + "A: b\0c\r\n\r\n", 400),
    "NUL in name": (GET + "A\0: b\r\n\r\n", 400),
    "control in value": (GET + "A: b\x01\r\n\r\n", 400),
    "blank before colon": (GET + "A : b\r\n\r\n", 400),
    "blank in name": (GET + "A B: b\r\n\r\n", 400),
    "no name": (GET + ": b\r\n\r\n", 400),
    "no colon": (GET + "A\r\n\r\n", 400),
    "folded line": (GET + "A: b\r\n c\r\n\r\n", 400),
    "folded first line": ("GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n", 400),
    # Host.
    "no Host": ("GET / HTTP/1.1\r\n\r\n", 400),
    "no Host, absolute": ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (GET + "Host: b\r\n\r\n", 400),
    "same Host twice": (GET + "host: a\r\n\r\n", 400),
    "Host with a blank": ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "Host with a path": ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with a user": ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "list of Hosts": ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    # Where the body ends.
    "length and coding": (POST + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "coding and length": (POST + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    "zero and coding": (POST + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "two lengths": (POST + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    "same length twice": (POST + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
    "list of lengths": (POST + "Content-Length: 3, 3\r\n\r\n", 400),
    "signed length": (POST + "Content-Length: +3\r\n\r\n", 400),
    "negative length": (POST + "Content-Length: -3\r\n\r\n", 400),
    "hex length": (POST + "Content-Length: 0x3\r\n\r\n", 400),
    "split length": (POST + "Content-Length: 3 3\r\n\r\n", 400),
    "empty length": (POST + "Content-Length: \r\n\r\n", 400),
    "huge length": (POST + "Content-Length: 99999999999999999999\r\n\r\n", 400),
    "long length": (POST + "Content-Length: 9999999999999999999\r\n\r\n", 400),
    "two codings": (POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "coding in HTTP/1.0": ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "HTTP/1.0 without length": ("POST / HTTP/1.0\r\n\r\n", 411),
    "gzip": (POST + "Transfer-Encoding: gzip\r\n\r\n", 501),
    "gzip, chunked": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "chunked, gzip": (POST + "Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "identity": (POST + "Transfer-Encoding: identity\r\n\r\n", 501),
    "xchunked": (POST + "Transfer-Encoding: xchunked\r\n\r\n", 501),
    "quoted": (POST + 'Transfer-Encoding: "chunked"\r\n\r\n', 501),
    "two types": (POST + "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400),
    "expectation": (POST + "Content-Length: 3\r\nExpect: magic\r\n\r\n", 417),
}

BAD_BODIES = {
    "LF in chunk": "3\nabc\n0\n\n",
    "blank after size": "3 \r\nabc\r\n0\r\n\r\n",
    "no size": "\r\nabc\r\n0\r\n\r\n",
    "negative size": "-3\r\nabc\r\n0\r\n\r\n",
    "prefixed size": "0x3\r\nabc\r\n0\r\n\r\n",
    "huge size": "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "chunk too long": "3\r\nabcd\r\n0\r\n\r\n",
    "LF in extension": "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "trailer with LF": "0\r\nA: b\n\r\n",
    "length in trailer": "0\r\nContent-Length: 5\r\n\r\n",
    "coding in trailer": "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Host twice in trailer": "0\r\nHost: b\r\nHost: c\r\n\r\n",
}


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(talk, request_, status):
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return hello(environ, start_response)

    raw = request_.encode("latin-1")
    result = talk(app, raw)
    assert result.answer.status == status
    assert result.answer.headers["connection"] == "close"
    assert b"Traceback" not in result.raw
    assert not seen


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_refuses_a_malformed_chunked_body(talk, body):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        pytest.fail("the body was taken for complete")

    # What follows must not be read as a request: it may be part of the body.
    result = talk(app, (CHUNKED + body).encode("latin-1"), get("/next"))
    assert result.answer.status == 400
    assert result.answer.headers["connection"] == "close"


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_malformed_body_nobody_reads_still_ends_the_connection(talk, body):
    result = talk(paths, (CHUNKED + body).encode("latin-1"), get("/next"))
    assert result.answer.body == b"/"
    assert result.answer.headers["connection"] == "close"


def environ_of(*reads):
    """The environ a good request gives."""
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return hello(environ, start_response)

    assert talk_script(app, *reads).answer.status == 200
    (environ,) = seen
    return environ


def test_the_parts_of_a_target():
    environ = environ_of(get("/a%20b/%C3%A9%2F?x=%20&y=?"))
    assert environ["PATH_INFO"] == "/a b/é/".encode().decode("latin-1")
    assert environ["QUERY_STRING"] == "x=%20&y=?"
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a%20b/%C3%A9%2F?x=%20&y=?"
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://b:81/x?y", "b:81", "/x", "y"),
        ("http://b?y", "b", "/", "y"),
        ("HTTPS://b", "b", "/", ""),
        ("//x/y", "a", "//x/y", ""),
    ],
)
def test_an_absolute_target_names_the_host(target, host, path, query):
    environ = environ_of(get(target))
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (
        host,
        path,
        query,
    )


def test_options_star():
    environ = environ_of(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("OPTIONS", "*")


@pytest.mark.parametrize("host", ["", "a.example:80", "[::1]:8000", "10.0.0.1", "a_b", "xn--p1ai"])
def test_hosts(host):
    assert environ_of(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())["HTTP_HOST"] == host


def test_http_1_0_needs_no_host():
    environ = environ_of(b"GET / HTTP/1.0\r\n\r\n")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ


def test_headers_become_keys():
    environ = environ_of(
        get(
            "/",
            "Content-Type: text/x",
            "X-One:  1 \t",
            "x-two: a",
            "X-Two: b",
            "Cookie: c=1",
            "Cookie: d=2",
            "X-Byte: \xe9",
            "X-Empty:",
        )
    )
    found = {key: environ[key] for key in environ if key.startswith(("HTTP_", "CONTENT_"))}
    assert found == {
        "HTTP_HOST": "a",
        "CONTENT_TYPE": "text/x",
        "HTTP_X_ONE": "1",
        "HTTP_X_TWO": "a,b",
        "HTTP_COOKIE": "c=1; d=2",
        "HTTP_X_BYTE": "\xe9",
        "HTTP_X_EMPTY": "",
    }


def test_a_name_with_an_underscore_is_dropped():
    """It would share its key with the name that has a hyphen."""
    environ = environ_of(get("/", "X_Real_IP: 10.0.0.1", "Content_Length: 5"))
    assert "HTTP_X_REAL_IP" not in environ
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_blank_line_before_a_request_is_ignored():
    assert environ_of(b"\r\n" + get("/x"))["PATH_INFO"] == "/x"


def test_blanks_around_a_length(talk):
    result = talk(paths, b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3 \r\n\r\nabc", get("/2"))
    assert [answer.body for answer in result.answers] == [b"/1", b"/2"]


def test_trailers_reach_no_environ(talk):
    """Least of all the next request's."""
    seen = []

    def app(environ, start_response):
        environ["wsgi.input"].read()
        seen.append({key for key in environ if key.startswith("HTTP_")})
        return hello(environ, start_response)

    first = CHUNKED + "3\r\nabc\r\n0\r\nX-Evil: 1\r\nHost: evil\r\nConnection: x\r\n\r\n"
    assert talk(app, first.encode() + get("/2")).statuses == [200, 200]
    assert seen == [{"HTTP_HOST", "HTTP_TRANSFER_ENCODING"}, {"HTTP_HOST"}]


UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")


@pytest.mark.parametrize("cut", [None, 1])
@pytest.mark.parametrize(
    "first",
    [
        get("/1", *UPGRADE),
        post(b"abc", "/1", *UPGRADE),
        post_chunks(b"abc", b"d" * 20, path="/1", headers=UPGRADE),
    ],
    ids=["GET", "length", "chunked"],
)
def test_an_upgrade_is_declined_and_its_body_is_no_request(talk, first, cut):
    seen = []

    def app(environ, start_response):
        seen.append((environ["PATH_INFO"], environ["wsgi.input"].read()))
        return hello(environ, start_response)

    raw = first + get("/2") + get("/3", *UPGRADE) + post(b"GET /x", "/4")
    reads = [raw] if cut is None else [raw[i : i + 1] for i in range(len(raw))]
    assert talk(app, *reads).statuses == [200, 200, 200, 200]
    body = first.partition(b"\r\n\r\n")[2]
    body = b"abc" + b"d" * 20 if b"chunked" in first else body
    assert seen == [("/1", body), ("/2", b""), ("/3", b""), ("/4", b"GET /x")]


def test_requests_before_a_bad_one_are_answered(talk):
    result = talk(paths, get("/1") + get("/2") + b"garbage\r\n\r\n" + get("/3"))
    assert result.statuses == [200, 200, 400]
    assert [answer.body for answer in result.answers[:2]] == [b"/1", b"/2"]


def test_an_interrupt_inside_a_callback_is_no_bad_request(monkeypatch):
    parser = RequestParser({}, HTTPLimits(), lambda body: None)

    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(http_parser, "environ_key", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parser.feed(get("/", "X-Never-Seen-Before: 1"))
    assert parser.failure is None


def test_without_httptools_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(http_parser, "HTTPTOOLS_ERROR", ModuleNotFoundError("No module named 'x'"))
    with pytest.raises(ImportError, match=r"WSGIServer needs httptools.*pip install 'ringlet\[s"):
        require_httptools("WSGIServer")

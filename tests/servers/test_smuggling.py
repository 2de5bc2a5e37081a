"""Requests that two servers could read differently: one hidden in another is never served.

Each case holds a request for /hidden where a more lenient reader would see one. What is not plainly
one request is refused, and the connection ended, so that nothing behind it is read at all.
"""

import pytest

from tests.servers.scripted import hello

HIDDEN = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED_HIDDEN = f"{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: a\r\n"
GET = "GET / HTTP/1.1\r\nHost: a\r\n"
TE = "Transfer-Encoding: chunked\r\n"
CL = f"Content-Length: {len(HIDDEN)}\r\n"


def framed(*headers):
    """A request whose body's end is said in an odd way, and the hidden one where that may be."""
    return POST + "".join(headers) + "\r\n"


# What is sent, and the status of the only answer.
CASES = {
    # Which of two lengths?
    "CL.CL": (framed("Content-Length: 0\r\n", CL) + HIDDEN, 400),
    "CL.CL, the other first": (framed(CL, "Content-Length: 0\r\n") + HIDDEN, 400),
    "CL.CL, the same": (framed(CL, CL) + HIDDEN, 400),
    "CL list": (framed(f"Content-Length: 0, {len(HIDDEN)}\r\n") + HIDDEN, 400),
    "CL list of the same": (framed("Content-Length: 0, 0\r\n") + HIDDEN, 400),
    "CL in another spelling": (framed("content-length: 0\r\n", CL) + HIDDEN, 400),
    # A length or a coding?
    "CL.TE": (framed(CL, TE) + "0\r\n\r\n" + HIDDEN, 400),
    "TE.CL": (framed(TE, "Content-Length: 4\r\n") + CHUNKED_HIDDEN, 400),
    "CL.TE, zero": (framed("Content-Length: 0\r\n", TE) + CHUNKED_HIDDEN, 400),
    "CL.TE in HTTP/1.0": (
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\n" + CL + TE + "\r\n0\r\n\r\n" + HIDDEN,
        400,
    ),
    "TE in HTTP/1.0": (
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\n" + TE + "\r\n0\r\n\r\n" + HIDDEN,
        400,
    ),
    # Which coding?
    "TE.TE": (framed(TE, TE) + "0\r\n\r\n" + HIDDEN, 400),
    "TE.TE, one unknown": (framed(TE, "Transfer-Encoding: x\r\n") + "0\r\n\r\n" + HIDDEN, 400),
    "TE.TE, unknown first": (framed("Transfer-Encoding: x\r\n", TE) + "0\r\n\r\n" + HIDDEN, 400),
    "TE twice in one": (
        framed("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n" + HIDDEN,
        400,
    ),
    "TE identity": (framed("Transfer-Encoding: identity\r\n") + HIDDEN, 501),
    "TE unknown": (framed("Transfer-Encoding: xchunked\r\n") + HIDDEN, 501),
    "TE chunked not last": (framed("Transfer-Encoding: chunked, x\r\n") + HIDDEN, 400),
    "TE quoted": (framed('Transfer-Encoding: "chunked"\r\n') + HIDDEN, 501),
    "TE with parameter": (framed("Transfer-Encoding: chunked;a=b\r\n") + HIDDEN, 501),
    "TE empty": (framed("Transfer-Encoding:\r\n") + HIDDEN, 400),
    "TE with vertical tab": (framed("Transfer-Encoding: \x0bchunked\r\n") + HIDDEN, 400),
    "TE with form feed": (framed("Transfer-Encoding: chunked\x0c\r\n") + HIDDEN, 400),
    "TE with NUL": (framed("Transfer-Encoding: chunked\0\r\n") + HIDDEN, 400),
    "TE with a no-break space": (framed("Transfer-Encoding:\xa0chunked\r\n") + HIDDEN, 501),
    # What is the name?
    "blank before colon": (framed("Transfer-Encoding : chunked\r\n", CL) + HIDDEN, 400),
    "tab before colon": (framed("Transfer-Encoding\t: chunked\r\n", CL) + HIDDEN, 400),
    "length, blank before colon": (framed("Content-Length : 0\r\n") + HIDDEN, 400),
    "blank before name": (framed("X: y\r\n Transfer-Encoding: chunked\r\n") + HIDDEN, 400),
    "blank before first name": ("POST / HTTP/1.1\r\n " + TE + "Host: a\r\n\r\n" + HIDDEN, 400),
    "NUL in name": (framed("Transfer\0-Encoding: chunked\r\n") + HIDDEN, 400),
    "byte in name": (framed("Transfer-Encoding\xad: chunked\r\n") + HIDDEN, 400),
    "no name": (framed(": chunked\r\n") + HIDDEN, 400),
    # Where does a line end?
    "folded TE": (framed("Transfer-Encoding:\r\n chunked\r\n") + HIDDEN, 400),
    "folded TE, tab": (framed("Transfer-Encoding:\r\n\tchunked\r\n") + HIDDEN, 400),
    "folded length": (framed("Content-Length: 0\r\n 9\r\n") + HIDDEN, 400),
    "folded nothing": (framed("X: y\r\n \r\n") + HIDDEN, 400),
    "LF hides TE": (framed("X: y\nTransfer-Encoding: chunked\r\n") + CHUNKED_HIDDEN, 400),
    "CR hides TE": (framed("X: y\rTransfer-Encoding: chunked\r\n") + CHUNKED_HIDDEN, 400),
    "CR hides length": (framed("X: y\rContent-Length: 50\r\n") + HIDDEN, 400),
    "LF ends the head": (POST + CL + "\n" + HIDDEN, 400),
    "LF LF ends the head": (POST + "X: y\n\n" + HIDDEN, 400),
    "CR ends the head": (POST + "X: y\r\r" + HIDDEN, 400),
    "CR CR LF": (POST + "X: y\r\r\n\r\n" + HIDDEN, 400),
    "CR LF CR": (POST + "X: y\r\n\r" + HIDDEN, 400),
    "LF behind the request line": ("GET / HTTP/1.1\nHost: a\r\n\r\n" + HIDDEN, 400),
    # How long is it?
    "signed length": (framed("Content-Length: +5\r\n") + HIDDEN, 400),
    "negative length": (framed("Content-Length: -5\r\n") + HIDDEN, 400),
    "hexadecimal length": (framed("Content-Length: 0x5\r\n") + HIDDEN, 400),
    "length with underscore": (framed("Content-Length: 1_0\r\n") + HIDDEN, 400),
    "length in other digits": (framed("Content-Length: \xb2\r\n") + HIDDEN, 400),
    "length with a point": (framed("Content-Length: 5.0\r\n") + HIDDEN, 400),
    "length in two parts": (framed("Content-Length: 1 0\r\n") + HIDDEN, 400),
    "no length": (framed("Content-Length:\r\n") + HIDDEN, 400),
    "length beyond 64 bits": (framed(f"Content-Length: {2**64 + 5}\r\n") + HIDDEN, 400),
    # Which host, which target?
    "two hosts": (GET + "Host: b\r\n\r\n" + HIDDEN, 400),
    "host with a comment": ("GET / HTTP/1.1\r\nHost: a(b)\r\n\r\n" + HIDDEN, 400),
    "host with a line": ("GET / HTTP/1.1\r\nHost: a\\r\\n\r\n\r\n" + HIDDEN, 400),
    "blanks in the target": ("GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN, 400),
    "tab in the request line": ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN, 400),
    "blank behind the version": ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n" + HIDDEN, 400),
    "blank before the method": (" GET / HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN, 400),
    "another version": ("GET / HTTP/1.10\r\nHost: a\r\n\r\n" + HIDDEN, 400),
    "small version": ("GET / http/1.1\r\nHost: a\r\n\r\n" + HIDDEN, 400),
    "HTTP/0.9": ("GET /\r\n\r\n" + HIDDEN, 505),
    # Without a length in HTTP/1.0 nobody knows what the rest is.
    "HTTP/1.0 without length": ("POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + HIDDEN, 411),
    # Methods that change what follows.
    "CONNECT": ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN, 501),
}

CHUNKS = {
    "blank before size": " 5\r\nhello\r\n",
    "blank behind size": "5 \r\nhello\r\n",
    "tab behind size": "5\t\r\nhello\r\n",
    "signed": "+5\r\nhello\r\n",
    "negative": "-1\r\nhello\r\n",
    "prefixed": "0x5\r\nhello\r\n",
    "underscore": "0_5\r\nhello\r\n",
    "no size": "\r\nhello\r\n",
    "word": "five\r\nhello\r\n",
    "beyond 64 bits": "10000000000000005\r\nhello\r\n",
    "much beyond": "f" * 100 + "\r\nhello\r\n",
    "LF behind size": "5\nhello\r\n",
    "CR behind size": "5\rhello\r\n",
    "CR CR LF behind size": "5\r\r\nhello\r\n",
    "LF behind data": "5\r\nhello\n0\r\n\r\n",
    "nothing behind data": "5\r\nhello0\r\n\r\n",
    "longer than said": "5\r\nhelloxx0\r\n\r\n",
    "shorter than said": "8\r\nhello\r\n0\r\n\r\n",
    "LF in extension": "5;a\nb\r\nhello\r\n",
    "CR in extension": "5;a\rb\r\nhello\r\n",
    "LF in quoted extension": '5;a="\n0\r\n\r\n"\r\nhello\r\n',
    "NUL in extension": "5;a\0\r\nhello\r\n",
    "LF in last": "0\n\n",
    "LF behind last": "0\r\n\n",
    "CR behind last": "0\r\n\r",
    "length in trailer": f"0\r\n{CL}\r\n",
    "coding in trailer": f"0\r\n{TE}\r\n",
    "folded trailer": "0\r\nX: y\r\n z\r\n\r\n",
    "blank in trailer": "0\r\nX : y\r\n\r\n",
}


def served_by(talk, raw):
    """What comes back, and the paths that reached the application."""
    seen = []

    def app(environ, start_response):
        seen.append(environ["PATH_INFO"])
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    return talk(app, raw.encode("latin-1")), seen


@pytest.mark.parametrize(("raw", "status"), CASES.values(), ids=CASES.keys())
def test_a_request_that_could_hide_another_is_refused(talk, raw, status):
    talked, seen = served_by(talk, raw)
    assert not seen
    assert talked.answer.status == status
    assert talked.answer.headers["connection"] == "close"


@pytest.mark.parametrize("body", ["0\r\n\r\n", ""])
def test_a_tab_behind_the_coding_is_too_odd_to_go_on(talk, body):
    """The request itself is served, but it has no body, and what follows is not read."""
    raw = framed("Transfer-Encoding: chunked\t\r\n") + body + HIDDEN
    talked, seen = served_by(talk, raw)
    assert seen == ["/"]
    assert talked.answer.status == 400
    assert talked.answer.headers["connection"] == "close"


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
def test_a_body_that_could_hide_a_request_is_refused(talk, chunks):
    talked, seen = served_by(talk, POST + TE + "\r\n" + chunks + HIDDEN)
    assert seen == ["/"]
    assert talked.answer.status == 400
    assert talked.answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "headers",
    [
        # Names that others may take for those they look like; to us they are other headers.
        "Transfer_Encoding: chunked\r\n",
        "X-Transfer-Encoding: chunked\r\n",
        "Content_Length: 500\r\n",
        "TE: chunked\r\n",
        # A method that is said to be meant is not the one that is.
        "X-HTTP-Method-Override: GET\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_what_is_plainly_a_body_is_one(talk, headers, method):
    raw = f"{method} / HTTP/1.1\r\nHost: a\r\n{headers}{CL}\r\n{HIDDEN}"
    talked, seen = served_by(talk, raw + raw)
    assert seen == ["/", "/"]
    assert talked.raw.count(b"HTTP/1.1 200 OK") == 2


def test_a_body_nobody_reads_is_no_request_either(talk):
    seen = []

    def app(environ, start_response):
        seen.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    for headers, body in ((CL, HIDDEN), (TE, CHUNKED_HIDDEN)):
        talk(app, (POST + headers + "\r\n" + body).encode() * 2)
    assert seen == ["/"] * 4

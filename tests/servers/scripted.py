"""A client that is a script: what it sends is a list, and so is what it received.

Nothing here blocks, so a test of the server decides what arrives when, down to the byte, and a
time-out is one more thing that happens.
"""

import http.client
import io
from dataclasses import dataclass, field

from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.wsgi_connection import Connection, base_environ

BASE = base_environ("http", ("server.example", "8000"), ("192.0.2.7", "40000"))


class ScriptedSocket:
    """Gives `reads` one by one: bytes, or an exception to raise. Then the input has ended."""

    def __init__(self, *reads):
        self.reads = list(reads)
        self.writes = []
        self.timeouts = []
        self.calls = []
        #: Called before each read; a test may move the clock here.
        self.before_read = lambda: None
        #: What every further write raises, once it is set.
        self.write_error = None

    @property
    def raw(self) -> bytes:
        """All that was written."""
        return b"".join(self.writes)

    def recv(self, size):
        self.before_read()
        if not self.reads:
            return b""
        step = self.reads.pop(0)
        if isinstance(step, BaseException):
            raise step
        assert step, "an empty read would mean the end of input"
        if len(step) > size:
            self.reads.insert(0, step[size:])
        return step[:size]

    def sendall(self, data):
        if self.write_error is not None:
            raise self.write_error
        self.writes.append(bytes(data))

    def settimeout(self, seconds):
        self.timeouts.append(seconds)

    def setsockopt(self, level, option, value):
        self.calls.append(("setsockopt", option))

    def shutdown(self, how):
        self.calls.append(("shutdown", how))


@dataclass
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Talk:
    """What came of talking to an application."""

    raw: bytes
    #: The methods of the requests, which a reader of responses has to know.
    methods: list[str] = field(default_factory=list)
    #: The server's end, if the client was a script.
    sock: ScriptedSocket | None = None

    @property
    def answers(self) -> list[Answer]:
        return parse_answers(self.raw, self.methods)

    @property
    def answer(self) -> Answer:
        (answer,) = self.answers
        return answer

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


class _Unclosable(io.BytesIO):
    def close(self) -> None:
        """Each HTTPResponse would close it, and the next one still has to read."""

    def makefile(self, mode):
        return self


def parse_answers(raw: bytes, methods=()) -> list[Answer]:
    """Parse responses with the standard library, which shares no code with the server."""
    stream = _Unclosable(raw)
    answers = []
    while stream.tell() < len(raw):
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        response = http.client.HTTPResponse(stream, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answers.append(Answer(response.status, response.reason, headers, response.read()))
    return answers


def talk_script(app, *reads, methods=(), **limits) -> Talk:
    """Serve `reads` with `app`, to the end of the connection."""
    sock = ScriptedSocket(*reads)
    Connection(sock, app, HTTPLimits(**limits), BASE).serve()
    return Talk(sock.raw, list(methods), sock)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def paths(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode("latin-1")]


def get(path="/", *headers, version="1.1") -> bytes:
    """The bytes of a GET request."""
    lines = [f"GET {path} HTTP/{version}", "Host: a", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(body: bytes, path="/", *headers) -> bytes:
    """The bytes of a POST request with its length announced."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def post_chunks(*chunks: bytes, path="/", headers=()) -> bytes:
    """The bytes of a POST request with a chunked body."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", *headers, "", ""]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return "\r\n".join(lines).encode("latin-1") + body

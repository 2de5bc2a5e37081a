"""From bytes to requests: the glue between httptools and a connection, without any I/O.

llhttp parses all it is given. One read may therefore complete several pipelined requests and
begin another, so finished heads wait in a queue, each with the Body its later bytes go to.
Headers go straight into the WSGI environ, because any form in between would cost a second pass
over them for every request.

llhttp itself refuses what would let two parsers disagree about where a request ends: bare line
feeds, folded lines, blanks before a colon, Content-Length twice or beside Transfer-Encoding,
malformed chunks. What it leaves open is refused here.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment

from ringlet.servers.http_body import NO_BODY, Body
from ringlet.servers.http_limits import HTTPLimits, RequestError
from ringlet.servers.http_names import KEYS, METHODS, environ_key, header_name

HTTPTOOLS_ERROR: ImportError | None = None
try:
    from httptools import (
        HttpParserCallbackError,
        HttpParserError,
        HttpParserUpgrade,
        HttpRequestParser,
    )
except ImportError as error:  # it belongs to an extra, so ringlet itself works without it
    HTTPTOOLS_ERROR = error


def require_httptools(who: str) -> None:
    """Raise ImportError, naming `who` needs it and what to install, if httptools is missing."""
    if HTTPTOOLS_ERROR is not None:
        raise ImportError(
            f"{who} needs httptools, which cannot be imported ({HTTPTOOLS_ERROR}): "
            "install the extra with: pip install 'ringlet[server]'",
            name="httptools",
        ) from HTTPTOOLS_ERROR


#: Headers that must not come twice. (Content-Length twice is refused by llhttp.)
_SINGLE = frozenset(("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"))

_DIGITS = re.compile("[0-9]{1,18}")
HOST = re.compile(r"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_ABSOLUTE = re.compile(r"(?i:https?)://(?P<authority>[^/]+)(?P<path>/.*)?")


class Request:
    """One request whose head is complete.

    `environ` is the WSGI environ, `body` the Body in its `wsgi.input`; `http11` is False for
    HTTP/1.0; `keep_alive` tells whether the client wants to go on after the response, and `upgrade`
    whether it would rather leave HTTP.
    """

    __slots__ = ("body", "environ", "http11", "keep_alive", "upgrade")

    def __init__(
        self, environ: WSGIEnvironment, body: Body, http11: bool, keep_alive: bool, upgrade: bool
    ) -> None:
        self.environ = environ
        self.body = body
        self.http11 = http11
        self.keep_alive = keep_alive
        self.upgrade = upgrade


class RequestParser:
    """Turns what one connection received into `requests`, until one is a `failure`.

    `base` holds the environ entries common to all requests of the connection. `receive` is what
    the bodies call to get more. After a failure nothing more may be fed; the requests queued
    before it are good.
    """

    def __init__(
        self, base: WSGIEnvironment, limits: HTTPLimits, receive: Callable[[Body], None]
    ) -> None:
        self.requests: deque[Request] = deque()
        self.failure: RequestError | None = None
        #: What came after a request without a body that asks for an upgrade. It is to be fed only
        #: when that request was answered and the connection stays with HTTP. None without one.
        self.held: bytes | None = None
        self._base = base
        self._limits = limits
        self._receive = receive
        #: Where headers go: the environ of the request under way; for trailers, and for what
        #: is read while a declined upgrade is undone, a dict nobody looks at.
        self._environ = base.copy()
        #: What the environ may have when all headers are in it, and nothing else of the request.
        self._most_entries = len(base) + limits.max_headers
        #: Bytes of headers that may still come.
        self._room = limits.max_header_bytes
        #: Headers that came and added nothing to the environ.
        self._extra = 0
        #: The Host last found well-formed; most connections only ever send one.
        self._good_host = ""
        #: The body under way.
        self._body: Body | None = None
        #: The request under way asked for an upgrade, so llhttp will skip its body.
        self._upgrading = False
        self._target: list[bytes] = []
        self.on_url = self._target.append
        self._parser = HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parse `data`: `requests` grows, bodies are fed, or `failure` is set."""
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    self._parser.feed_data(rest)
                    return
                except HttpParserUpgrade as upgrade:
                    rest = memoryview(rest)[upgrade.args[0] :]
                    if self._body is None:
                        self.held = bytes(rest)
                        return
                    self._decline_upgrade()
        except HttpParserError as error:
            if self.failure is not None:
                return  # one of the callbacks below refused
            if isinstance(error, HttpParserCallbackError) and error.__context__ is not None:
                # Not about the request: a KeyboardInterrupt, say, that hit a callback.
                raise error.__context__ from None
            self.failure = RequestError(400, str(error))

    def close(self) -> None:
        """Break the cycles, so that the connection's memory is freed at once.

        They go through httptools, through the reader that bodies call, and through the frames that
        a failure was raised in.
        """
        del self._parser, self._receive
        self._body = self.failure = None
        self.requests.clear()

    def check_unfinished_head(self, size: int) -> None:
        """Refuse a head that is still incomplete although reads of it alone gave `size` bytes."""
        if sum(map(len, self._target)) > self._limits.max_request_line:
            self._refuse(414, f"the request line exceeds {self._limits.max_request_line} bytes")
        if size > self._limits.max_header_bytes + self._limits.max_request_line:
            self._refuse(431, f"the headers exceed {self._limits.max_header_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._room -= len(name) + len(value) + 4  # a colon, a blank, CR and LF
        if self._room < 0:
            self._refuse(431, f"the headers exceed {self._limits.max_header_bytes} bytes")
        key = KEYS.get(name)
        if key is None:
            key = environ_key(name)
        # Decoding UTF-8 takes two thirds of the time of latin-1, and ASCII is the same in both.
        text = value.decode() if value.isascii() else value.decode("latin-1")
        environ = self._environ
        if not key or key in environ:
            self._extra_header(key, text.rstrip(" \t"))
        else:
            environ[key] = text.rstrip(" \t")

    def on_headers_complete(self) -> None:
        parts = self._target
        if self._body is not None:
            parts.clear()  # the head that undoes an upgrade
            return
        environ = self._environ
        if len(environ) + self._extra > self._most_entries:
            self._refuse_count()
        parser = self._parser
        raw_target = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        raw_method = parser.get_method()
        method = METHODS.get(raw_method)
        if method is None:
            self._refuse(501, "this method is not implemented")
        if len(raw_target) + len(raw_method) + len("  HTTP/1.1") > self._limits.max_request_line:
            self._refuse(414, f"the request line exceeds {self._limits.max_request_line} bytes")
        target = raw_target.decode("latin-1")
        path, _, query = target.partition("?")
        if target[0] != "/" or "#" in target:
            path = self._unusual_path(path, target)
        if "%" in path:
            path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
        environ["REQUEST_METHOD"] = method
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = query
        environ["REQUEST_URI"] = environ["RAW_URI"] = target

        body = NO_BODY
        http11 = True
        upgrade = False
        keep_alive = parser.should_keep_alive()
        # llhttp keeps only HTTP/1.1 alive when no Connection header asks for it.
        if (
            not keep_alive
            or "HTTP_CONNECTION" in environ
            or "CONTENT_LENGTH" in environ
            or "HTTP_TRANSFER_ENCODING" in environ
        ):
            http11 = self._check_version()
            body = self._check_framing(http11)
            upgrade = http11 and body is NO_BODY and parser.should_upgrade()
        host = environ.get("HTTP_HOST")
        if host != self._good_host or not host:
            self._check_host(host, http11)

        self.requests.append(Request(environ, body, http11, keep_alive, upgrade))
        if body is NO_BODY:
            self._begin()
        else:
            environ["wsgi.input"] = body
            self._body = body
            self._environ = {}
            self._extra = 0

    def on_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        body.feed(data)
        if self._limits.max_body is not None and body.received > self._limits.max_body:
            self._refuse(413, f"the body exceeds {self._limits.max_body} bytes")

    def on_message_complete(self) -> None:
        body = self._body
        if body is not None and not self._upgrading:
            if len(self._environ) + self._extra > self._limits.max_headers:
                self._refuse_count()
            body.complete = True
            self._begin()

    def _begin(self) -> None:
        """Make ready for the next request's head."""
        self._environ = self._base.copy()
        self._room = self._limits.max_header_bytes
        self._extra = 0
        self._body = None

    def _decline_upgrade(self) -> None:
        """Put llhttp back to where the body of a request that asked for an upgrade begins.

        Only requests without one can have theirs, because then it is plain where the other
        protocol begins.

        It takes all that follows such a request for another protocol. We stay with HTTP, as a
        server may, and a head that asks for nothing leads it to the same place.
        """
        self._upgrading = False
        self._room = self._limits.max_header_bytes
        body = self._body
        assert body is not None  # or what follows were held
        framing = (
            "Transfer-Encoding: chunked"
            if body.length is None
            else f"Content-Length: {body.length}"
        )
        self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode("latin-1"))

    def _refuse(self, status: int, reason: str) -> NoReturn:
        """Called in callbacks, whose exceptions httptools replaces with its own."""
        self.failure = RequestError(status, reason)
        raise self.failure

    def _extra_header(self, key: str, text: str) -> None:
        """A header that came before in the same head, or that is to be dropped (key "")."""
        self._extra += 1
        if self._extra > self._limits.max_headers:
            self._refuse_count()
        if key in _SINGLE:
            self._refuse(400, f"{header_name(key)} is given more than once")
        if key:
            joint = "; " if key == "HTTP_COOKIE" else ","
            self._environ[key] += joint + text

    def _refuse_count(self) -> NoReturn:
        self._refuse(431, f"there are more than {self._limits.max_headers} headers")

    def _unusual_path(self, path: str, target: str) -> str:
        """The path of a request target that is not just a path."""
        environ = self._environ
        if "#" in target:
            self._refuse(400, "the request target has a fragment")
        if path == "*" and self._parser.get_method() == b"OPTIONS":
            return path
        match = _ABSOLUTE.fullmatch(path)
        if match is None:
            self._refuse(400, "the request target is neither a path nor a URL")
        if "HTTP_HOST" not in environ:
            self._check_host(None, self._check_version())
        # An absolute target overrides the Host header, which proxies may not have rewritten.
        environ["HTTP_HOST"] = match["authority"]
        return match["path"] or "/"

    def _check_host(self, host: str | None, http11: bool) -> None:
        if host is None:
            if http11:
                self._refuse(400, "HTTP/1.1 asks for a Host header")
        elif HOST.fullmatch(host) is None:
            self._refuse(400, "the Host header is malformed")
        else:
            self._good_host = host

    def _check_version(self) -> bool:
        """Whether the request is HTTP/1.1 rather than HTTP/1.0; others are refused."""
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refuse(505, "this server speaks HTTP/1.1")
        self._environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        return version == "1.1"

    def _check_framing(self, http11: bool) -> Body:
        """The body that the headers announce."""
        environ = self._environ
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        announced = environ.get("CONTENT_LENGTH")
        length: int | None = 0
        if coding is not None:
            if not http11 or announced is not None:
                self._refuse(400, "Transfer-Encoding has no place in this request")
            if coding.lower() != "chunked":
                self._refuse(501, "the only transfer coding this server knows is chunked")
            length = None
        elif announced is not None:
            if not _DIGITS.fullmatch(announced):
                self._refuse(400, "Content-Length is malformed")
            length = int(announced)
            if self._limits.max_body is not None and length > self._limits.max_body:
                self._refuse(413, f"the body exceeds {self._limits.max_body} bytes")
        elif not http11 and environ["REQUEST_METHOD"] in ("PATCH", "POST", "PUT"):
            # HTTP/1.0 has no other way to say where a body ends, so there may well be one.
            self._refuse(411, "in HTTP/1.0 such a request needs a Content-Length")
        self._upgrading = self._parser.should_upgrade() and length != 0
        if length == 0:
            return NO_BODY
        body = Body(self._receive, length)
        expectation = environ.get("HTTP_EXPECT")
        if expectation is not None and http11:
            if expectation.lower() != "100-continue":
                self._refuse(417, "the only expectation this server knows is 100-continue")
            body.expects_continue = True
        return body

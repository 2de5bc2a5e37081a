"""What an application answers: start_response, and the framing of the body.

Head and first part of the body leave in one write. Apart they would cost a second system call,
and with Nagle's algorithm and delayed acknowledgements 40 ms.
"""

from collections.abc import Callable, Iterable
from types import TracebackType

from ringlet.servers.http_file import BlockFileWrapper, plain_file
from ringlet.servers.http_head import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    ORDINARY,
    UPGRADE,
    date_line,
    is_bodiless,
    keep_line,
    kind_of,
    known_lines,
    known_names,
    known_statuses,
    line_of,
    unsendable,
)
from ringlet.servers.http_parser import Request
from ringlet.servers.http_reader import RequestReader
from ringlet.servers.http_wire import SEND_BYTES, Wire

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Response:
    """The answer to one request.

    `is_head` tells whether the request's method is HEAD, `head_sent` whether the client has seen
    the beginning, so that no other answer is possible, and `complete` whether all of it was sent;
    `keep_alive` whether the connection can be used again after it. `status` is its status line, ""
    while there is none, and `sent` the bytes of the body that were sent.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_has_date",
        "_head",
        "_left",
        "_reader",
        "_refused",
        "_request",
        "_wire",
        "complete",
        "head_sent",
        "is_head",
        "keep_alive",
        "sent",
        "status",
        "upgraded",
    )

    def __init__(self, wire: Wire, reader: RequestReader, request: Request) -> None:
        self.head_sent = False
        self.complete = False
        self.keep_alive = request.keep_alive
        self.status = ""
        self.sent = 0
        #: The connection has left HTTP.
        self.upgraded = False
        self._wire = wire
        self._reader = reader
        self._request = request
        #: Status line and headers so far, without the last line end. None before start_response.
        self._head: str | None = None
        self._has_date = False
        #: start_response has begun to take in what it was told, and did not come to its end.
        self._refused = False
        #: Bytes of the body still to come, None if its length is not known.
        self._left: int | None = None
        #: The body goes out in chunks.
        self._chunked = False
        #: Asked for before the application can change the environ.
        self.is_head = request.environ["REQUEST_METHOD"] == "HEAD"
        #: No body goes out, whatever the application returns: HEAD, or such a status.
        self._bodiless = self.is_head

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response; returns `write`.

        Raises TypeError or ValueError for a status or header that cannot be sent as given,
        RuntimeError when called twice without `exc_info`, and the exception in `exc_info` when
        it is too late for another answer.
        """
        if exc_info is not None:
            try:
                self._start_over(exc_info)
            finally:
                exc_info = None  # it holds this very frame
        elif self._head is not None:
            raise RuntimeError("start_response() was called again: the second call needs exc_info")
        elif self._refused:
            self._reset()
        self._refused = True

        bodiless = known_statuses.get(status)
        if bodiless is None:
            bodiless = is_bodiless(status)
        head = "HTTP/1.1 " + status
        for header in headers:
            try:
                line, length = known_lines[header]
            except (KeyError, TypeError):  # a list instead of a tuple has no hash
                head += self._line(*header, status)
                continue
            if length is None:
                head += line
            elif self._left is None and not bodiless:
                self._left = length
                head += line
            else:
                head += self._line(*header, status)
        self._refused = False
        self._bodiless = bodiless or self.is_head
        self._head = head
        self.status = status
        return self.write

    def switch_protocols(self, protocol: str, headers: list[tuple[str, str]]) -> None:
        """Answer that the connection goes on in another protocol.

        Raises as `start_response` does, and OSError when the connection is lost.
        """
        if self._head is not None:
            raise RuntimeError("the request has an answer already: upgrade it instead, and once")
        head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {protocol}"]
        for name, value in headers:
            if kind_of(name) != ORDINARY:
                raise ValueError(f"header {name!r} has no place in a switch of protocols")
            head.append(f"{name}: {value}")
        if bad := unsendable(headers):
            raise ValueError(f"a header value holds a line break or a NUL: {bad!r}")
        encoded = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        self._head = ""
        self.status = "101"
        self.keep_alive = False
        self.upgraded = self.head_sent = True
        self._wire.send(encoded)

    def _start_over(self, exc_info: ExcInfo) -> None:
        """Forget what start_response was told before; raise `exc_info` if it is too late."""
        if self.head_sent:
            if exc_info[1] is None:
                raise RuntimeError("too late for another answer: the client has seen the first one")
            raise exc_info[1].with_traceback(exc_info[2])
        self._reset()

    def _reset(self) -> None:
        """As if start_response had not been called."""
        self._head = None
        self._has_date = False
        self._left = None
        self.keep_alive = self._request.keep_alive
        self.status = ""

    def _line(self, name: str, value: str, status: str) -> str:
        """A header as it is sent, which may be not at all, taken note of if it matters here."""
        kind = known_names.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind != ORDINARY and not self._note(kind, name, value, status):
            return ""
        line = line_of(name, value)
        if kind in (ORDINARY, CONTENT_LENGTH):
            keep_line(name, value, line, self._left if kind == CONTENT_LENGTH else None)
        return line

    def _note(self, kind: int, name: str, value: str, status: str) -> bool:
        """Take note of a header that matters to the server; whether to send it."""
        if kind == CONTENT_LENGTH:
            if not (value.isascii() and value.isdecimal() and len(value) <= 18):
                raise ValueError(f"Content-Length {value!r} is no number of bytes")
            length = int(value)
            if self._left is None:
                self._left = length
                return not status.startswith("204")
            if self._left != length:
                raise ValueError(f"Content-Length {value!r} contradicts {self._left}")
            return False
        if kind == CONNECTION:
            if value.lower() == "close":
                self.keep_alive = False
            return False  # the server says what becomes of the connection
        if kind == DATE:
            self._has_date = True
            return True
        if kind == UPGRADE and status.startswith("426"):
            return True
        raise ValueError(f"header {name!r} is about the connection, which the server manages")

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application returned, to its end.

        Raises TypeError or ValueError if that is no body or not as long as announced, OSError
        when the connection is lost, and what iterating over it raises.
        """
        if (type(result) is list or type(result) is tuple) and not self.head_sent:
            if len(result) == 1:
                self._send_whole(result[0])
                return
            if sum(map(len, result)) <= SEND_BYTES:
                self._send_whole(b"".join(result))
                return
            if not self._bodiless:
                self._announce(sum(map(len, result)))
        elif type(result) is BlockFileWrapper and not self.head_sent and self._send_file(result):
            return
        elif self.upgraded:
            if any(result):
                raise ValueError("the connection left HTTP, but the application returned a body")
            self.complete = True
            return
        # A file may be longer than is to be sent of it; anything else is as long as it says.
        is_file = type(result) is BlockFileWrapper
        for data in result:
            if is_file and self._left is not None:
                data = data[: self._left]
                if not data:
                    break
            if data:
                self.write(data)
                if self._bodiless:
                    break
        self._finish()

    def write(self, data: bytes, /) -> None:
        """Send one part of the body; the first one takes the head along."""
        if not isinstance(data, bytes):
            raise TypeError(f"a body is made of bytes, not {type(data).__name__}: {data!r:.60}")
        if self.upgraded:
            raise ValueError("the connection left HTTP, but the application returned a body")
        if self.complete:
            raise RuntimeError("write() was called after the end of the response")
        excess = 0
        head = b"" if self.head_sent else self._close_head()
        if self._bodiless:
            data = b""
        size = len(data)
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (size, data) if data else b""
        elif self._left is not None and not self._bodiless:
            excess = max(0, size - self._left)
            if excess:
                data = data[: self._left]
                size = len(data)
            self._left -= size
        self._wire.send(head, data)
        self.sent += size
        if excess:
            raise ValueError(f"the body is at least {excess} bytes longer than its Content-Length")

    def _send_whole(self, body: bytes) -> None:
        """Send the response in one go."""
        if not isinstance(body, bytes):
            raise TypeError(f"a body is made of bytes, not {type(body).__name__}: {body!r:.60}")
        if self._bodiless:
            if body and self.is_head:
                self._announce(len(body))  # as for GET; an empty body says nothing about that
            body = b""
        elif self._left is None:
            self._announce(len(body))
        elif self._left != len(body):
            raise ValueError(f"Content-Length is {self._left} but the body has {len(body)} bytes")
        self._wire.send(self._close_head(), body)
        self.sent = len(body)
        self.complete = True

    def _send_file(self, result: BlockFileWrapper) -> bool:
        """Send what a plain file has; False if it is something else."""
        found = plain_file(result.filelike)
        if found is None:
            return False
        offset, length = found
        self._announce(length)
        if self._bodiless:
            self._wire.send(self._close_head())
            self.complete = True
            return True
        wanted = self._left or 0
        if wanted > length:
            raise ValueError(f"Content-Length is {wanted} but the file has {length} bytes")
        self.sent = self._wire.send_file(self._close_head(), result.filelike, offset, wanted)
        if self.sent < wanted:
            raise ValueError(f"the file ended {wanted - self.sent} bytes short of Content-Length")
        self.complete = True
        return True

    def _finish(self) -> None:
        """End a body that was sent in parts."""
        if not self.head_sent:
            if not self._bodiless:
                self._announce(0)
            self._wire.send(self._close_head())
        elif self._chunked and not self._bodiless:
            self._wire.send(b"0\r\n\r\n")
        if self._left and not self._bodiless:
            raise ValueError(f"the body ended {self._left} bytes short of its Content-Length")
        self.complete = True

    def _announce(self, length: int) -> None:
        """Tell the length of a body, if the application did not."""
        if self._left is None and self._head is not None and not self.status.startswith("204"):
            self._head += f"\r\nContent-Length: {length}"
            self._left = length

    def _close_head(self) -> bytes:
        """The whole head; the framing of the body is settled here."""
        head = self._head
        if head is None:
            raise RuntimeError("the application gave a body without calling start_response()")
        request = self._request
        if not self._has_date:
            head += date_line()
        if self._left is None and not self._bodiless:
            if request.http11:
                head += "\r\nTransfer-Encoding: chunked"
                self._chunked = True
            else:
                self.keep_alive = False  # the end of the connection is the end of the body
        body = request.body
        if self._wire.closing or not (body.complete or self._reader.may_drain(body)):
            self.keep_alive = False
        if not self.keep_alive:
            head += "\r\nConnection: close"
        elif not request.http11:
            head += "\r\nConnection: keep-alive"
        # Too late for it: what the client sees next is the final response.
        body.expects_continue = False
        encoded = (head + "\r\n\r\n").encode("latin-1")
        self.head_sent = True
        return encoded

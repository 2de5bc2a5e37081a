"""WebSockets: applications that exchange messages with browsers, in plain blocking style.

`websocket(handler)` makes a WSGI application, to be mounted wherever one can be. It runs on
WSGIServer, whose upgrade hook it uses. Framing is wsproto's, the extra `ringlet[websocket]`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from ringlet.sched import spawn
from ringlet.servers.http_upgrade import Upgraded
from ringlet.sync import Lock

WSPROTO_ERROR: ImportError | None = None
try:
    from wsproto.connection import Connection, ConnectionState, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
    from wsproto.extensions import Extension, PerMessageDeflate
    from wsproto.utilities import LocalProtocolError, generate_accept_token
except ImportError as error:  # it belongs to an extra, so ringlet itself works without it
    WSPROTO_ERROR = error

__all__ = ("WebSocket", "WebSocketClosed", "websocket")

#: Seconds that a client has to answer that we close, and then for the end of its side.
CLOSE_SECONDS = 5.0
#: What is unpacked at once. Deflate packs up to a thousand to one, so a message that is too long is
#: noticed before it takes much memory.
PACKED_BYTES = 4096

NORMAL, GOING_AWAY, UNSUPPORTED, ABNORMAL = 1000, 1001, 1003, 1006
TOO_LONG, FAILED = 1009, 1011
#: The codes that may be sent.
SENDABLE = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))


class WebSocketClosed(ConnectionError):
    """The WebSocket is closed. `code` and `reason` say why; 1006 is a lost connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket is closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class WebSocket:
    """One client. Iterating over it yields its messages until it is closed.

    Several tasklets may send; one at a time receives. `environ` is the request's, `path` the path
    in it, and `subprotocol` the one that was agreed on, or None.
    """

    def __init__(
        self,
        stream: Upgraded,
        environ: WSGIEnvironment,
        subprotocol: str | None,
        extensions: "list[Extension]",
        max_message: int,
        ping_interval: float | None,
    ) -> None:
        self.environ = environ
        self.path: str = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        self.subprotocol = subprotocol
        self._stream = stream
        self._frames = Connection(ConnectionType.SERVER, extensions)
        #: Frames leave one at a time, and in the order in which they were made.
        self._sending = Lock()
        self._max_message = max_message
        self._ping_interval = ping_interval
        #: Messages that have arrived in full.
        self._messages: deque[str | bytes] = deque()
        #: Pieces of the message under way, and how long they are.
        self._pieces: list[Any] = []
        self._size = 0
        #: What the client sends cannot be understood any more.
        self._broken = False
        #: Why it is closed, as code and reason, once it is.
        self._closed: tuple[int, str] | None = None
        stream.on_stop = self._go_away

    def __iter__(self) -> Iterator[str | bytes]:
        with suppress(WebSocketClosed):
            while True:
                yield self.receive()

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Raises WebSocketClosed when none will come any more, and TimeoutError when the client has
        sent nothing at all for `timeout` seconds. A client that does not even answer a ping
        within `ping_interval` is taken for lost.
        """
        asked = False
        while not self._messages:
            if self._closed is not None:
                raise WebSocketClosed(*self._closed)
            pause = self._ping_interval if timeout is None else timeout
            try:
                data = self._stream.receive(pause)
            except TimeoutError:
                if timeout is not None:
                    raise
                if asked:
                    self._lose("the client is silent")
                else:
                    self._transmit(Ping(payload=b""))
                    asked = True
            except OSError as error:
                self._lose(str(error))
            else:
                asked = False
                if data:
                    self._take(data)
                else:
                    self._lose("the connection ended")
        return self._messages.popleft()

    def send(self, message: str | bytes) -> None:
        """Send one message, str as text and bytes as binary; waits while the client is slow.

        Raises WebSocketClosed when it is closed, TypeError for what is no message, and
        UnicodeEncodeError for text that UTF-8 cannot express.
        """
        if isinstance(message, str):
            if not message.isascii():
                message.encode()  # refused before a part of it is sent
            event: Message[Any] = TextMessage(data=message)
        elif isinstance(message, bytes | bytearray | memoryview):
            event = BytesMessage(data=bytes(message))
        else:
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        if self._closed is not None:
            raise WebSocketClosed(*self._closed)
        self._transmit(event)
        if self._closed is not None:
            raise WebSocketClosed(*self._closed)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say that we close, with a code as in RFC 6455. Harmless when it is closed.

        What the client sends from now on is dropped; the handler should return. Raises ValueError
        for a code that may not be sent: there are 1000 to 1014, without 1004 to 1006, and 3000 to
        4999 for applications.
        """
        if code not in SENDABLE:
            raise ValueError(f"{code} is no code to close with; applications have 3000 to 4999")
        if self._closed is None:
            self._closed = code, reason
            self._transmit(CloseConnection(code=code, reason=reason))

    def _transmit(self, event: Any) -> None:
        """Send one frame, unless the state of the connection forbids it."""
        with self._sending:
            try:
                self._stream.send(self._frames.send(event))
            except LocalProtocolError:
                # We have said that we close, perhaps while this one waited for its turn.
                if self._closed is None:
                    self._closed = GOING_AWAY, "the server stops"
            except OSError as error:
                self._lose(str(error))
            except BaseException:
                # A part of a frame may be out, and nothing can come after that.
                self._lose("sending a message was ended by a time limit, or from outside")
                raise

    def _lose(self, reason: str) -> None:
        if self._closed is None:
            self._closed = ABNORMAL, reason

    def _go_away(self) -> None:
        """The server stops. The handler learns of it when the client has answered."""
        tasklet = spawn(self._transmit, CloseConnection(code=GOING_AWAY, reason="server stops"))
        tasklet.name = "WebSocket: going away"

    def _take(self, data: bytes) -> None:
        """Take in what the client has sent, and answer what needs an answer."""
        for start in range(0, len(data), PACKED_BYTES):
            if self._frames.state is ConnectionState.CLOSED or self._broken:
                return
            self._frames.receive_data(data[start : start + PACKED_BYTES])
            for event in self._frames.events():
                if isinstance(event, Message):
                    self._take_piece(event)
                elif isinstance(event, Ping):
                    self._transmit(event.response())
                elif isinstance(event, CloseConnection):
                    self._take_close(event)
                    return

    def _take_piece(self, event: "Message[Any]") -> None:
        if self._closed is not None:
            return
        self._size += len(event.data)
        if self._size > self._max_message:
            self._pieces.clear()
            self.close(TOO_LONG, f"a message exceeds {self._max_message} bytes")
            return
        self._pieces.append(event.data)
        if event.message_finished:
            text = isinstance(event, TextMessage)
            message = "".join(self._pieces) if text else b"".join(self._pieces)
            self._messages.append(message)
            self._pieces.clear()
            self._size = 0

    def _take_close(self, event: "CloseConnection") -> None:
        """The client closes, answers that we do, or broke the rules, which is told the same way."""
        state = self._frames.state
        self._broken = state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)
        if state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._transmit(event.response())
        if self._closed is None:
            self._closed = event.code, event.reason or ""

    def _finish(self, code: int) -> None:
        """The handler has returned: close, and let the client answer."""
        self.close(code)
        deadline = monotonic() + CLOSE_SECONDS
        with suppress(OSError):
            while self._frames.state is ConnectionState.LOCAL_CLOSING and not self._broken:
                data = self._stream.receive(max(0.0, deadline - monotonic()))
                if not data:
                    return
                self._take(data)


def websocket(
    handler: Callable[[WebSocket], object],
    *,
    subprotocols: Iterable[str] = (),
    origins: Iterable[str] | None = None,
    max_message: int = 1 << 20,
    ping_interval: float | None = 30.0,
    compression: bool = False,
) -> WSGIApplication:
    """A WSGI application that calls `handler(ws)` with a WebSocket for each client that wants one.

    The WebSocket is closed when the handler returns. If that raises, it is closed with code 1011
    and the error is logged as any application's. WebSocketClosed is no error.

    Of `subprotocols` the first that the client knows too is agreed on. Browsers let any page open a
    WebSocket to any site, cookies and all, and say only where the page is from: that has to be this
    site, or one of `origins`, as in "https://example.org", if they are given; "*" allows all.
    Messages longer than `max_message` (bytes, or characters) close the WebSocket. After
    `ping_interval` seconds without a word a client is asked for one, and lost after as many more.
    With `compression` messages are compressed (permessage-deflate) for clients that can.

    Raises ImportError if wsproto, the extra `ringlet[websocket]`, is missing.
    """
    if WSPROTO_ERROR is not None:
        raise ImportError(
            f"websocket() needs wsproto, which cannot be imported ({WSPROTO_ERROR}): "
            "install the extra with: pip install 'ringlet[websocket]'",
            name="wsproto",
        ) from WSPROTO_ERROR
    if isinstance(subprotocols, str) or isinstance(origins, str):
        raise TypeError("subprotocols and origins are lists of str, not one str")
    known = list(subprotocols)
    allowed = None if origins is None else {origin.lower() for origin in origins}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        upgrade = environ.get("ringlet.upgrade")
        if upgrade is None or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            return _refuse(start_response, "426 Upgrade Required", "this is a WebSocket")
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
            return _refuse(start_response, "426 Upgrade Required", "version 13 is spoken here")
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
        if environ["REQUEST_METHOD"] != "GET" or len(key) != 24 or not key.isascii():
            return _refuse(start_response, "400 Bad Request", "a malformed WebSocket handshake")
        if not _is_from_here(environ, allowed):
            return _refuse(start_response, "403 Forbidden", "not from there")

        headers = [("Sec-WebSocket-Accept", generate_accept_token(key.encode("ascii")).decode())]
        offered = _items(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""))
        subprotocol = next((name for name in known if name in offered), None)
        if subprotocol is not None:
            headers.append(("Sec-WebSocket-Protocol", subprotocol))
        extensions: list[Extension] = []
        if compression:
            extensions, accepted = _agree(environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""))
            headers += accepted
        stream = upgrade("websocket", headers)
        ws = WebSocket(stream, environ, subprotocol, extensions, max_message, ping_interval)
        try:
            with suppress(WebSocketClosed):
                handler(ws)
        except Exception:
            ws._finish(FAILED)
            raise
        except BaseException:
            ws.close(GOING_AWAY)  # the tasklet is being killed: no time for an answer
            raise
        else:
            ws._finish(NORMAL)
        finally:
            stream.on_stop = None  # or each would hold the other
        return []

    return application


def _refuse(start_response: StartResponse, status: str, reason: str) -> list[bytes]:
    headers = [("Content-Type", "text/plain")]
    if status.startswith("426"):
        headers += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    start_response(status, headers)
    return [f"{reason}\n".encode()]


def _is_from_here(environ: WSGIEnvironment, allowed: set[str] | None) -> bool:
    """Whether the page that opens the WebSocket may. Programs that are no browsers say nothing."""
    origin: str | None = environ.get("HTTP_ORIGIN")
    if origin is None:
        return True
    if allowed is not None:
        return "*" in allowed or origin.lower() in allowed
    here: str = environ.get("HTTP_HOST", "").lower()
    return here != "" and urlsplit(origin.lower()).netloc == here


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _agree(offers: str) -> "tuple[list[Extension], list[tuple[str, str]]]":
    """The first offer of compression that can be met, and the header that says so."""
    for offer in _items(offers):
        if offer.partition(";")[0].strip() == PerMessageDeflate.name:
            extension = PerMessageDeflate()
            try:
                accepted = extension.accept(offer)
            except ValueError:
                continue
            if isinstance(accepted, str):
                words = "; ".join(filter(None, (PerMessageDeflate.name, accepted)))
                return [extension], [("Sec-WebSocket-Extensions", words)]
    return [], []

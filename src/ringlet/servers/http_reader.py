"""Reading requests off one connection, within the time and size a client is granted.

The code here blocks in plain style. It needs only what the standard library's sockets have, and
becomes cooperative through the sockets it is given.
"""

from time import monotonic
from wsgiref.types import WSGIEnvironment

from ringlet.servers.http_body import Body
from ringlet.servers.http_limits import HTTPLimits, RequestError
from ringlet.servers.http_parser import Request, RequestParser
from ringlet.servers.http_wire import HEAD_BYTES, RECEIVE_BYTES, Wire

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Bytes of a body the application did not read that are read on its behalf to save the
#: connection. Beyond that a new connection is cheaper.
DRAIN_BYTES = 65536
DRAIN_SECONDS = 5.0


class RequestReader:
    """The requests of one connection, in order."""

    __slots__ = ("_limits", "_parser", "_patience", "_wire", "began", "idle", "queue")

    def __init__(self, wire: Wire, limits: HTTPLimits, base: WSGIEnvironment) -> None:
        self._wire = wire
        self._limits = limits
        self._parser = RequestParser(base, limits, self._receive_body)
        #: Requests whose heads have arrived, still to be answered.
        self.queue = self._parser.requests
        #: Seconds to wait for the first byte of the next request.
        self._patience = limits.first_byte_timeout
        #: Not a byte of the next request has arrived, and it is being waited for.
        self.idle = False
        #: When the request given last began; only kept if its whole time is limited.
        self.began = 0.0

    def next(self) -> Request | None:
        """The next request, or None when the client has sent its last or was idle for too long.

        Raises RequestError when it must be refused, and OSError when the connection is lost.
        """
        queue = self.queue
        if queue:
            if self._limits.request_timeout is not None:
                self.began = monotonic()
            return queue.popleft()
        parser = self._parser
        if parser.failure is not None:
            raise parser.failure
        data = b"" if parser.held is None else self.take_held()
        if not data:
            try:
                self.idle = True
                data = self._wire.receive(
                    self._limits.closing_timeout if self._wire.closing else self._patience,
                    HEAD_BYTES,
                )
                self.idle = False
            except TimeoutError:
                return None
            if not data:
                return None
        self._patience = self._limits.idle_timeout
        if self._limits.request_timeout is not None:
            self.began = monotonic()
        parser.feed(data)
        if not queue:
            self._finish_head()
        return queue.popleft()

    def _finish_head(self) -> None:
        """Read on until the head that has begun is complete."""
        parser = self._parser
        allowed = self._limits.header_timeout
        deadline = None if allowed is None else monotonic() + allowed
        size = 0
        while not self.queue:
            if parser.failure is not None:
                raise parser.failure
            parser.check_unfinished_head(size)
            try:
                data = self._wire.receive_until(deadline, HEAD_BYTES)
            except TimeoutError:
                raise RequestError(408, "the request's head took too long") from None
            if not data:
                raise RequestError(400, "the connection ended within the request's head")
            size += len(data)
            parser.feed(data)

    def _receive_body(self, body: Body) -> None:
        """Read once more for a body the application wants to read on."""
        parser = self._parser
        if parser.failure is None:
            self._read_for(body)
        if parser.failure is not None and not body.complete:
            raise OSError(
                f"the request body cannot be read: {parser.failure.reason}"
            ) from parser.failure

    def _read_for(self, body: Body) -> None:
        parser = self._parser
        if body.expects_continue:
            body.expects_continue = False
            self._wire.send(CONTINUE)
        received = body.received
        began = monotonic()
        try:
            data = self._wire.receive(self._limits.io_timeout, _room_for(body))
        except TimeoutError:
            parser.failure = RequestError(408, "the request's body took too long")
            return
        body.waited += monotonic() - began
        if not data:
            parser.failure = RequestError(400, "the connection ended within the request's body")
            return
        parser.feed(data)
        if body.received > received or body.complete:
            body.idle_bytes = 0
        else:
            body.idle_bytes += len(data)
        if parser.failure is None and not body.complete:
            self._check_progress(body)

    def _check_progress(self, body: Body) -> None:
        """Refuse a body that hardly moves, or that is all chunk extensions."""
        limits = self._limits
        if (
            limits.min_rate is not None
            and limits.io_timeout is not None
            and body.waited > limits.io_timeout + body.received / limits.min_rate
        ):
            self._parser.failure = RequestError(408, "the request's body arrives too slowly")
        if body.idle_bytes > limits.max_header_bytes:
            self._parser.failure = RequestError(431, "a chunk's head is too long")

    def take_held(self) -> bytes:
        """What came with a request that asks for an upgrade, after it. From now on it is ours."""
        held, self._parser.held = self._parser.held, None
        return held or b""

    @property
    def unread(self) -> bool:
        """Whether more has come in than what was asked for."""
        return bool(self.queue or self._parser.held or self._parser.failure)

    @property
    def failure(self) -> RequestError | None:
        """Why nothing more can be read, if so."""
        return self._parser.failure

    def may_drain(self, body: Body) -> bool:
        """Whether the connection may outlive this body, as far as can be told now."""
        if body.complete:
            return True
        if body.expects_continue or self._parser.failure is not None:
            return False
        return body.length is None or body.length - body.received <= DRAIN_BYTES

    def drain(self, body: Body) -> bool:
        """Read what the application left of `body`; False if that is not worth it or failed."""
        deadline = monotonic() + DRAIN_SECONDS
        enough = body.received + DRAIN_BYTES
        while not body.complete:
            if not self.may_drain(body) or body.received > enough:
                return False
            try:
                data = self._wire.receive_until(deadline, _room_for(body))
            except TimeoutError:
                return False
            if not data:
                return False
            body.discard()
            self._parser.feed(data)
        return True

    def close(self) -> None:
        """Let go of the parser. Nothing can be read afterwards."""
        self._parser.close()


def _room_for(body: Body) -> int:
    """How much to read at most while `body` is under way; requests behind it count as heads."""
    if body.length is None:
        return HEAD_BYTES
    return min(RECEIVE_BYTES, body.length - body.received + HEAD_BYTES)

"""What a client may cost an HTTP server, and how it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """How long and how large a client's requests may be. Times are seconds, None for no limit.

    The memory one connection can make the server hold is bounded by these and by what the
    application itself reads: a request body is read only as the application asks for it.

    Raises ValueError for a limit that is not positive.
    """

    #: Waiting for the first byte on a new connection, which is then closed without a word.
    first_byte_timeout: float | None = 30.0
    #: Waiting for the first byte of a further request on a kept-alive connection. That is then
    #: closed without a word too, because a client may be about to reuse it.
    idle_timeout: float | None = 60.0
    #: From a request's first byte to the end of its head. Answered with 408.
    header_timeout: float | None = 20.0
    #: Each read of a request body (408), and each write of up to 256 KiB of a response.
    io_timeout: float | None = 60.0
    #: Bytes of a request body that have to arrive per second, on average over the time in which
    #: the application waited for them; the first `io_timeout` seconds of that do not count.
    #: Without it a client could send one byte a minute for ever. Answered with 408.
    min_rate: float | None = 500.0
    #: One request from its first byte to the last byte of its response. What blocks in the
    #: application then raises Cancelled. Answered with 408 if the body has not arrived in full,
    #: else with 503; cuts the connection if the response has begun.
    request_timeout: float | None = None
    #: Once the server is stopping: how long a connection without a request under way may still
    #: begin one. It is answered with ``Connection: close``.
    closing_timeout: float = 2.0
    #: Bytes of the request line, as in ``GET /path?query HTTP/1.1``. Answered with 414.
    max_request_line: int = 8190
    #: Bytes of all header lines of one request, trailers included. Answered with 431.
    max_header_bytes: int = 32768
    #: Number of header lines of one request, and of its trailers. Answered with 431.
    max_headers: int = 100
    #: Bytes of a request body, None for no limit. Answered with 413.
    max_body: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "first_byte_timeout",
            "idle_timeout",
            "header_timeout",
            "io_timeout",
            "min_rate",
            "request_timeout",
            "max_body",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"HTTPLimits.{name} is {value!r}: give a positive number or None")
        for name in ("closing_timeout", "max_request_line", "max_header_bytes", "max_headers"):
            value = getattr(self, name)
            if value is None or not value > 0:
                raise ValueError(f"HTTPLimits.{name} is {value!r}: give a positive number")


class RequestError(Exception):
    """A request that gets an error for an answer, after which its connection ends.

    `status` is the HTTP status code and `reason` one line for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason

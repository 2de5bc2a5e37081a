"""What a client may cost an HTTP server, and how it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """How long and how large a client's requests may be. Times are seconds, None for no limit.

    The memory one connection can make the server hold is bounded by these and by what the
    application itself reads: a request body is read only as the application asks for it.

    Raises ValueError for a limit that is not positive.
    """

    #: Waiting for the first byte of a request, on a new or a kept-alive connection. The
    #: connection is then closed without a word, because a client may be about to reuse it.
    idle_timeout: float | None = 60.0
    #: From a request's first byte to the end of its head. Answered with 408.
    header_timeout: float | None = 20.0
    #: Each read of a request body (408), and each write of up to 256 KiB of a response.
    io_timeout: float | None = 60.0
    #: Bytes of the request line, as in ``GET /path?query HTTP/1.1``. Answered with 414.
    max_request_line: int = 8190
    #: Bytes of all header lines of one request, trailers included. Answered with 431.
    max_header_bytes: int = 32768
    #: Number of header lines of one request, and of its trailers. Answered with 431.
    max_headers: int = 100
    #: Bytes of a request body, None for no limit. Answered with 413.
    max_body: int | None = None

    def __post_init__(self) -> None:
        for name in ("idle_timeout", "header_timeout", "io_timeout", "max_body"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"HTTPLimits.{name} is {value!r}: give a positive number or None")
        for name in ("max_request_line", "max_header_bytes", "max_headers"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"HTTPLimits.{name} is {value!r}: give a positive number")


class RequestError(Exception):
    """A request that gets an error for an answer, after which its connection ends.

    `status` is the HTTP status code and `reason` one line for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason

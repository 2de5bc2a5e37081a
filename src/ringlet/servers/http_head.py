"""The head of a response: what may stand in it, and the parts that are the same for many."""

import re
import time
from http import HTTPStatus

from ringlet.servers.http_limits import RequestError

#: What the server has to know about a response header.
ORDINARY, CONTENT_LENGTH, CONNECTION, DATE, UPGRADE, FORBIDDEN = range(6)
_KINDS = {
    "connection": CONNECTION,
    "content-length": CONTENT_LENGTH,
    "date": DATE,
    # These are about the connection, which is the server's and not the application's.
    "keep-alive": FORBIDDEN,
    "te": FORBIDDEN,
    "trailer": FORBIDDEN,
    "transfer-encoding": FORBIDDEN,
    # May only say, with status 426, what to ask for.
    "upgrade": UPGRADE,
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Status lines of final responses; the phrase may be empty.
_STATUS = re.compile(r"[2-9][0-9]{2} [^\x00-\x1f\x7f]*")

#: Kinds of the names applications have used, in the spelling they used; bounded, because some
#: make names up.
known_names: dict[str, int] = {}
#: For status lines applications have used: whether such a response has no body. Bounded too.
known_statuses: dict[str, bool] = {}
#: Headers applications have sent: the line for the wire, with what ends the line before it, and the
#: number in a Content-Length. Most responses have the same few. Bounded too, and without cookies,
#: which are secret and never the same.
known_lines: dict[tuple[str, str], tuple[str, int | None]] = {}


def kind_of(name: str) -> int:
    """What kind of header `name` is. Raises TypeError or ValueError if it is no name."""
    if not isinstance(name, str):
        raise TypeError(f"a header name is a str, not {type(name).__name__}: {name!r:.60}")
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no header name")
    kind = _KINDS.get(name.lower(), ORDINARY)
    if len(known_names) < 1024:
        known_names[name] = kind
    return kind


def is_bodiless(status: str) -> bool:
    """Whether responses with this status have no body. Raises ValueError if it is no status."""
    if _STATUS.fullmatch(status) is None:
        raise ValueError(f"status {status!r} is not a final code and a phrase, as in '200 OK'")
    bodiless = status[:3] in ("204", "304")
    if len(known_statuses) < 1024:
        known_statuses[status] = bodiless
    return bodiless


def line_of(name: str, value: str) -> str:
    """The line of a header, with what ends the one before. Raises ValueError if it would be two."""
    line = "\r\n" + name + ": " + value
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError(f"a header value holds a line break or a NUL: {(name, value)!r}")
    return line


def keep_line(name: str, value: str, line: str, length: int | None) -> None:
    """Keep a header's line for the next response, unless it is long or a cookie."""
    if len(line) < 80 and name.lower() != "set-cookie":
        if len(known_lines) >= 256:
            known_lines.clear()
        known_lines[name, value] = line, length


def unsendable(headers: list[tuple[str, str]]) -> tuple[str, str] | None:
    """The first header whose value holds what would end it, and begin another."""
    return next((pair for pair in headers if re.search("[\r\n\0]", pair[1])), None)


#: strftime's names of days and months depend on the locale.
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class _DateLine:
    """The Date header of the current second, made once per second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -2
        self._line = ""

    def __call__(self) -> str:
        now = time.time()
        if not 0 <= now - self._second < 1:  # also when the clock was set back
            self._second = int(now)
            t = time.gmtime(self._second)
            self._line = (
                f"\r\nDate: {DAYS[t.tm_wday]}, {t.tm_mday:02} {MONTHS[t.tm_mon - 1]} "
                f"{t.tm_year} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
            )
        return self._line


date_line = _DateLine()


def error_response(error: RequestError, is_head: bool = False) -> bytes:
    """The whole answer to a request that is refused: head, and body unless it `is_head`."""
    phrase = HTTPStatus(error.status).phrase
    body = f"{error.status} {phrase}: {error.reason}\n".encode("latin-1", "replace")
    head = (
        f"HTTP/1.1 {error.status} {phrase}{date_line()}\r\n"
        "Content-Type: text/plain; charset=iso-8859-1\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode("latin-1")
    return head if is_head else head + body

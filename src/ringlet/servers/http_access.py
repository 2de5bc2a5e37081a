"""The access log: one line for each request that was answered or refused."""

import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from ringlet.servers.http_head import MONTHS

logger = logging.getLogger("ringlet.server")


@dataclass(slots=True, kw_only=True)
class Access:
    """What the access log knows of one request. Texts are as the client sent them."""

    #: Who asked: the client, or what a trusted proxy says about it.
    remote_addr: str
    #: REMOTE_USER, if the application or a middleware has set it in the environ; else "".
    remote_user: str = ""
    #: When the request's turn came, in seconds since the epoch.
    began: float = 0.0
    #: From then until the response was sent.
    seconds: float = 0.0
    #: These three are "" for what was refused before it was understood.
    method: str = ""
    target: str = ""
    protocol: str = ""
    #: 0 when the connection ended before there was an answer.
    status: int = 0
    #: Bytes of the body that were handed to the kernel, without head and chunk lines.
    sent: int = 0
    #: All of the response was sent.
    complete: bool = False
    host: str = ""
    referer: str = ""
    user_agent: str = ""


#: Where lines go: a stream of text, the path of a file, a logger (level INFO), or what is called
#: with each Access. The path "-" is standard output.
AccessLog = str | os.PathLike[str] | logging.Logger | Callable[[Access], object] | Any

COMMON = '{remote_addr} - {remote_user} [{time}] "{request}" {status} {sent}'
FORMATS = {"common": COMMON, "combined": COMMON + ' "{referer}" "{user_agent}"'}
_TEXTS = tuple(field.name for field in fields(Access) if field.type is str)
_get_texts = attrgetter(*_TEXTS)
_JSON = tuple(field.name for field in fields(Access) if field.name != "began")
_get_json = attrgetter(*_JSON)
_encode = json.JSONEncoder().encode
# What would end a quoted text, or a line, or tell a terminal to do something.
_UNSAFE = re.compile(r'[^\x20-\x7e]|["\\]')


def _escape(match: re.Match[str]) -> str:
    text = match[0]
    if text in '"\\':
        return "\\" + text
    return "".join(f"\\x{byte:02x}" for byte in text.encode("latin-1", "backslashreplace"))


class _Clock:
    """A time as access logs have it, made once per second. The month's name knows no locale."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, moment: float) -> str:
        second = int(moment)
        if second != self._second:
            t = time.localtime(second)
            sign, minutes = "-" if t.tm_gmtoff < 0 else "+", abs(t.tm_gmtoff) // 60
            self._text = (
                f"{t.tm_mday:02}/{MONTHS[t.tm_mon - 1]}/{t.tm_year}:{t.tm_hour:02}:{t.tm_min:02}:"
                f"{t.tm_sec:02} {sign}{minutes // 60:02}{minutes % 60:02}"
            )
            self._second = second
        return self._text


_log_time = _Clock()


def json_line(access: Access) -> str:
    """One object on one line; `time` is UTC as in RFC 3339."""
    began = access.began
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began))
    entry = dict(zip(_JSON, _get_json(access), strict=True))
    entry["time"] = f"{moment}.{int(began % 1 * 1000):03}Z"
    entry["seconds"] = round(access.seconds, 6)
    return _encode(entry)


def template_line(template: str) -> Callable[[Access], str]:
    """What makes a line of an Access by `template`, with {names} of its fields in it."""

    def line(access: Access) -> str:
        texts = _get_texts(access)
        if _UNSAFE.search("".join(texts)):  # one look over all of them is cheaper than many
            texts = tuple(_UNSAFE.sub(_escape, text) for text in texts)
        values: dict[str, Any] = {
            name: text or "-" for name, text in zip(_TEXTS, texts, strict=True)
        }
        values["request"] = (
            f"{values['method']} {values['target']} {values['protocol']}" if access.method else "-"
        )
        values["time"] = _log_time(access.began)
        values["began"] = access.began
        values["seconds"] = access.seconds
        values["status"] = access.status or "-"
        values["sent"] = access.sent or "-"
        values["complete"] = access.complete
        return template.format_map(values)

    return line


def formatter(access_format: str) -> Callable[[Access], str]:
    """What makes a line of an Access, for the value of `access_format`. Raises ValueError."""
    if access_format == "json":
        return json_line
    template = FORMATS.get(access_format, access_format)
    if "{" not in template:
        raise ValueError(
            f"access_format={access_format!r} is unknown: give 'common', 'combined', 'json' or "
            "a template with names in braces, as in '{remote_addr} {status}'"
        )
    line = template_line(template)
    try:
        line(Access(remote_addr="192.0.2.1"))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(f"access_format={access_format!r} cannot be used: {error!r}") from error
    return line


class TextStream(Protocol):
    """What can be logged to."""

    def write(self, text: str, /) -> object: ...


class LogFile:
    """Appends lines to a file, each in one write, so that several processes may share it.

    A file that was moved away or removed is opened anew within a second.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError if it cannot be opened."""
        self._path = path
        self._fd = -1
        self._checked = 0.0
        self._open()

    def _open(self) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def write(self, text: str) -> None:
        now = time.monotonic()
        if now - self._checked >= 1.0:
            self._checked = now
            if self._was_moved():
                self._open()
        os.write(self._fd, text.encode("utf-8", "backslashreplace"))

    def _was_moved(self) -> bool:
        ours = os.fstat(self._fd)
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def close(self) -> None:
        """Harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class AccessSink:
    """Writes what is logged, and never lets that be a problem of the requests."""

    def __init__(self, log: AccessLog, access_format: str) -> None:
        """Raises OSError for a file that cannot be opened, ValueError and TypeError otherwise."""
        line = formatter(access_format)
        self._file: LogFile | None = None
        #: A failure was reported, and nothing was logged since.
        self._complained = False
        self._emit: Callable[[Access], object]
        if isinstance(log, logging.Logger):
            self._emit = lambda access: log.info("%s", line(access))
        elif isinstance(log, str | os.PathLike) and str(log) != "-":
            file = self._file = LogFile(os.fspath(Path(log)))
            self._emit = lambda access: file.write(line(access) + "\n")
        elif callable(log):
            self._emit = log
        else:
            stream: TextStream = sys.stdout if str(log) == "-" else log  # type: ignore[assignment]
            if not hasattr(stream, "write") or isinstance(stream, io.RawIOBase | io.BufferedIOBase):
                raise TypeError(
                    f"access_log={log!r}: give a path, a text stream, a logger or a callable"
                )
            self._emit = lambda access: stream.write(line(access) + "\n")

    def __call__(self, access: Access) -> None:
        try:
            self._emit(access)
        except Exception as error:
            if not self._complained:
                logger.error("the access log cannot be written", exc_info=error)
            self._complained = True
        else:
            self._complained = False

    def close(self) -> None:
        """Close the file, if it was given as a path."""
        if self._file is not None:
            self._file.close()

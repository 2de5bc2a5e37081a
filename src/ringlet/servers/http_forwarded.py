"""What a proxy says about the client it speaks for, and whom to believe.

A client can send these headers itself. So they count only where they come from a proxy that is
trusted, only those that this proxy is known to set, and of a list only what trusted proxies have
appended: the last address that is none of theirs is the client.
"""

import re
from collections.abc import Iterable
from typing import NoReturn
from wsgiref.types import WSGIEnvironment

from ringlet.servers.http_limits import RequestError
from ringlet.servers.http_parser import HOST
from ringlet.servers.networks import Networks, address_of

#: What can be believed, and where the environ has it.
KNOWN = {
    name.lower(): "HTTP_" + name.upper().replace("-", "_")
    for name in (
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
    )
}
#: Those that nearly every proxy is set up to send, and to overwrite.
USUAL = ("X-Forwarded-For", "X-Forwarded-Proto")

_PAIR = re.compile(
    r"""[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)="""
    r"""(?:(?P<token>[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+)|"(?P<quoted>(?:[^"\\]|\\.)*)")[ \t]*"""
    r"""(?P<end>[;,]|$)"""
)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*")


class TrustedProxies:
    """Applies to an environ what trusted proxies say.

    `proxies` are addresses and networks of theirs, as in "10.0.0.0/8"; "unix" stands for whoever
    connects through a Unix socket and "*" for everybody. `headers` are the names of those that
    are set by them: the others pass through as the client sent them and change nothing.

    From anybody else the headers in `headers` are removed, so that nothing behind the server
    believes them either.

    Raises ValueError for what is no network, or no header that is known here.
    """

    def __init__(self, proxies: Iterable[str], headers: Iterable[str] = USUAL) -> None:
        if isinstance(proxies, str) or isinstance(headers, str):
            raise TypeError("trusted_proxies and forwarded_headers are lists of str, not one str")
        names = list(proxies)
        self._everybody = "*" in names
        self._unix = "unix" in names
        try:
            self._networks = Networks(name for name in names if name not in ("*", "unix"))
        except ValueError as error:
            raise ValueError(
                f"trusted_proxies: {error}: give addresses, networks, 'unix' or '*'"
            ) from None
        wanted = {name.lower() for name in headers}
        if unknown := wanted - KNOWN.keys():
            raise ValueError(
                f"forwarded_headers: {sorted(unknown)} are not known: choose of {sorted(KNOWN)}"
            )
        if "forwarded" in wanted and len(wanted & {"x-forwarded-for", "x-forwarded-proto"}):
            raise ValueError(
                "forwarded_headers: a proxy that sets Forwarded passes X-Forwarded-* on as the "
                "client sent them, and the other way round: give those that yours sets"
            )
        self._keys = [key for name, key in KNOWN.items() if name in wanted]

    def __bool__(self) -> bool:
        """Whether anybody is trusted."""
        return self._everybody or self._unix or bool(self._networks)

    def trusts(self, host: str) -> bool:
        """Whether an address is that of a proxy we trust. A Unix socket's is "localhost"."""
        if self._everybody:
            return True
        if host == "localhost":
            return self._unix
        return host in self._networks

    def apply(self, environ: WSGIEnvironment) -> None:
        """Make `environ` tell of the client. Raises RequestError for what is no such header.

        A trusted proxy sends no malformed header, so one that comes is a client's.
        """
        if not self.trusts(environ["REMOTE_ADDR"]):
            for key in self._keys:
                environ.pop(key, None)
            return
        for key in self._keys:
            value = environ.get(key)
            if not value:
                continue
            if key == "HTTP_FORWARDED":
                self._forwarded(environ, value)
            elif key == "HTTP_X_FORWARDED_FOR":
                hops = [_node(hop.strip()) for hop in value.split(",")]
                self._set_client(environ, hops[self._first_foreign(hops)])
            else:
                # Several proxies in a row append to some of these; the last is the next to us.
                self._set(environ, key.removeprefix("HTTP_X_FORWARDED_"), _last(value))

    def _first_foreign(self, hops: list[tuple[str, str]]) -> int:
        """Where the client is in a list of hops: the last that is not trusted, else the first."""
        for index in range(len(hops) - 1, -1, -1):
            if not self.trusts(hops[index][0]):
                return index
        return 0

    def _forwarded(self, environ: WSGIEnvironment, value: str) -> None:
        elements = _elements(value)
        hops = [_node(element.get("for", "unknown")) for element in elements]
        index = self._first_foreign(hops)
        self._set_client(environ, hops[index])
        for name in ("proto", "host"):
            if name in elements[index]:
                self._set(environ, name.upper(), elements[index][name])

    def _set_client(self, environ: WSGIEnvironment, client: tuple[str, str]) -> None:
        # An unknown client, or one whose proxy hides it, leaves its proxy's address in place.
        if client[0]:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client

    def _set(self, environ: WSGIEnvironment, what: str, value: str) -> None:
        if what == "PROTO":
            scheme = value.lower()
            if scheme not in ("http", "https"):
                _refuse(what)
            environ["wsgi.url_scheme"] = scheme
        elif what == "HOST":
            if not value or HOST.fullmatch(value) is None:
                _refuse(what)
            environ["HTTP_HOST"] = value
        else:
            prefix = value.rstrip("/")
            if _PREFIX.fullmatch(prefix) is None:
                _refuse(what)
            environ["SCRIPT_NAME"] = prefix
            path = environ["PATH_INFO"]
            if path == prefix or path.startswith(prefix + "/"):
                environ["PATH_INFO"] = path[len(prefix) :]


def _refuse(what: str) -> NoReturn:
    raise RequestError(400, f"a forwarding header is malformed ({what.lower()})")


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()


def _node(text: str) -> tuple[str, str]:
    """Address and port of a hop: "192.0.2.1", "192.0.2.1:80", "::1", "[::1]:80".

    ("", "") for one that does not say: "unknown", or a name that starts with "_". nginx writes
    "unix:" for a client on a Unix socket, whose address is "localhost" here.
    """
    if text == "unix:":
        return "localhost", ""
    host, port = text, ""
    if text.startswith("["):
        host, _, after = text[1:].partition("]")
        port = after.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if host.lower() == "unknown" or host.startswith("_"):
        return "", ""
    if address_of(host) is None or (port and not (port.isascii() and port.isdecimal())):
        _refuse("for")
    return host, port


def _elements(value: str) -> list[dict[str, str]]:
    """The elements of a Forwarded header (RFC 7239), their names in lower case."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(value):
        match = _PAIR.match(value, position)
        if match is None or match["name"].lower() in elements[-1]:
            _refuse("forwarded")
        quoted = match["quoted"]
        elements[-1][match["name"].lower()] = (
            match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        )
        if match["end"] == ",":
            elements.append({})
        position = match.end()
    return elements

"""The PROXY protocol, versions 1 and 2: a proxy's word on whom it connects for.

The source of the rules is HAProxy's specification, "The PROXY protocol", section 2.
"""

import socket as stdlib
import struct
from collections.abc import Iterable
from typing import Any, Self

from ringlet.io.socket import socket
from ringlet.servers.networks import Networks

__all__ = ("ProxyProtocol", "ProxyProtocolError")

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
#: Bytes of the longest line of version 1, its end included.
LONGEST_LINE = 107
#: Bytes of addresses and further fields that a header of version 2 may have. The format allows
#: 64 KiB; a proxy's own fields are far below this.
LONGEST_REST = 4096


class ProxyProtocolError(Exception):
    """What came first is no header of the PROXY protocol."""


class ProxyProtocol:
    """Reads the header that comes before everything else on a proxy's connection.

    `trusted` is who sends one: None is everybody; `unix` whether whoever comes by a Unix socket.
    """

    def __init__(self, trusted: Networks | None, unix: bool) -> None:
        self._trusted = trusted
        self._unix = unix

    @classmethod
    def of(cls, wanted: bool | Iterable[str]) -> Self | None:
        """What the keyword `proxy_protocol` of a server says. Raises TypeError and ValueError."""
        if isinstance(wanted, bool):
            return cls(None, True) if wanted else None
        if isinstance(wanted, str) or not isinstance(wanted, Iterable):
            raise TypeError(
                f"proxy_protocol={wanted!r}: give True, or a list of networks and 'unix'"
            )
        words = list(wanted)
        try:
            networks = Networks(word for word in words if word != "unix")
        except ValueError as error:
            raise ValueError(
                f"proxy_protocol: {error}: give addresses, networks or 'unix'"
            ) from None
        return cls(networks, "unix" in words)

    def trusts(self, sock: socket, address: Any) -> bool:
        """Whether who connects from `address` is a proxy that says whom it connects for."""
        if sock.family == stdlib.AF_UNIX:
            return self._unix
        return self._trusted is None or address[0] in self._trusted

    def client_of(self, sock: socket, address: Any) -> Any:
        """Whom a connection from `address` is for; reads the header if it is a proxy's.

        Reads not one byte more. Raises ProxyProtocolError, and what recv() raises.
        """
        if not self.trusts(sock, address):
            return address
        start = _receive(sock, len(SIGNATURE))
        if start == SIGNATURE:
            return _second_version(sock) or address
        if start.startswith(b"PROXY "):
            return _first_version(_rest_of_line(sock, start)) or address
        raise ProxyProtocolError(f"it begins with {start!r}, which is no header")


def _receive(sock: socket, count: int) -> bytes:
    """So many bytes, however they come."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ProxyProtocolError("the connection ended within the header")
        data += more
    return data


def _rest_of_line(sock: socket, line: bytes) -> bytes:
    """A header of version 1 without its end. What follows it is left to be received."""
    while not line.endswith(b"\n"):
        if len(line) >= LONGEST_LINE:
            raise ProxyProtocolError("the line of version 1 does not end")
        seen = sock.recv(LONGEST_LINE - len(line), stdlib.MSG_PEEK)
        end = seen.find(b"\n")
        line += _receive(sock, len(seen) if end < 0 else end + 1) if seen else _receive(sock, 1)
    if not line.endswith(b"\r\n"):
        raise ProxyProtocolError("the line of version 1 ends without a carriage return")
    return line[:-2]


def _first_version(line: bytes) -> Any:
    """The client a line such as PROXY TCP4 192.0.2.1 192.0.2.9 50000 443 names; None for nobody."""
    try:
        _, protocol, *words = line.decode("ascii").split(" ")
        if protocol == "UNKNOWN":
            return None
        family = {"TCP4": stdlib.AF_INET, "TCP6": stdlib.AF_INET6}[protocol]
        source, target, *ports = words
        numbers = [_port(port) for port in ports]
        for host in (source, target):
            stdlib.inet_pton(family, host)
        if len(numbers) != 2:
            raise ValueError("two ports are wanted")
    except (ValueError, KeyError, OSError):
        raise ProxyProtocolError(f"{line!r} is no line of version 1") from None
    return _socket_address(family, source, numbers[0])


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < 65536):
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _second_version(sock: socket) -> Any:
    """The client that a header of version 2 names; None for nobody."""
    command, protocol, length = struct.unpack("!BBH", _receive(sock, 4))
    if command not in (0x20, 0x21):
        raise ProxyProtocolError(f"version and command {command:#04x} are unknown")
    if length > LONGEST_REST:
        raise ProxyProtocolError(f"the header has {length} more bytes, which is too much")
    rest = _receive(sock, length)
    if command == 0x20:  # LOCAL: the proxy itself, as when it looks whether we are well
        return None
    family, size = {
        1: (stdlib.AF_INET, 4),
        2: (stdlib.AF_INET6, 16),
        3: (stdlib.AF_UNIX, 108),
    }.get(protocol >> 4, (None, 0))
    if family is None:
        return None
    if family == stdlib.AF_UNIX:
        if length < 2 * size:
            raise ProxyProtocolError(f"the header has {length} bytes, too few for its addresses")
        return rest[:size].rstrip(b"\0").decode(errors="surrogateescape")
    if length < 2 * size + 4:
        raise ProxyProtocolError(f"the header has {length} bytes, too few for its addresses")
    (port,) = struct.unpack_from("!H", rest, 2 * size)
    return _socket_address(family, stdlib.inet_ntop(family, rest[:size]), port)


def _socket_address(family: int, host: str, port: int) -> tuple[Any, ...]:
    """The address in the form that accept() gives."""
    return (host, port) if family == stdlib.AF_INET else (host, port, 0, 0)

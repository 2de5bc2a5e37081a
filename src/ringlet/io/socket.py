"""Sockets as in the standard library, except that waiting parks the tasklet and not the thread.

Every public name of the standard library's `socket` module is here. Those that neither wait nor
make sockets are the very same objects.
"""

import _socket
import socket as stdlib
from functools import partial
from typing import Any

from ringlet.io.dns import (
    getaddrinfo,
    getfqdn,
    gethostbyaddr,
    gethostbyname,
    gethostbyname_ex,
    getnameinfo,
)
from ringlet.io.racing import in_turns, race
from ringlet.io.socketobject import socket

# What differs from the standard library, and then everything.
__all__ = [
    "create_connection",
    "create_server",
    "fromfd",
    "getaddrinfo",
    "getfqdn",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "socket",
    "socketpair",
]
__all__ += [name for name in stdlib.__all__ if name not in __all__]


class _Default:
    """The timeout of create_connection that means getdefaulttimeout()."""

    def __repr__(self) -> str:
        return "getdefaulttimeout()"


_DEFAULT = _Default()


def __getattr__(name: str) -> Any:
    """What is the same there and here, such as constants."""
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def socketpair(
    family: int | None = None,
    type: int = stdlib.SOCK_STREAM,  # noqa: A002
    proto: int = 0,
) -> tuple[socket, socket]:
    """Two sockets connected to each other, Unix ones by default."""
    family = stdlib.AF_UNIX if family is None else family
    a, b = _socket.socketpair(family, type, proto)
    return socket(family, type, proto, a.detach()), socket(family, type, proto, b.detach())


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:  # noqa: A002
    """A socket for a duplicate of `fd`, which becomes non-blocking too but stays open."""
    return socket(family, type, proto, fileno=stdlib.dup(fd))


def create_connection(
    address: tuple[str | None, int],
    timeout: float | _Default | None = _DEFAULT,
    source_address: tuple[str, int] | None = None,
    *,
    all_errors: bool = False,
) -> socket:
    """Connect a TCP socket to host and port, at whichever of its addresses answers first.

    IPv6 and IPv4 addresses take turns, beginning with the family that the lookup put first; each is
    tried when the one before has failed, or after 0.25 seconds beside it (RFC 8305). `timeout`, in
    seconds, is set on the socket, and holds for each attempt. `source_address` is what to bind to
    first. If no address works raises the last one's error, or with `all_errors` an ExceptionGroup.
    """
    host, port = address
    errors: list[OSError] = []
    found = in_turns(getaddrinfo(host, port, 0, stdlib.SOCK_STREAM))
    if not found:
        raise OSError("getaddrinfo returns an empty list")
    attempts = [partial(_connect, entry, timeout, source_address) for entry in found]
    sock = race(attempts, stdlib.socket.close, errors)
    if sock is not None:
        return sock
    try:
        raise ExceptionGroup("create_connection failed", errors) if all_errors else errors[-1]
    finally:
        errors.clear()  # the errors' tracebacks hold this frame, which holds them


def _connect(
    found: tuple[Any, ...],
    timeout: float | _Default | None,
    source_address: tuple[str, int] | None,
) -> socket:
    """A socket connected to an address as getaddrinfo() returns it."""
    family, kind, proto, _, address = found
    sock = socket(family, kind, proto)
    try:
        if not isinstance(timeout, _Default):
            sock.settimeout(timeout)
        if source_address:
            sock.bind(source_address)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def create_server(
    address: tuple[Any, ...],
    *,
    family: int = stdlib.AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> socket:
    """A TCP socket that listens at `address`.

    `backlog` is how many connections the kernel holds until they are accepted, `reuse_port` lets
    several sockets share the port, `dualstack_ipv6` makes an AF_INET6 one take IPv4 as well.
    Raises ValueError if that last wish cannot be granted, and OSError naming the address.
    """
    if dualstack_ipv6 and not stdlib.has_dualstack_ipv6():
        raise ValueError("dualstack_ipv6 not supported on this platform")
    if dualstack_ipv6 and family != stdlib.AF_INET6:
        raise ValueError("dualstack_ipv6 requires AF_INET6 family")
    sock = socket(family, stdlib.SOCK_STREAM)
    try:
        sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEPORT, 1)
        if family == stdlib.AF_INET6:
            sock.setsockopt(stdlib.IPPROTO_IPV6, stdlib.IPV6_V6ONLY, int(not dualstack_ipv6))
        try:
            sock.bind(address)
        except OSError as error:
            reason = f"{error.strerror} (while attempting to bind on address {address!r})"
            raise OSError(error.errno, reason) from None
        if backlog is None:
            sock.listen()
        else:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock

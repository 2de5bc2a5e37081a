"""Making the socket a server listens on, or an error that says what to do."""

import errno
import os
import socket as stdlib
from contextlib import suppress
from typing import Any

from ringlet.io.dns import getaddrinfo
from ringlet.io.socket import socket

#: Host and port; the path of a Unix socket; a socket that listens already.
Address = tuple[Any, ...] | str | socket

#: Connections the kernel may hold for us. The first packet of one beyond that is dropped, and sent
#: again a second later: a small number makes a crowd of clients slow.
BACKLOG = 1024

ADVICE = {
    errno.EADDRINUSE: "stop the program that is using it, or choose another port (0 picks one)",
    errno.EACCES: "ports below 1024 are for the superuser; choose a higher one",
    errno.EADDRNOTAVAIL: "no interface of this machine has it; '0.0.0.0' and '::' mean all of them",
}
UNIX_ADVICE = {
    errno.EADDRINUSE: "stop the program that is using it, or remove the file if none is",
    errno.EACCES: "choose a folder this user may write to",
    errno.ENOENT: "make the folder first",
}


class Listener:
    """The listening socket of a server, and what has to go with it in the end."""

    def __init__(self, address: Address) -> None:
        """Listen at `address`. Raises OSError that names the address and says what to do."""
        #: The Unix socket's file that belongs to us, as path, device and inode.
        self._file: tuple[str, int, int] | None = None
        if isinstance(address, socket):
            self.socket = address
            if address.family != stdlib.AF_UNIX:
                _send_at_once(address)
        elif isinstance(address, str):
            self.socket = _listen(stdlib.AF_UNIX, address, address, UNIX_ADVICE)
            if not address.startswith("\0"):
                made = os.stat(address)
                self._file = address, made.st_dev, made.st_ino
        else:
            family, resolved = _resolve(address)
            self.socket = _listen(family, resolved, address, ADVICE)

        #: Where it listens, with the port it got.
        self.address: Any = self.socket.getsockname()

    def close(self) -> None:
        """Close the socket and remove its file, unless somebody has put another one there."""
        self.socket.close()
        if self._file is not None:
            path, *made = self._file
            self._file = None
            with suppress(OSError):
                found = os.stat(path)
                if [found.st_dev, found.st_ino] == made:
                    os.unlink(path)


def _resolve(address: tuple[Any, ...]) -> tuple[int, Any]:
    """The family and the numeric form of host and port. The host "" means every IPv4 interface."""
    host, port = address[:2]
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"port {port} does not exist: give 1 to 65535, or 0 for any free one")
    try:
        found = getaddrinfo(host or "0.0.0.0", port, 0, stdlib.SOCK_STREAM, 0, stdlib.AI_PASSIVE)
    except stdlib.gaierror as error:
        reason = f"cannot listen on {name_of(address)}: {error.strerror}"
        raise stdlib.gaierror(error.errno, reason) from None
    family, *_, resolved = found[0]
    return family, resolved


def _listen(family: int, resolved: Any, asked: Address, advice: dict[int, str]) -> socket:
    sock = socket(family, stdlib.SOCK_STREAM)
    try:
        if family != stdlib.AF_UNIX:
            # Connections of an earlier run that linger in TIME_WAIT do not hold the port.
            sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR, 1)
            _send_at_once(sock)
        if family == stdlib.AF_INET6:
            sock.setsockopt(stdlib.IPPROTO_IPV6, stdlib.IPV6_V6ONLY, 1)
        sock.bind(resolved)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        what = f"cannot listen on {name_of(asked)}: {(error.strerror or str(error)).lower()}"
        hint = advice.get(error.errno or 0)
        raise OSError(error.errno, f"{what}; {hint}" if hint else what) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _send_at_once(sock: socket) -> None:
    """Turn Nagle's algorithm off. Accepted connections inherit that, so it is one call for all."""
    sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)


def name_of(address: Any) -> str:
    """An address as people write it."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address) if address else "an unnamed socket"

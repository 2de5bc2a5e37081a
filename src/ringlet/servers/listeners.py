"""Making the sockets a server listens at, or an error that says what to do."""

import array
import errno
import math
import os
import socket as stdlib
import stat
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ringlet.io.dns import getaddrinfo
from ringlet.io.socket import socket
from ringlet.sched.pollers import READ

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
#: A name may stand for addresses of a kind that this machine has no interface for.
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
#: How often to choose another free port when one address of a name has it and another has not.
PORT_ATTEMPTS = 10

#: Linux's socket option for a packet filter, and one that drops what would open a connection: a
#: segment with SYN and without ACK. As struct sock_filter has it: code, two jumps, operand.
SO_ATTACH_FILTER = 26
DROP_OPENING = (
    (0x30, 0, 0, 13),  # load the byte with the flags
    (0x54, 0, 0, 0x12),  # of which SYN and ACK
    (0x15, 0, 1, 0x02),  # if only SYN is set:
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


class Listener:
    """One socket that a server listens at, and what has to go with it in the end."""

    def __init__(self, sock: socket, path: str | None = None, *, given: bool = False) -> None:
        """`path` is the file of a Unix socket that has been made for it.

        A socket that was `given` to us may be somebody else's too, who goes on with it.
        """
        self.socket = sock
        #: Where it listens, with the port it got.
        self.address: Any = sock.getsockname()
        #: The process whose it is to end, which a forked child is not; None if nobody knows.
        self._owner = None if given else os.getpid()
        #: The Unix socket's file that belongs to us, as path, device and inode.
        self._file: tuple[str, int, int] | None = None
        sock.settimeout(0.0)
        if path is not None:
            made = os.stat(path)
            self._file = path, made.st_dev, made.st_ino

    def __repr__(self) -> str:
        return f"<listener at {name_of(self.address)}>"

    def wait(self) -> None:
        """Park until there may be something to take. Raises OSError (EBADF) when it is closed."""
        self.socket._endpoint.wait(READ, math.inf, "accept")

    def refuse(self) -> bool:
        """Let nobody join those who have connected already, so that all of them can be taken.

        Closing the socket would cut off whoever connects between the last accept and the close.
        Now such a client's first packet is dropped; it tries again after the close, and is refused
        or meets a new server. Of a socket that others share this is not for us to say.

        True if those who are connecting just now will still come, a round trip later.
        """
        if self._owner != os.getpid():
            return False
        self._remove_file()
        if sys.platform == "linux" and _is_tcp(self.socket):
            program = array.array(
                "B", b"".join(struct.pack("HBBI", *line) for line in DROP_OPENING)
            )
            where, _ = program.buffer_info()
            with suppress(OSError):
                self.socket.setsockopt(
                    stdlib.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(DROP_OPENING), where)
                )
                return True
        return False

    def close(self) -> None:
        """Close the socket and remove its file, unless somebody has put another one there."""
        self.socket.close()
        if self._owner == os.getpid():
            self._remove_file()

    def _remove_file(self) -> None:
        if self._file is not None:
            path, *made = self._file
            self._file = None
            with suppress(OSError):
                found = os.stat(path)
                if [found.st_dev, found.st_ino] == made:
                    os.unlink(path)


#: Host and port; the path of a Unix socket; a socket that listens already.
Address = tuple[Any, ...] | str | stdlib.socket | Listener
#: What a server is told: where to listen, or several such places.
Addresses = Address | Sequence[Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How to listen."""

    kind: int = stdlib.SOCK_STREAM
    #: Connections the kernel holds until they are accepted. With 0 TCP sockets are only bound: that
    #: keeps the port, while other sockets that share it listen.
    backlog: int = BACKLOG
    #: Let other sockets listen at the same address; the kernel divides the connections.
    reuse_port: bool = False
    #: The permissions of a Unix socket's file; None: what the umask leaves.
    mode: int | None = None
    #: How names are looked up. The stdlib's function serves who must not start threads.
    lookup: Callable[..., list[Any]] = getaddrinfo


def listen(wanted: Addresses, how: Listening | None = None) -> list[Listener]:
    """Listen at one address or at several; a name is listened at by all addresses it has.

    Raises OSError that names the address and says what to do; then none is listened at.
    """
    how = how or Listening()
    found: list[Listener] = []
    try:
        for address in each_of(wanted):
            found += _listen_at(address, how)
    except BaseException:
        for listener in found:
            listener.close()
        raise
    return found


def each_of(wanted: Addresses) -> list[Address]:
    """The single addresses. Raises TypeError for what is none, and ValueError for none at all."""
    several = list(wanted) if isinstance(wanted, list) else [wanted]
    if not several:
        raise ValueError("an empty list of addresses: give one at least")
    for address in several:
        is_pair = isinstance(address, tuple) and len(address) in (2, 4)
        if not is_pair and not isinstance(address, str | stdlib.socket | Listener):
            raise TypeError(
                f"{address!r} is nothing to listen at: give (host, port), the path of a Unix "
                "socket, a listening socket, or a list of those"
            )
    return several  # type: ignore[return-value]


def _listen_at(address: Address, how: Listening) -> list[Listener]:
    if isinstance(address, Listener):
        return [address]
    if isinstance(address, stdlib.socket):
        return [Listener(_adopted(address), given=True)]
    if isinstance(address, str):
        return [_listen_unix(address, how)]
    for _ in range(PORT_ATTEMPTS):
        try:
            return _listen_name(address, how)
        except OSError as error:
            if address[1] != 0 or error.errno != errno.EADDRINUSE:
                raise
            last = error
    raise last


def _adopted(given: stdlib.socket) -> socket:
    """A socket that somebody else has made listen. A plain one is taken over."""
    if given.fileno() < 0:
        raise OSError(
            errno.EBADF,
            "the listening socket is closed, as a server that stops leaves the one it was given: "
            "make another server with a socket that is open",
        )
    if isinstance(given, socket):
        sock = given
    else:
        sock = socket(given.family, given.type, given.proto, given.detach())
    if _is_tcp(sock):
        _send_at_once(sock)
    return sock


def _listen_name(address: tuple[Any, ...], how: Listening) -> list[Listener]:
    """Listen at all addresses that a host has. Port 0 is the same free port at each."""
    found: list[Listener] = []
    missing: OSError | None = None
    for family, resolved in _resolve(address, how):
        host, port, *rest = resolved
        if not port and found:
            port = found[0].address[1]
        try:
            sock = _bound(family, (host, port, *rest), address, ADVICE, how)
        except OSError as error:
            if error.errno in NOT_HERE:
                missing = error
                continue
            for listener in found:
                listener.close()
            raise
        found.append(Listener(sock))
    if not found and missing is not None:
        raise missing
    return found


def _resolve(address: tuple[Any, ...], how: Listening) -> list[tuple[int, Any]]:
    """Families and numeric forms of host and port. The host "" means every IPv4 interface."""
    host, port = address[:2]
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"port {port} does not exist: give 1 to 65535, or 0 for any free one")
    try:
        found = how.lookup(host or "0.0.0.0", port, 0, how.kind, 0, stdlib.AI_PASSIVE)
    except stdlib.gaierror as error:
        reason = f"cannot listen on {name_of(address)}: {error.strerror}"
        raise stdlib.gaierror(error.errno, reason) from None
    # IPv4 first: what a server is said to listen at is what the plainest of clients can use.
    places = {(family, resolved): None for family, *_, resolved in found}
    return sorted(places, key=lambda place: place[0] != stdlib.AF_INET)


def _listen_unix(path: str, how: Listening) -> Listener:
    if path.startswith("\0"):
        return Listener(_bound(stdlib.AF_UNIX, path, path, UNIX_ADVICE, how))
    _remove_stale(path)
    return Listener(_bound(stdlib.AF_UNIX, path, path, UNIX_ADVICE, how), path)


def _remove_stale(path: str) -> None:
    """Remove a socket's file that a killed server has left behind: nobody answers there."""
    with suppress(OSError), stdlib.socket(stdlib.AF_UNIX) as probe:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            probe.setblocking(False)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)


def _bound(
    family: int, resolved: Any, asked: Address, advice: dict[int, str], how: Listening
) -> socket:
    """A socket that listens at `resolved`. Raises OSError naming what was asked for."""
    sock = socket(family, how.kind)
    is_stream = how.kind == stdlib.SOCK_STREAM
    try:
        if family == stdlib.AF_UNIX:
            if how.mode is not None:
                os.fchmod(sock.fileno(), how.mode)  # the file to be made inherits that
        elif is_stream:
            # Connections of an earlier run that linger in TIME_WAIT do not hold the port.
            sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR, 1)
            _send_at_once(sock)
        if how.reuse_port and family != stdlib.AF_UNIX:
            sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEPORT, 1)
        if family == stdlib.AF_INET6:
            sock.setsockopt(stdlib.IPPROTO_IPV6, stdlib.IPV6_V6ONLY, 1)
        sock.bind(resolved)
        if family == stdlib.AF_UNIX and how.mode is not None and not resolved.startswith("\0"):
            os.chmod(resolved, how.mode)  # what the umask has taken away from it
        if is_stream and (how.backlog or family == stdlib.AF_UNIX):
            sock.listen(how.backlog or BACKLOG)
    except OSError as error:
        sock.close()
        what = f"cannot listen on {name_of(asked)}: {(error.strerror or str(error)).lower()}"
        hint = advice.get(error.errno or 0)
        raise OSError(error.errno, f"{what}; {hint}" if hint else what) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _is_tcp(sock: socket) -> bool:
    return sock.type == stdlib.SOCK_STREAM and sock.family in (stdlib.AF_INET, stdlib.AF_INET6)


def _send_at_once(sock: socket) -> None:
    """Turn Nagle's algorithm off. Accepted connections inherit that, so it is one call for all."""
    sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)


def name_of(address: Any) -> str:
    """An address as people write it."""
    if isinstance(address, list):
        return ", ".join(map(name_of, address)) or "nowhere"
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(address, stdlib.socket):
        return name_of(address.getsockname())
    if isinstance(address, Listener):
        return name_of(address.address)
    return str(address) if address else "an unnamed socket"

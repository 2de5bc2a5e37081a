"""A server for datagrams: a tasklet per datagram runs the handler."""

import socket as stdlib
from collections.abc import Callable
from typing import Any

from ringlet.io.socket import socket
from ringlet.servers.base import Server, logger
from ringlet.servers.listeners import Addresses, Listener, Listening, name_of

#: No datagram over IP is longer.
LONGEST = 65535


class DatagramServer(Server):
    """Serves `address`: calls `handler(data, address, sock)` in a tasklet for each datagram.

    `sock` is the socket it came to, `sock.sendto(answer, address)` the way to answer. A sender by
    a Unix socket has an address only if it has bound one; else that is None.

    `address` is a pair of host and port (port 0: any that is free; a name stands for all addresses
    it has), the path of a Unix socket, a bound socket, which is then the server's, or a list of
    those. `limit` is how many handlers may be running at once: more datagrams wait in the kernel,
    which drops what it has no room for. Of a datagram longer than `size` bytes the rest is lost.
    `reuse_port` and `unix_mode` are as with StreamServer.

    An exception that comes out of the handler is logged once, to "ringlet.server". stop() has what
    has arrived already handled, too.

    The server belongs to the thread that starts it, and only tasklets of that thread use it.
    """

    _unit = "datagrams"
    _closes_first = False  # answers go out by them

    def __init__(
        self,
        address: Addresses,
        handler: Callable[[bytes, Any, socket], object],
        *,
        limit: int | None = None,
        size: int = LONGEST,
        reuse_port: bool = False,
        unix_mode: int | None = None,
    ) -> None:
        how = Listening(kind=stdlib.SOCK_DGRAM, reuse_port=reuse_port, mode=unix_mode)
        super().__init__(address, handler, limit=limit, how=how)
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size={size!r} is no number of bytes: give 1 or more")
        self._size = size

    def _take(self, listener: Listener) -> bool:
        sock = listener.socket
        try:
            data, address = sock.recvfrom(self._size, stdlib.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        key = object()
        self._spawn(key, self._handle, key, data, address, sock)
        return True

    def start(self) -> None:
        super().start()
        for listener in self._listeners or ():
            listener.socket.settimeout(None)  # who answers waits for room in the kernel

    def _handle(self, key: object, data: bytes, address: Any, sock: socket) -> None:
        """Run the handler for one datagram."""
        try:
            self._handler(data, address, sock)
        except Exception:
            logger.exception("the handler failed on a datagram from %s", name_of(address))
        finally:
            self._end(key)

"""A server for byte streams: a tasklet per connection runs the handler."""

import socket as stdlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ringlet.errors import Timeout
from ringlet.io.socket import socket
from ringlet.sched import timeout
from ringlet.servers.base import Server, logger
from ringlet.servers.listeners import BACKLOG, Addresses, Listener, Listening, name_of
from ringlet.servers.proxy_protocol import ProxyProtocol, ProxyProtocolError

if TYPE_CHECKING:
    from ssl import SSLContext
with suppress(ImportError):  # a Python without OpenSSL can serve, but nobody has a context there
    from ringlet.io.sslsocket import wrap_accepted


class StreamServer(Server):
    """Serves `address`: calls `handler(sock, address)` in a tasklet of its own for each connection.

    `address` is a pair of host and port (port 0: any that is free; a name stands for all addresses
    it has), the path of a Unix socket, a listening socket, which is then the server's, or a list of
    those. `limit` is how many connections may be open at once; more of them wait in the kernel
    until one ends.

    The connection is closed when the handler returns. An exception that comes out of the handler
    is logged once, to "ringlet.server", and ends that connection only.

    `ssl` is an ssl.SSLContext with a certificate: the connections speak TLS, and the handler gets
    the TLS socket. The handshake is part of the connection's own tasklet, and has
    `handshake_timeout` seconds.

    `proxy_protocol` says who connects through a proxy that tells, in the first bytes, whom it
    connects for: True for everybody, or networks such as ["10.0.0.0/8"], with "unix" for whoever
    comes by a Unix socket. `address` is then what the proxy says. A client elsewhere is served as
    it is. The proxy has `handshake_timeout` seconds, too.

    `backlog` is how many connections the kernel holds for the server, `reuse_port` lets other
    servers listen at the same port, and the kernel divides the connections among them. `unix_mode`
    are the permissions of a Unix socket's file, such as 0o660; by default the umask decides.

    The server belongs to the thread that starts it, and only tasklets of that thread use it.
    """

    def __init__(
        self,
        address: Addresses,
        handler: Callable[[Any, Any], object],
        *,
        ssl: "SSLContext | None" = None,
        limit: int | None = None,
        backlog: int = BACKLOG,
        reuse_port: bool = False,
        unix_mode: int | None = None,
        handshake_timeout: float | None = 10.0,
        proxy_protocol: bool | Iterable[str] = False,
    ) -> None:
        how = Listening(backlog=backlog, reuse_port=reuse_port, mode=unix_mode)
        super().__init__(address, handler, limit=limit, how=how)
        if ssl is not None and not hasattr(ssl, "wrap_socket"):
            raise TypeError(f"ssl={ssl!r} is no SSLContext: make one with ringlet.io.ssl")
        self._ssl = ssl
        self._handshake_timeout = handshake_timeout
        self._proxy = ProxyProtocol.of(proxy_protocol)
        self._has_preface = ssl is not None or self._proxy is not None

    def _take(self, listener: Listener) -> bool:
        try:
            sock, address = listener.socket.accept()
        except BlockingIOError:
            return False
        self._spawn(sock, self._handle, sock, address)
        return True

    def _handle(self, sock: socket, address: Any) -> None:
        """Run the handler for one connection."""
        wire: Any = sock
        try:
            if self._has_preface:
                wire, address = self._begin(sock, address)
            self._handler(wire, address)
        except _NoBeginning as error:
            logger.warning("%s with %s failed: %s", error, name_of(address), error.__cause__)
        except ConnectionError as error:
            logger.warning("lost the connection from %s: %s", name_of(address), error)
        except Exception:
            logger.exception("the handler failed on the connection from %s", name_of(address))
        finally:
            if wire is not sock:
                _close_tls(wire)
            self._end(sock)

    def _begin(self, sock: socket, address: Any) -> tuple[Any, Any]:
        """What comes before the handler: the proxy's word, and the TLS handshake."""
        wire: Any = sock
        what = "the proxy protocol"
        try:
            with timeout(self._handshake_timeout):
                if self._proxy is not None:
                    address = self._proxy.client_of(sock, address)
                if self._ssl is not None:
                    what = "the TLS handshake"
                    wire = wrap_accepted(sock, self._ssl, None)
        except (OSError, Timeout, ProxyProtocolError) as error:
            raise _NoBeginning(what) from error
        return wire, address

    def _end(self, key: socket) -> None:
        key.close()
        super()._end(key)


class _NoBeginning(Exception):
    """What was to come before the handler has failed; the cause says why."""


def _close_tls(wire: Any) -> None:
    """Tell the client that this was all, so that it does not take a cut for the end; and close."""
    try:
        wire.settimeout(0.0)
        if not wire.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER):
            wire.unwrap()  # else the handler wants a reset: what it has sent is not all
    except (OSError, ValueError):
        pass  # the client's own word is not waited for
    finally:
        wire.close()

"""A WSGI server: one tasklet per connection, which serves its requests in order."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

from ringlet.sched import sleep, spawn
from ringlet.servers.http_access import AccessLog, AccessSink
from ringlet.servers.http_forwarded import USUAL, TrustedProxies
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.http_parser import require_httptools
from ringlet.servers.listeners import BACKLOG, Addresses
from ringlet.servers.stream import StreamServer
from ringlet.servers.wsgi_connection import Connection, base_environ

if TYPE_CHECKING:  # a Python without OpenSSL can serve, too
    from ssl import SSLContext


class WSGIServer(StreamServer):
    """Serves the WSGI application `app` over HTTP/1.1 at `address`, one tasklet per connection.

    `address`, `ssl`, `limit`, `backlog`, `reuse_port`, `unix_mode`, `handshake_timeout` and
    `proxy_protocol` are StreamServer's. `http_limits` says what a client may cost; the default is
    HTTPLimits(). The application runs as PEP 3333 has it; where it blocks, through ringlet's own
    modules, other requests go on.

    `access_log` is where a line per request goes: a path ("-" is standard output), a text stream,
    a `logging.Logger`, or a callable that is given each Access; by default there is no such log.
    `access_format` is "common", "combined", "json", or a template such as
    "{remote_addr} {request} {status} {seconds:.3f}" with the fields of Access in braces.

    `trusted_proxies` are the addresses and networks of proxies in front of the server, "unix" for
    those that come through a Unix socket. Of what they send, `forwarded_headers` say who the client
    is; from others these headers are removed. `multiprocess` is the environ's "wsgi.multiprocess".

    What the application raises is logged to "ringlet.server" and answered with 500, or cuts the
    connection if the client has seen a part of the response.

    Raises ImportError if httptools, the extra `ringlet[server]`, is missing, TypeError if `app`
    cannot be called or `access_log` not written to, ValueError for a format, proxy or header that
    makes no sense, and OSError for an access log that cannot be opened.
    """

    def __init__(
        self,
        address: Addresses,
        app: WSGIApplication,
        *,
        ssl: "SSLContext | None" = None,
        limit: int | None = None,
        backlog: int = BACKLOG,
        reuse_port: bool = False,
        unix_mode: int | None = None,
        handshake_timeout: float | None = 10.0,
        proxy_protocol: bool | Iterable[str] = False,
        http_limits: HTTPLimits | None = None,
        access_log: AccessLog | None = None,
        access_format: str = "combined",
        trusted_proxies: Iterable[str] = (),
        forwarded_headers: Iterable[str] = USUAL,
        multiprocess: bool = False,
    ) -> None:
        require_httptools(type(self).__name__)
        if not callable(app):
            raise TypeError(f"{app!r} is no WSGI application: it cannot be called")
        super().__init__(
            address,
            self._serve,
            ssl=ssl,
            limit=limit,
            backlog=backlog,
            reuse_port=reuse_port,
            unix_mode=unix_mode,
            handshake_timeout=handshake_timeout,
            proxy_protocol=proxy_protocol,
        )
        self._app = app
        self._limits = HTTPLimits() if http_limits is None else http_limits
        self._multiprocess = multiprocess
        trust = TrustedProxies(trusted_proxies, forwarded_headers)
        self._trust = trust if trust else None
        self._access = None if access_log is None else AccessSink(access_log, access_format)
        #: Those being served.
        self._clients: set[Connection] = set()

    def stop(self, timeout: float | None = None) -> None:
        """Stop as StreamServer does; connections end with the request they are at.

        A connection without one may still begin one for `http_limits.closing_timeout` seconds,
        because it could be on its way already.
        """
        self._stopping = True
        for connection in list(self._clients):
            connection.finish()
        closer = spawn(self._end_idle)
        closer.name = "closer of idle connections"
        try:
            super().stop(timeout)
        finally:
            closer.kill(wait=False)

    def _end_idle(self) -> None:
        sleep(self._limits.closing_timeout)
        for connection in list(self._clients):
            connection.end_if_idle()

    def _serve(self, sock: Any, address: Any) -> None:
        """Serve one connection."""
        scheme = "http" if self._ssl is None else "https"
        server, client = _host_and_port(sock.getsockname()), _host_and_port(address)
        base = base_environ(scheme, server, client, self._multiprocess)
        connection = Connection(sock, self._app, self._limits, base, self._access, self._trust)
        if self._stopping:
            connection.finish()
        self._clients.add(connection)
        try:
            connection.serve()
        finally:
            self._clients.discard(connection)


def _host_and_port(address: Any) -> tuple[str, str]:
    """Host and port for the environ. A Unix socket has neither; WSGI wants them all the same."""
    if isinstance(address, tuple):
        return address[0], str(address[1])
    return "localhost", ""

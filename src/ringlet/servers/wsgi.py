"""A WSGI server: one tasklet per connection, which serves its requests in order."""

import logging
import sys
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper

from ringlet.sched import schedule
from ringlet.servers.http_body import NO_BODY
from ringlet.servers.http_head import error_response
from ringlet.servers.http_limits import HTTPLimits, RequestError
from ringlet.servers.http_parser import Request, require_httptools
from ringlet.servers.http_reader import RequestReader
from ringlet.servers.http_response import Response
from ringlet.servers.http_wire import StreamSocket, Wire
from ringlet.servers.listeners import Address
from ringlet.servers.stream import StreamServer

logger = logging.getLogger("ringlet.server")


class BlockFileWrapper(FileWrapper):
    """`wsgi.file_wrapper`: the blocks of a file, 64 KiB each unless told otherwise."""

    def __init__(self, filelike: Any, blksize: int = 65536) -> None:
        super().__init__(filelike, blksize)


def base_environ(scheme: str, server: tuple[str, str], client: tuple[str, str]) -> WSGIEnvironment:
    """The environ entries that all requests of a connection have in common.

    `server` and `client` are host and port.
    """
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": server[1],
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "ringlet",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": client[1],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": NO_BODY,
        # Reading to the end is safe even where Content-Length is not given.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        # Tasklets take turns inside the application whenever it blocks, as threads would.
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": BlockFileWrapper,
    }


class Connection:
    """Serves one client until it leaves, is refused, or was idle for too long."""

    __slots__ = ("_app", "_busy", "_reader", "_wire")

    def __init__(
        self, sock: StreamSocket, app: WSGIApplication, limits: HTTPLimits, base: WSGIEnvironment
    ) -> None:
        self._app = app
        self._wire = Wire(sock, limits.io_timeout)
        self._reader = RequestReader(self._wire, limits, base)
        #: A request has arrived and is not answered to the end.
        self._busy = False

    def serve(self) -> None:
        """Answer requests until the connection ends. The socket is left for the caller to close.

        What goes wrong with the connection ends it quietly; what the application raises is
        logged and does not come out here, except for BaseExceptions such as KeyboardInterrupt.
        """
        reader = self._reader
        try:
            while (request := reader.next()) is not None:
                self._busy = True
                if not self._answer(request):
                    break
                self._busy = False
                if self._wire.closing:
                    break
                if reader.queue:
                    # A client that sends a hundred requests at once has them answered in a
                    # hundred turns, or everybody else would wait for all of them.
                    schedule()
        except RequestError as error:
            self._refuse(error)
        except OSError as error:
            logger.debug("connection lost: %s", error)
        finally:
            reader.close()

    def finish(self) -> None:
        """Let the request under way end, if there is one, and then the connection."""
        self._wire.closing = True
        if not self._busy:
            self._wire.end_input()

    def _answer(self, request: Request) -> bool:
        """Answer one request; whether the connection can take another."""
        response = Response(self._wire, self._reader, request)
        try:
            result = self._app(request.environ, response.start_response)
            try:
                response.send(result)
            finally:
                if hasattr(result, "close"):
                    result.close()
        except (Exception, SystemExit) as error:
            self._fail(request, response, error)
            return False
        reader = self._reader
        complete = request.body.complete
        if response.keep_alive and (complete or reader.drain(request.body)):
            return True
        if not complete or reader.queue or reader.failure is not None:
            self._wire.linger()
        return False

    def _fail(self, request: Request, response: Response, error: BaseException) -> None:
        """The application raised `error`. Tell the client if it saw nothing yet, else cut it off.

        An error that only passes on what the client did is no error of the application's.
        """
        if self._wire.lost and isinstance(error, OSError):
            logger.debug("connection lost: %s", error)
            return
        refusal = self._reader.failure
        if refusal is None or request.body.complete or not isinstance(error, OSError):
            method, target = (request.environ.get(key) for key in ("REQUEST_METHOD", "RAW_URI"))
            logger.error("the application failed on %s %s", method, target, exc_info=error)
            refusal = RequestError(500, "the application failed")
        if not response.head_sent:
            self._refuse(refusal)
        elif not response.complete:
            self._wire.abort()

    def _refuse(self, error: RequestError) -> None:
        if self._wire.lost:
            return
        try:
            self._wire.send(error_response(error))
        except OSError as lost:
            logger.debug("connection lost: %s", lost)
        else:
            self._wire.linger()


class WSGIServer(StreamServer):
    """Serves the WSGI application `app` over HTTP/1.1 at `address`, one tasklet per connection.

    `address` and `limit` are StreamServer's. `http_limits` says what a client may cost;
    the default is HTTPLimits(). The application runs as PEP 3333 has it; where it blocks, through
    ringlet's own modules, other requests go on.

    What the application raises is logged to "ringlet.server" and answered with 500, or cuts the
    connection if the client has seen a part of the response.

    Raises ImportError if httptools, the extra `ringlet[server]`, is missing, and TypeError if
    `app` cannot be called.
    """

    def __init__(
        self,
        address: Address,
        app: WSGIApplication,
        *,
        limit: int | None = None,
        http_limits: HTTPLimits | None = None,
    ) -> None:
        require_httptools(type(self).__name__)
        if not callable(app):
            raise TypeError(f"{app!r} is no WSGI application: it cannot be called")
        super().__init__(address, self._serve, limit=limit)
        self._app = app
        self._limits = HTTPLimits() if http_limits is None else http_limits
        #: Those being served.
        self._clients: set[Connection] = set()
        self._stopping = False

    def start(self) -> None:
        self._stopping = False
        super().start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop as StreamServer does; connections end with the request they are at, if any."""
        self._stopping = True
        for connection in self._clients:
            connection.finish()
        super().stop(timeout)

    def _serve(self, sock: StreamSocket, address: Any) -> None:
        """Serve one connection."""
        if self._stopping:
            return  # accepted, but its turn came too late
        base = base_environ("http", _host_and_port(self.address), _host_and_port(address))
        connection = Connection(sock, self._app, self._limits, base)
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

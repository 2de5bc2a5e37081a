"""A WSGI server: one tasklet per connection, which serves its requests in order."""

import logging
import sys
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper

from ringlet.servers.http_body import NO_BODY
from ringlet.servers.http_limits import HTTPLimits, RequestError
from ringlet.servers.http_parser import Request
from ringlet.servers.http_reader import RequestReader
from ringlet.servers.http_response import Response, error_response
from ringlet.servers.http_wire import StreamSocket, Wire

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
        if response.keep_alive and self._reader.drain(request.body):
            return True
        if not request.body.complete or self._reader.has_unread_input:
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

"""One connection of the WSGI server: its requests, answered in order by the application."""

import logging
import sys
from collections.abc import Callable
from time import monotonic, time
from wsgiref.types import WSGIApplication, WSGIEnvironment

from ringlet.errors import Timeout
from ringlet.sched import schedule, timeout
from ringlet.servers.http_access import Access
from ringlet.servers.http_body import NO_BODY
from ringlet.servers.http_file import BlockFileWrapper
from ringlet.servers.http_forwarded import TrustedProxies
from ringlet.servers.http_head import error_response
from ringlet.servers.http_limits import HTTPLimits, RequestError
from ringlet.servers.http_parser import Request
from ringlet.servers.http_reader import RequestReader
from ringlet.servers.http_response import Response
from ringlet.servers.http_upgrade import Upgrade
from ringlet.servers.http_wire import StreamSocket, Wire

logger = logging.getLogger("ringlet.server")


def base_environ(
    scheme: str, server: tuple[str, str], client: tuple[str, str], multiprocess: bool = False
) -> WSGIEnvironment:
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
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": BlockFileWrapper,
    }


class Connection:
    """Serves one client until it leaves, is refused, or was idle for too long."""

    __slots__ = ("_access", "_app", "_base", "_limits", "_reader", "_trust", "_upgrade", "_wire")

    def __init__(
        self,
        sock: StreamSocket,
        app: WSGIApplication,
        limits: HTTPLimits,
        base: WSGIEnvironment,
        access: Callable[[Access], object] | None = None,
        trust: TrustedProxies | None = None,
    ) -> None:
        self._app = app
        self._limits = limits
        self._base = base
        self._access = access
        self._trust = trust
        self._wire = Wire(sock, limits.io_timeout)
        self._reader = RequestReader(self._wire, limits, base)
        #: What the request under way was offered, if it asked for an upgrade.
        self._upgrade: Upgrade | None = None

    def serve(self) -> None:
        """Answer requests until the connection ends. The socket is left for the caller to close.

        What goes wrong with the connection ends it quietly; what the application raises is
        logged and does not come out here, except for BaseExceptions such as KeyboardInterrupt.
        """
        reader = self._reader
        try:
            while (request := reader.next()) is not None:
                if not self._answer(request):
                    break
                if reader.queue or request.upgrade:
                    # A client that sends a hundred requests at once has them answered in a
                    # hundred turns, or everybody else would wait for all of them.
                    schedule()
        except RequestError as error:
            if self._access is not None:
                self._access(
                    Access(remote_addr=self._base["REMOTE_ADDR"], began=time(), status=error.status)
                )
            if self._refuse(error):
                self._wire.linger()
        except OSError as error:
            logger.debug("connection lost: %s", error)
        finally:
            reader.close()

    def finish(self) -> None:
        """Make the response under way, or the next one, the last."""
        self._wire.closing = True
        if self._upgrade is not None and self._upgrade.upgraded is not None:
            self._upgrade.upgraded.stop()

    def end_if_idle(self) -> None:
        """End the connection unless a request is under way, or has begun to arrive."""
        if self._reader.idle:
            self._wire.end_input()

    def _answer(self, request: Request) -> bool:
        """Answer one request; whether the connection can take another."""
        response = Response(self._wire, self._reader, request)
        access = None
        refused: bool | None = None
        try:
            try:
                if self._access is not None:
                    access = self._note(request)
                if self._trust is not None:
                    self._trust.apply(request.environ)
                    if access is not None:
                        access.remote_addr = request.environ["REMOTE_ADDR"]
                if request.upgrade:
                    self._upgrade = self._offer(request, response)
                if self._limits.request_timeout is None:
                    self._respond(request, response)
                else:
                    self._respond_in_time(request, response, self._limits.request_timeout)
            except (Exception, SystemExit) as error:
                refused = self._fail(request, response, error)
        except BaseException:
            # The tasklet is being killed. Nobody may take what the client has for the whole.
            if response.head_sent and not (response.complete or response.upgraded):
                self._wire.abort()
            raise
        finally:
            if request.upgrade:
                request.environ.pop("ringlet.upgrade", None)
                self._upgrade = None
            if access is not None:
                self._log(access, request, response)
        if refused is not None:
            if refused:
                self._wire.linger()
            return False
        reader = self._reader
        complete = request.body.complete
        if self._wire.lost:
            return False
        if response.keep_alive and (complete or reader.drain(request.body)):
            return True
        if not complete or response.upgraded or reader.unread:
            self._wire.linger()
        return False

    def _offer(self, request: Request, response: Response) -> Upgrade:
        """Let the application take the connection over, if it wants to."""
        environ = request.environ
        upgrade = Upgrade(
            self._wire, response, self._reader.take_held, environ.get("HTTP_UPGRADE", "")
        )
        environ["ringlet.upgrade"] = upgrade
        return upgrade

    def _respond(self, request: Request, response: Response) -> None:
        """Let the application answer, and close what it returned."""
        result = self._app(request.environ, response.start_response)
        try:
            response.send(result)
        finally:
            if hasattr(result, "close"):
                result.close()

    def _respond_in_time(self, request: Request, response: Response, seconds: float) -> None:
        """The same with no more time than is left of a request's."""
        scope = timeout(seconds - (monotonic() - self._reader.began))
        if request.upgrade and self._upgrade is not None:
            self._upgrade.scope = scope
        try:
            with scope:
                self._respond(request, response)
        except Timeout as late:
            if late.scope is not scope:
                raise
            if not request.body.complete:
                raise RequestError(408, "the request took too long") from late
            method, target = (request.environ.get(key) for key in ("REQUEST_METHOD", "RAW_URI"))
            logger.error("%s %s took longer than %g s and was ended", method, target, seconds)
            raise RequestError(503, "the request took too long") from late

    def _note(self, request: Request) -> Access:
        """What the access log has to know before the application can change the environ."""
        environ = request.environ
        return Access(
            remote_addr=environ["REMOTE_ADDR"],
            began=time(),
            seconds=-monotonic(),
            method=environ["REQUEST_METHOD"],
            target=environ["RAW_URI"],
            protocol=environ["SERVER_PROTOCOL"],
            host=environ.get("HTTP_HOST", ""),
            referer=environ.get("HTTP_REFERER", ""),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
        )

    def _log(self, access: Access, request: Request, response: Response) -> None:
        """Complete what `_note` began, and log it."""
        access.seconds += monotonic()
        access.remote_user = str(request.environ.get("REMOTE_USER", ""))
        if response.head_sent:
            access.status = int(response.status[:3])
        access.sent = response.sent
        access.complete = response.complete
        assert self._access is not None  # or there were nothing to complete
        self._access(access)

    def _fail(self, request: Request, response: Response, error: BaseException) -> bool:
        """The application raised `error`. Tell the client if it saw nothing yet, else cut it off.

        Returns whether it was told. An error that only passes on what the client did is no error
        of the application's.
        """
        if self._wire.lost and isinstance(error, OSError):
            logger.debug("connection lost: %s", error)
            return False
        refusal: RequestError | None
        if isinstance(error, RequestError):
            refusal = error
        else:
            refusal = self._reader.failure
            if refusal is None or request.body.complete or not isinstance(error, OSError):
                method, target = (request.environ.get(key) for key in ("REQUEST_METHOD", "RAW_URI"))
                logger.error("the application failed on %s %s", method, target, exc_info=error)
                refusal = RequestError(500, "the application failed")
        if not response.head_sent:
            response.status = str(refusal.status)
            response.head_sent = response.complete = self._refuse(refusal, response.is_head)
            return response.complete
        if response.upgraded:
            return not self._wire.lost  # what to tell is a matter of the other protocol
        if not response.complete:
            self._wire.abort()
        return False

    def _refuse(self, error: RequestError, is_head: bool = False) -> bool:
        """Send the answer to a request that is refused; whether that went out."""
        if self._wire.lost:
            return False
        try:
            self._wire.send(error_response(error, is_head))
        except OSError as lost:
            logger.debug("connection lost: %s", lost)
            return False
        return True

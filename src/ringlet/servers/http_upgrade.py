"""Leaving HTTP: a connection that an application takes over for another protocol."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from ringlet.sched import timeout as time_limit
from ringlet.servers.http_response import Response
from ringlet.servers.http_wire import Wire

logger = logging.getLogger("ringlet.server")


class Upgraded:
    """A connection that has left HTTP: bytes both ways, until the application returns.

    One tasklet may receive while another sends. No time limits hold but those given here and, for
    each write, the server's `io_timeout`.
    """

    __slots__ = ("_held", "_response", "_wire", "on_stop")

    def __init__(self, wire: Wire, response: Response, held: bytes) -> None:
        self._wire = wire
        self._response = response
        #: What came in one read with the request, after its head.
        self._held = held
        #: Called, without arguments, when the server begins to stop; it must not block. None: the
        #: input then ends, so that `receive` returns b"".
        self.on_stop: Callable[[], object] | None = None

    def receive(self, timeout: float | None = None) -> bytes:
        """What has come in, waiting for it if need be; b"" once the client has ended its side.

        Raises TimeoutError after `timeout` seconds, and OSError when the connection is lost.
        """
        if self._held:
            data, self._held = self._held, b""
            return data
        came: bytes | None = None
        with time_limit(timeout):
            while came is None:
                # The socket has one time limit, and another tasklet may be in the midst of sending.
                with suppress(TimeoutError):
                    came = self._wire.receive(self._wire.write_timeout)
        assert came is not None
        return came

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises OSError when the connection is lost.

        Parts of what two tasklets send at once may mix, so they have to take turns.
        """
        self._wire.send(data)
        self._response.sent += len(data)

    def stop(self) -> None:
        """Called by the server when it begins to stop."""
        if self.on_stop is None:
            self._wire.end_input()
            return
        try:
            self.on_stop()
        except Exception:
            logger.exception("what was to be done when the server stops has failed")


class Upgrade:
    """`environ["ringlet.upgrade"]`, there when a client asks to go on in another protocol.

    An application that does not call it answers as ever, and the connection stays with HTTP.
    """

    __slots__ = ("_offered", "_response", "_take_held", "_wire", "scope", "upgraded")

    def __init__(
        self, wire: Wire, response: Response, take_held: Callable[[], bytes], offered: str
    ) -> None:
        self._wire = wire
        self._response = response
        self._take_held = take_held
        self._offered = {name.strip().lower() for name in offered.split(",")}
        #: The limit on the request's time, which ends with the request.
        self.scope: time_limit | None = None
        #: The connection, once it was taken over.
        self.upgraded: Upgraded | None = None

    def __call__(self, protocol: str, headers: Iterable[tuple[str, str]] = ()) -> Upgraded:
        """Answer "101 Switching Protocols" with `headers` too, and return the connection.

        `protocol` is one of those in the request's Upgrade header. When the application returns
        the connection ends; it returns an empty list and does not call start_response().

        Raises ValueError for a protocol that was not asked for or a header that cannot be sent,
        RuntimeError after start_response() and when called again, OSError when the connection is
        lost.
        """
        if protocol.lower() not in self._offered:
            raise ValueError(
                f"the client did not ask for {protocol!r} but for {sorted(self._offered)}"
            )
        self._response.switch_protocols(protocol, list(headers))
        if self.scope is not None:
            self.scope.reschedule(None)
        self.upgraded = Upgraded(self._wire, self._response, self._take_held())
        return self.upgraded

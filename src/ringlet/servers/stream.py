"""A server for byte streams: one tasklet accepts, and one per connection runs the handler."""

import errno
import logging
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.channels import Channel
from ringlet.io.socket import socket
from ringlet.sched import Tasklet, current, schedule, sleep, spawn
from ringlet.servers.listeners import Address, Listener, name_of

logger = logging.getLogger("ringlet.server")

#: Connections accepted in a row before those accepted get their turn.
ACCEPTS_PER_TURN = 64
#: The process or the machine has run out of something that a connection which ends gives back.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Seconds to wait then.
EXHAUSTED_PAUSE = 0.1
#: The listening socket was closed by somebody else, or shut down.
LISTENER_LOST = (errno.EBADF, errno.EINVAL)
#: Seconds that killed handlers have for their `finally` blocks.
LAST_SECONDS = 1.0


class StreamServer:
    """Serves `address`: calls `handler(sock, address)` in a tasklet of its own for each connection.

    `address` is a pair of host and port (port 0: any that is free), the path of a Unix socket, or
    a listening `ringlet.io.socket.socket`. `limit` is how many connections may be open at once;
    more of them wait in the kernel until one ends.

    The connection is closed when the handler returns. An exception that comes out of the handler
    is logged once, to "ringlet.server", and ends that connection only.

    The server belongs to the thread that starts it, and only tasklets of that thread use it.
    """

    def __init__(
        self, address: Address, handler: Callable[[Any, Any], object], *, limit: int | None = None
    ) -> None:
        if not callable(handler):
            raise TypeError(f"{handler!r} is no handler: it cannot be called")
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit} would let nobody in: give 1 or more, or None")
        self._wanted = address
        self._handler = handler
        self._handler_name = getattr(handler, "__qualname__", None) or str(handler)
        #: Holds a value for each connection, as many as are allowed; None: any number is.
        self._places: Channel[None] | None = None if limit is None else Channel(limit)
        #: None while the server is stopped.
        self._listener: Listener | None = None
        self._acceptor: Tasklet[Any] | None = None
        #: Open connections and who handles them.
        self._connections: dict[socket, Tasklet[Any]] = {}
        #: Closed when the server has stopped.
        self._stopped: Channel[None] = Channel()

    def __repr__(self) -> str:
        state = "stopped" if self._listener is None else f"{len(self._connections)} connections"
        return f"<{type(self).__name__} at {name_of(self.address)}: {state}>"

    @property
    def address(self) -> Any:
        """Where the server listens, with the port it got; while stopped, what it was given."""
        return self._wanted if self._listener is None else self._listener.address

    def start(self) -> None:
        """Listen and accept connections from now on. Does nothing if the server is running.

        Raises OSError, naming the address and what to do, when it cannot be used.
        """
        if self._listener is not None:
            return
        self._listener = Listener(self._wanted)
        self._stopped = Channel()
        self._acceptor = spawn(self._accept, self._listener.socket)
        self._acceptor.name = f"acceptor at {name_of(self.address)}"

    def serve_forever(self) -> None:
        """Serve until somebody stops the server, and return once it has stopped.

        Starts the server first if need be. An exception that arrives here meanwhile, such as
        KeyboardInterrupt, stops it at once.
        """
        self.start()
        try:
            for _ in self._stopped:
                pass
        finally:
            self.stop(0)

    def stop(self, timeout: float | None = None) -> None:
        """Accept no more, give handlers `timeout` seconds to return, then kill them.

        None waits for as long as they take, 0 not at all. Harmless when the server has stopped.
        While somebody else is stopping it, the shorter time holds. A handler that calls this is
        not waited for.
        """
        listener = self._listener
        if listener is None:
            return
        if self._acceptor is not None:
            self._acceptor.kill()
        listener.close()
        try:
            _join_all(self._handlers(), timeout)
        finally:
            self._kill_handlers()
            if self._listener is listener:  # nobody else was faster
                self._listener = None
                self._stopped.close()

    def _handlers(self) -> list[Tasklet[Any]]:
        """Those who handle connections, without the one that asks."""
        asking = current()
        return [tasklet for tasklet in self._connections.values() if tasklet is not asking]

    def _kill_handlers(self) -> None:
        for tasklet in self._handlers():
            tasklet.kill(wait=False)
        _join_all(self._handlers(), LAST_SECONDS)
        for sock, tasklet in list(self._connections.items()):
            if tasklet.state == "finished":  # killed before its first step
                self._end(sock)
        if survivors := self._handlers():
            logger.warning("killed, but still running: %s", survivors)

    def _accept(self, listener: socket) -> None:
        """Accept connections until killed, or until the listening socket is lost."""
        complained = False
        while True:
            for _ in range(ACCEPTS_PER_TURN):
                if self._places is not None:
                    self._places.send(None)  # waits while all are taken
                try:
                    sock, address = listener.accept()
                except OSError as error:
                    self._give_place()
                    if error.errno in LISTENER_LOST:
                        logger.error("no more connections at %s: %s", name_of(self.address), error)
                        return
                    if error.errno in EXHAUSTED:
                        if not complained:
                            logger.error("cannot accept for now: %s; limit= can help", error)
                        complained = True
                        sleep(EXHAUSTED_PAUSE)
                    continue  # what else accept says concerns a connection that is lost already
                complained = False
                handling = self._connections[sock] = spawn(self._handle, sock, address)
                handling.name = self._handler_name
            schedule()

    def _handle(self, sock: socket, address: Any) -> None:
        """Run the handler for one connection."""
        try:
            self._handler(sock, address)
        except ConnectionError as error:
            logger.warning("lost the connection from %s: %s", name_of(address), error)
        except Exception:
            logger.exception("the handler failed on the connection from %s", name_of(address))
        finally:
            self._end(sock)

    def _end(self, sock: socket) -> None:
        sock.close()
        del self._connections[sock]
        self._give_place()

    def _give_place(self) -> None:
        if self._places is not None:
            self._places.receive_nowait()


def _join_all(tasklets: list[Tasklet[Any]], timeout: float | None) -> None:
    """Wait until all have ended, but no longer than `timeout` seconds; None: without limit."""
    clock = _core.hub().clock
    deadline = None if timeout is None else clock.time() + timeout
    for tasklet in tasklets:
        tasklet.join(None if deadline is None else deadline - clock.time())

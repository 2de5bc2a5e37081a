"""What all servers have in common: where they listen, how many they serve, and their end."""

import errno
import logging
from collections.abc import Callable
from typing import Any

from ringlet import _core
from ringlet.channels import Channel
from ringlet.sched import Tasklet, current, schedule, sleep, spawn
from ringlet.servers.listeners import Addresses, Listener, Listening, each_of, listen, name_of
from ringlet.sync import Event

logger = logging.getLogger("ringlet.server")

#: The process or the machine has run out of something that a connection which ends gives back.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Seconds to wait then.
EXHAUSTED_PAUSE = 0.1
#: The listening socket was closed by somebody else, or shut down.
LISTENER_LOST = (errno.EBADF, errno.EINVAL)
#: Seconds that those who are connecting when the server stops have to arrive: a round trip.
ARRIVAL = 0.05
#: Seconds that killed handlers have for their `finally` blocks.
LAST_SECONDS = 1.0


class Server:
    """Takes what comes at its listeners, and runs a tasklet for each.

    Subclasses say what that is: `_take`. The server belongs to the thread that starts it, and only
    tasklets of that thread use it.
    """

    #: What is served, in the plural.
    _unit = "connections"
    #: Whether handlers can do without the listening sockets, so that those are closed first.
    _closes_first = True
    #: What is taken in a row before what was taken gets its turn. Processes that share a listener
    #: take less at a time, or the first would have everything.
    takes_per_turn = 64

    def __init__(
        self,
        address: Addresses,
        handler: Callable[..., object],
        *,
        limit: int | None,
        how: Listening,
    ) -> None:
        each_of(address)
        if not callable(handler):
            raise TypeError(f"{handler!r} is no handler: it cannot be called")
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
            raise TypeError(f"limit={limit!r} is no number: give 1 or more, or None")
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit} would let nobody in: give 1 or more, or None")
        self._wanted = address
        self._how = how
        self._handler = handler
        self._handler_name = getattr(handler, "__qualname__", None) or str(handler)
        self._limit = limit
        #: Set whenever one of those who are served has ended.
        self._room = Event()
        #: None while the server is stopped.
        self._listeners: list[Listener] | None = None
        self._takers: list[Tasklet[Any]] = []
        #: Whom it serves, and who does it.
        self._served: dict[Any, Tasklet[Any]] = {}
        self._stopping = False
        #: It was said that something has run out, which still holds.
        self._complained = False
        #: Closed when the server has stopped.
        self._stopped: Channel[None] = Channel()

    def __repr__(self) -> str:
        state = "stopped" if self._listeners is None else f"{len(self._served)} {self._unit}"
        return f"<{type(self).__name__} at {name_of(self.addresses)}: {state}>"

    @property
    def address(self) -> Any:
        """Where the server listens, with the port it got; while stopped, what it was given.

        The first of several.
        """
        return self.addresses[0]

    @property
    def addresses(self) -> list[Any]:
        """All addresses at which the server listens; a name may have several."""
        if self._listeners is None:
            return list(each_of(self._wanted))
        return [listener.address for listener in self._listeners]

    @property
    def stopping(self) -> bool:
        """Whether stop() has been called: what runs may end, and nothing new begins."""
        return self._stopping

    def start(self) -> None:
        """Listen and serve from now on. Does nothing if the server is running.

        Raises OSError, naming the address and what to do, when it cannot be used.
        """
        if self._listeners is not None:
            return
        self._listeners = listen(self._wanted, self._how)
        self._stopping = False
        self._stopped = Channel()
        for listener in self._listeners:
            taker = spawn(self._take_all, listener)
            taker.name = f"acceptor at {name_of(listener.address)}"
            self._takers.append(taker)

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
        """Let nobody else in, give handlers `timeout` seconds to return, then kill them.

        Whoever has connected already is served, too: those are taken to the last before the
        sockets are closed. None waits for as long as it takes; 0 not at all, and then nobody else
        is taken either. Harmless when the server has stopped. While somebody else is stopping it,
        the shorter time holds. A handler that calls this is not waited for.
        """
        listeners = self._listeners
        if listeners is None:
            return
        deadline = None if timeout is None else _now() + timeout
        self._stopping = True
        patient = timeout is None or timeout > 0
        try:
            some_will_come = False
            if patient:
                for listener in listeners:
                    some_will_come |= listener.refuse()
            if some_will_come:
                sleep(ARRIVAL if timeout is None else min(ARRIVAL, timeout))
            for taker in self._takers:
                taker.kill()
            self._takers.clear()
            if patient:
                for listener in listeners:
                    self._take_the_rest(listener, deadline)
            if self._closes_first:
                for listener in listeners:
                    listener.close()
            _join_all(self._handlers(), deadline)
        finally:
            self._kill_handlers()
            for listener in listeners:
                listener.close()
            if self._listeners is listeners:  # nobody else was faster
                self._listeners = None
                self._stopped.close()

    def _handlers(self) -> list[Tasklet[Any]]:
        """Those who serve somebody, without the one that asks."""
        asking = current()
        return [tasklet for tasklet in self._served.values() if tasklet is not asking]

    def _kill_handlers(self) -> None:
        for tasklet in self._handlers():
            tasklet.kill(wait=False)
        _join_all(self._handlers(), _now() + LAST_SECONDS)
        for key, tasklet in list(self._served.items()):
            if tasklet.finished:  # killed before its first step
                self._end(key)
        if survivors := self._handlers():
            logger.warning("killed, but still running: %s", survivors)

    # --- taking ---------------------------------------------------------------------------------

    def _take_all(self, listener: Listener) -> None:
        """Take what comes until killed, or until the listening socket is lost."""
        while True:
            for _ in range(self.takes_per_turn):
                while self._is_full:
                    self._room.clear()
                    self._room.wait()
                try:
                    if not self._take_one(listener):
                        listener.wait()
                except OSError as error:
                    if error.errno not in LISTENER_LOST:
                        raise
                    logger.error("no more %s at %s: %s", self._unit, name_of(self.address), error)
                    return
            schedule()

    def _take_the_rest(self, listener: Listener, deadline: float | None) -> None:
        """Take those who wait at a listener to the last, as there is room, until `deadline`."""
        # Of a listener that others share too there would be no end.
        for _ in range(self._how.backlog + 1):
            if deadline is not None and _now() >= deadline:
                return
            while self._is_full:
                self._room.clear()
                left = None if deadline is None else deadline - _now()
                if not self._room.wait(left):
                    return
            try:
                if not self._take_one(listener):
                    return
            except OSError as error:
                if error.errno not in LISTENER_LOST:  # else somebody was faster
                    raise
                return

    @property
    def _is_full(self) -> bool:
        return self._limit is not None and len(self._served) >= self._limit

    def _take_one(self, listener: Listener) -> bool:
        """Take one, if there is one. Raises OSError if the listening socket is lost."""
        try:
            taken = self._take(listener)
        except OSError as error:
            if error.errno in LISTENER_LOST:
                raise
            if error.errno in EXHAUSTED:
                if not self._complained:
                    logger.error("cannot accept for now: %s; limit= can help", error)
                self._complained = True
                sleep(EXHAUSTED_PAUSE)
            return True  # what else accept says concerns a connection that is lost already
        if not taken:
            self._complained = False
        return taken

    def _take(self, listener: Listener) -> bool:
        """Take one and spawn its handler; False when there is none. Never waits."""
        raise NotImplementedError

    def _spawn(self, key: Any, f: Callable[..., object], *args: Any) -> None:
        """Serve `key` by calling f(*args), which calls _end(key), in a tasklet of its own."""
        handling = self._served[key] = spawn(f, *args)
        handling.name = self._handler_name
        # It may be killed before its first step.
        handling.add_done_callback(_End(self, key))

    def _end(self, key: Any) -> None:
        """`key` is not served any more. Harmless when repeated."""
        if self._served.pop(key, None) is not None:
            self._room.set()


class _End:
    """Tells a server that it serves `key` no more. Each connection has one; a closure is larger."""

    __slots__ = ("_key", "_server")

    def __init__(self, server: Server, key: Any) -> None:
        self._server = server
        self._key = key

    def __call__(self, _: Tasklet[Any]) -> None:
        self._server._end(self._key)


def _now() -> float:
    """The time by the hub's clock, in seconds."""
    now: float = _core.hub().clock.time()
    return now


def _join_all(tasklets: list[Tasklet[Any]], deadline: float | None) -> None:
    """Wait until all have ended, but no longer than until `deadline`; None: without limit."""
    for tasklet in tasklets:
        tasklet.join(None if deadline is None else deadline - _now())

"""The class `ringlet.io.socket.socket`."""

import _socket
import os
import socket as stdlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN
from typing import Any, TypeVar

from ringlet import _core
from ringlet._core import Endpoint, install_socket_methods
from ringlet.io.dns import resolve
from ringlet.io.sendfile import send_file
from ringlet.sched import sleep
from ringlet.sched.pollers import READ, WRITE

R = TypeVar("R")

#: Receiving with one of these never waits, whatever the timeout.
NO_WAIT = stdlib.MSG_DONTWAIT | stdlib.MSG_OOB | stdlib.MSG_ERRQUEUE

#: The streams of which a short read tells that the kernel has no more.
PLAIN_FAMILIES = (stdlib.AF_INET, stdlib.AF_INET6)
PLAIN_PROTOCOLS = (0, stdlib.IPPROTO_TCP)

#: The option that hands TLS to the kernel; Python has no name for it.
TCP_ULP = 31

#: Seconds between the first attempts to connect to a Unix listener that is busy.
ROOM_PAUSE = 0.001


class socket(stdlib.socket):  # noqa: N801
    """A socket whose blocking methods let other tasklets run.

    Timeouts are those of the standard library, in seconds, and raise TimeoutError. A method that
    is waiting while another tasklet closes the socket raises OSError (EBADF). Several tasklets
    may wait for one socket, in either direction: all are woken and try again, in the order in
    which they came. Usable from any thread, each of which waits on its own hub.

    Whatever timeout it has, the descriptor itself is in non-blocking mode.
    """

    # recv, recv_into, send and sendall are C; see install_socket_methods below.

    __module__ = "ringlet.io.socket"
    __slots__ = ("_endpoint",)
    _endpoint: Endpoint

    def __init__(
        self,
        family: stdlib.AddressFamily | int = -1,
        type: stdlib.SocketKind | int = -1,  # noqa: A002
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        super().__init__(family, type, proto, fileno)
        if type != -1 and type & stdlib.SOCK_NONBLOCK:
            timeout: float | None = 0.0
        else:
            timeout = stdlib.getdefaulttimeout()
        _setblocking(self, False)
        stream = self.type == stdlib.SOCK_STREAM
        plain = stream and self.family in PLAIN_FAMILIES and self.proto in PLAIN_PROTOCOLS
        self._endpoint = Endpoint(self.fileno(), stream, plain, timeout)

    # --- timeouts -------------------------------------------------------------------------------

    def gettimeout(self) -> float | None:
        """Seconds until a method gives up; None: never; 0.0: it does not wait at all."""
        return self._endpoint.timeout

    def settimeout(self, value: float | None, /) -> None:
        """Set the timeout. Holds for the calls made from now on. Raises ValueError below 0."""
        self._endpoint.timeout = value

    @property
    def timeout(self) -> float | None:
        return self._endpoint.timeout

    def setblocking(self, flag: bool, /) -> None:
        """settimeout(None) if `flag`, else settimeout(0.0)."""
        _setblocking(self, False)  # raises when it is closed, as in the standard library
        self._endpoint.timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        return self._endpoint.timeout != 0.0

    # --- connections ----------------------------------------------------------------------------

    def accept(self) -> tuple["socket", Any]:
        """Wait for a connection: its socket, and the address of the other side."""
        fd, address = self._retry(READ, "accept", _accept)
        return socket(self.family, self.type, self.proto, fileno=fd), address

    def bind(self, address: Any, /) -> None:
        _bind(self, resolve(self, address))

    def connect(self, address: Any, /) -> None:
        """Connect to `address`, after looking up its host name if that is one."""
        error = self._connect(resolve(self, address))
        if error:
            raise OSError(error, os.strerror(error))

    def connect_ex(self, address: Any, /) -> int:
        """Connect and return 0, or the errno of what went wrong; EAGAIN is the timeout."""
        try:
            return self._connect(resolve(self, address))
        except TimeoutError:
            return EAGAIN

    def _connect(self, address: Any) -> int:
        """The errno of connecting to a resolved address, or 0. Raises TimeoutError.

        A wake proves nothing. To try again is how the kernel is asked whether the connection is
        made, and what went wrong instead.
        """
        error = _connect_ex(self, address)
        if self._endpoint.timeout == 0.0:
            return error
        if error == EAGAIN:
            error = self._connect_when_there_is_room(address)
        deadline = None
        while error in (EINPROGRESS, EALREADY):
            deadline = self._endpoint.wait(WRITE, deadline, "connect")
            error = _connect_ex(self, address)
            if error == EISCONN:
                return 0
        return error

    def _connect_when_there_is_room(self, address: Any) -> int:
        """The same while the backlog of a Unix listener is full, of whose end no event tells."""
        clock = _core.hub().clock
        begun = clock.time()
        pause = ROOM_PAUSE
        while (error := _connect_ex(self, address)) == EAGAIN:
            timeout = self._endpoint.timeout
            if timeout is not None:
                left = begun + timeout - clock.time()
                if left <= 0:
                    raise TimeoutError("timed out")
                pause = min(pause, left)
            sleep(pause)
            pause = min(2 * pause, 32 * ROOM_PAUSE)
        return error

    # --- data -----------------------------------------------------------------------------------

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        return self._retry(READ, "recvfrom", _recvfrom, bufsize, flags, flags=flags)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        return self._retry(
            READ, "recvfrom_into", _recvfrom_into, buffer, nbytes, flags, flags=flags
        )

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        return self._retry(READ, "recvmsg", _recvmsg, bufsize, ancbufsize, flags, flags=flags)

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        buffers = list(buffers)  # tried again, it must not be used up
        return self._retry(
            READ, "recvmsg_into", _recvmsg_into, buffers, ancbufsize, flags, flags=flags
        )

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        """Send a datagram: sendto(data, address) or sendto(data, flags, address)."""
        if len(flags_and_address) not in (1, 2):
            count = 1 + len(flags_and_address)
            raise TypeError(f"sendto() takes 2 or 3 arguments ({count} given)")
        *flags, address = flags_and_address
        arguments = (*flags, resolve(self, address))
        no_wait = flags[0] if flags and isinstance(flags[0], int) else 0
        return self._retry(WRITE, "sendto", _sendto, data, *arguments, flags=no_wait)

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[tuple[int, int, Any]] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        parts = list(buffers), list(ancdata)  # tried again, they must not be used up
        target = () if address is None else (resolve(self, address),)
        return self._retry(WRITE, "sendmsg", _sendmsg, *parts, flags, *target, flags=flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `file`, opened in binary mode, from `offset` on, up to `count` bytes or its end.

        Returns the bytes sent, and leaves the file positioned behind them, also after an error.
        Raises ValueError for a socket that is not a stream, or that is non-blocking.
        """
        return send_file(self, self._endpoint, file, offset, count)

    def _retry(
        self,
        mask: int,
        doing: str,
        operation: Callable[..., R],
        *args: Any,
        flags: int = 0,
    ) -> R:
        """Try `operation` until it does not say that it would block. Raises TimeoutError."""
        endpoint = self._endpoint
        endpoint.take_turn()
        deadline = None
        while True:
            try:
                return operation(self, *args)
            except BlockingIOError:
                if endpoint.timeout == 0.0 or flags & NO_WAIT:
                    raise
            deadline = endpoint.wait(mask, deadline, doing)

    # --- the end --------------------------------------------------------------------------------

    def _real_close(self, _ss: Any = _socket.socket) -> None:
        # The standard library calls this once the last file made of the socket is closed too.
        try:
            self._endpoint.forget()
        finally:
            _ss.close(self)

    def detach(self) -> int:
        """Give up the descriptor, which stays open and blocks again if the socket would."""
        endpoint = self._endpoint
        try:
            endpoint.forget()
        finally:
            fd = super().detach()
        if endpoint.timeout is None and fd >= 0:
            with suppress(OSError):  # somebody has closed it behind our back
                os.set_blocking(fd, True)
        return fd

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        if level == stdlib.IPPROTO_TCP and option == TCP_ULP:
            # With TLS in the kernel a read stops at the end of a record.
            self._endpoint.plain = False
        _setsockopt(self, level, option, *value)


# The standard library's methods as they are without us. Looked up once: calling them this way is
# cheaper than super().
_accept: Callable[..., tuple[int, Any]] = _socket.socket._accept  # type: ignore[attr-defined]
_bind = _socket.socket.bind
_connect_ex = _socket.socket.connect_ex
_recvfrom = _socket.socket.recvfrom
_recvfrom_into = _socket.socket.recvfrom_into
_recvmsg = _socket.socket.recvmsg
_recvmsg_into = _socket.socket.recvmsg_into
_sendmsg = _socket.socket.sendmsg
_sendto = _socket.socket.sendto
_setblocking = _socket.socket.setblocking
_setsockopt = _socket.socket.setsockopt

install_socket_methods(socket)

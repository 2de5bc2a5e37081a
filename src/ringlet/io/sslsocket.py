"""The class `ringlet.io.ssl.SSLSocket`."""

import errno
import socket as stdlib
import ssl
from contextlib import suppress
from typing import Any

from ringlet.io.records import Records
from ringlet.io.sendfile import send_by_reading
from ringlet.io.socketobject import socket

#: Seconds that a client has for its handshake with a server.
HANDSHAKE_SECONDS = 20.0


class SSLSocket(ssl.SSLSocket, socket):  # type: ignore[misc]
    """A connection in TLS whose blocking methods let other tasklets run.

    All that the standard library's SSLSocket has means the same here. Made by the method
    `wrap_socket` of a context, or by `wrap`.

    Tasklets of one thread may use one connection at the same time, in both directions; threads
    must take turns. After shutdown(SHUT_WR) what the other side sends can still be read.
    """

    __module__ = "ringlet.io.ssl"

    # The standard library's class, which keeps these, declares none of them.
    _connected: bool
    _context: ssl.SSLContext
    _session: ssl.SSLSession | None
    _sslobj: Any
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool
    #: The records of `_sslobj`, while there is one.
    _records: Records
    #: What has come behind the end of TLS.
    _rest: bytes

    @classmethod
    def _create(
        cls,
        sock: stdlib.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> "SSLSocket":
        """What SSLContext.wrap_socket calls. The descriptor moves from `sock` to the new socket."""
        assert context is not None
        if sock.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_TYPE) != stdlib.SOCK_STREAM:
            raise NotImplementedError("only stream sockets are supported")
        if server_side and server_hostname:
            raise ValueError("server_hostname can only be specified in client mode")
        if server_side and session is not None:
            raise ValueError("session can only be specified in client mode")
        if context.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        family, kind, proto, timeout = sock.family, sock.type, sock.proto, sock.gettimeout()
        self = cls.__new__(cls)
        socket.__init__(self, family, kind, proto, sock.fileno())
        sock.settimeout(0.0)  # or it would leave a descriptor behind that blocks
        sock.detach()
        try:
            self._context = context
            self._session = session
            self._sslobj = None
            self._rest = b""
            self.server_side = server_side
            self.server_hostname = context._encode_hostname(server_hostname)  # type: ignore[attr-defined]
            self.do_handshake_on_connect = do_handshake_on_connect
            self.suppress_ragged_eofs = suppress_ragged_eofs
            self.settimeout(timeout)
            self._connected = self._find_connected()
            if self._connected:
                self._begin()
                if do_handshake_on_connect:
                    if timeout == 0.0:
                        raise ValueError(
                            "do_handshake_on_connect should not be specified for "
                            "non-blocking sockets"
                        )
                    self.do_handshake()
        except BaseException:
            with suppress(OSError):
                self.close()
            raise
        return self

    def _find_connected(self) -> bool:
        """Whether there is another side. Raises SSLError if it has gone and left data behind."""
        try:
            self.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        else:
            return True
        try:
            stray = socket.recv(self, 1, stdlib.MSG_DONTWAIT)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EINVAL):
                raise
            stray = b""
        if stray:
            # Nobody may take it for something that came through TLS.
            reason = "Closed before TLS handshake with data in recv buffer."
            refusal = ssl.SSLError(errno.ENOTCONN, reason)
            refusal.reason = reason
            refusal.library = None  # type: ignore[assignment]
            raise refusal
        return False

    def _begin(self) -> None:
        """TLS begins."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sslobj = self._context._wrap_bio(  # type: ignore[attr-defined]
            incoming,
            outgoing,
            self.server_side,
            self.server_hostname,
            owner=self,
            session=self._session,
        )
        self._records = Records(self._sslobj, incoming, outgoing, self._endpoint)

    # --- connections ----------------------------------------------------------------------------

    def do_handshake(self, block: bool = False) -> None:
        """Do the handshake. With `block`, a non-blocking socket waits for it, too."""
        self._check_connected()  # type: ignore[attr-defined]
        timeout = self.gettimeout()
        try:
            if timeout == 0.0 and block:
                self.settimeout(None)
            self._require().handshake()
        finally:
            self.settimeout(timeout)

    def connect(self, address: Any, /) -> None:
        """Connect to `address`, and do the handshake unless that was declined."""
        self._connect_tls(address, False)

    def connect_ex(self, address: Any, /) -> int:
        """The same, returning an errno when connecting fails; the handshake raises."""
        return self._connect_tls(address, True)

    def _connect_tls(self, address: Any, return_errno: bool) -> int:
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connected or self._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        self._begin()
        try:
            if return_errno:
                error = socket.connect_ex(self, address)
            else:
                error = 0
                socket.connect(self, address)
            if not error:
                self._connected = True
                if self.do_handshake_on_connect:
                    self.do_handshake()
            return error
        except (OSError, ValueError):
            self._sslobj = None
            raise

    def accept(self) -> tuple["SSLSocket", Any]:
        """Wait for a connection, wrapped as this socket is, and the address of the other side."""
        sock, address = socket.accept(self)
        return (
            wrap(
                sock,
                self.context,
                server_side=True,
                do_handshake_on_connect=self.do_handshake_on_connect,
                suppress_ragged_eofs=self.suppress_ragged_eofs,
            ),
            address,
        )

    # --- reading --------------------------------------------------------------------------------

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        """Up to `len` bytes, or their number if they are to go into `buffer`; b"" or 0: the end."""
        if self._sslobj is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        try:
            return self._records.read(len, buffer)
        except ssl.SSLEOFError:
            if not self.suppress_ragged_eofs:
                raise
            return b"" if buffer is None else 0

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self._sslobj is not None:
            self._refuse(flags, "recv")
            data: bytes = self.read(buflen)
            return data
        if self._rest and not flags:
            return self._take_rest(buflen)
        return socket.recv(self, buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        if self._sslobj is None:
            return self._recv_plain_into(buffer, nbytes or 0, flags)
        self._refuse(flags, "recv_into")
        with memoryview(buffer) as view:
            room = view.nbytes
        count: int = self.read(min(nbytes or room, room), buffer) if room else 0
        return count

    def _recv_plain_into(self, buffer: Any, nbytes: int, flags: int) -> int:
        if not self._rest or flags:
            return socket.recv_into(self, buffer, nbytes, flags)
        with memoryview(buffer) as view, view.cast("B") as octets:
            data = self._take_rest(min(nbytes or len(octets), len(octets)))
            octets[: len(data)] = data
        return len(data)

    def _take_rest(self, count: int) -> bytes:
        data, self._rest = self._rest[:count], self._rest[count:]
        self._endpoint.hold(bool(self._rest))
        return data

    def pending(self) -> int:
        """How many bytes can be read without waiting."""
        return 0 if self._sslobj is None else self._records.pending()

    # --- writing --------------------------------------------------------------------------------

    def write(self, data: Any) -> int:
        """Send some of `data`, 32 KiB at most, and return how many bytes that were."""
        if self._sslobj is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        return self._records.write(data)

    def send(self, data: Any, flags: int = 0) -> int:
        if self._sslobj is None:
            return socket.send(self, data, flags)
        self._refuse(flags, "send")
        return self._records.write(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._sslobj is None:
            return socket.sendall(self, data, flags)
        self._refuse(flags, "sendall")
        return self._records.sendall(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        if self._sslobj is None:
            return socket.sendfile(self, file, offset, count)
        return send_by_reading(self, file, offset, count)

    def _refuse(self, flags: int, method: str) -> None:
        if flags != 0:
            raise ValueError(
                f"non-zero flags not allowed in calls to {method}() on {self.__class__}"
            )

    # --- the end --------------------------------------------------------------------------------

    def unwrap(self) -> "SSLSocket":
        """Agree with the other side to end TLS, and return this socket, plain from then on."""
        self._rest = self._require().unwrap()
        self._endpoint.hold(bool(self._rest))
        self._sslobj = None
        return self

    def shutdown(self, how: int, /) -> None:
        """End one direction or both.

        SHUT_WR declares the end, so that the other side knows that nothing is missing. As long
        as one direction is open TLS stays on it; with SHUT_RDWR it ends without a word, as in the
        standard library.
        """
        if self._sslobj is not None:
            if how == stdlib.SHUT_WR:
                self._records.end_output()
            elif how == stdlib.SHUT_RDWR:
                self._sslobj = None
        stdlib.socket.shutdown(self, how)

    def verify_client_post_handshake(self) -> None:
        """For a server in TLS 1.3: ask the client for its certificate."""
        self._require().request_certificate()

    def _require(self) -> Records:
        if self._sslobj is None:
            raise ValueError("No SSL wrapper around " + str(self))
        return self._records


def wrap(sock: stdlib.socket, context: ssl.SSLContext, **options: Any) -> SSLSocket:
    """What context.wrap_socket(sock, **options) does, but cooperative whatever context it is."""
    made: Any
    if issubclass(context.sslsocket_class, SSLSocket):
        made = context.wrap_socket(sock, **options)
    else:
        made = SSLSocket._create(sock, context=context, **options)
    return made  # type: ignore[no-any-return]


def wrap_accepted(
    sock: socket, context: ssl.SSLContext, timeout: float | None = HANDSHAKE_SECONDS
) -> SSLSocket:
    """For a server: take a connection over and do the handshake, which has `timeout` seconds.

    `sock` is of no use any more. The new socket has its timeout, and is closed if this fails.
    Raises OSError, of which SSLError is one, and TimeoutError.
    """
    wrapped = wrap(sock, context, server_side=True, do_handshake_on_connect=False)
    try:
        usual = wrapped.gettimeout()
        wrapped.settimeout(timeout)
        wrapped.do_handshake()
        wrapped.settimeout(usual)
    except BaseException:
        wrapped.close()
        raise
    return wrapped

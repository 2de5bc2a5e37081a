"""One connection's socket, as the HTTP server uses it."""

import errno
import socket
import struct
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from ringlet.io import socket as cooperative

#: Most requests fit into one read of this size. What a client sends beyond it waits in the kernel:
#: a larger read would make thousands of pipelined requests, and as many environs, at once.
HEAD_BYTES = 8192
#: Where no further request can be in what comes, or not before these.
RECEIVE_BYTES = 65536
#: Long data goes out in slices, each with a time limit of its own, so that the limit says how
#: slow a client may be and not how long a response may be.
SEND_BYTES = 262144
#: Sockets, and not what wraps them, for which the kernel may send a file.
FILE_SENDERS = (socket.socket, cooperative.socket)
#: Files up to this length are read, to leave in one write with the head.
SHORT_FILE = 65536
#: What is read and thrown away of a client that must be told to stop before it can listen.
LINGER_BYTES = 1 << 20
LINGER_SECONDS = 2.0


class StreamSocket(Protocol):
    """What the server needs of a socket; the standard library's and ringlet's have it."""

    def recv(self, bufsize: int, /) -> bytes: ...
    def sendall(self, data: bytes | memoryview, /) -> None: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...


class Wire:
    """Reads and writes with a time limit each, and remembers when the connection is `lost`."""

    __slots__ = ("_receive", "_seconds", "_sendall", "_socket", "closing", "lost", "write_timeout")

    def __init__(self, sock: StreamSocket, write_timeout: float | None) -> None:
        #: An error made the connection unusable, so no answer can be given any more.
        self.lost = False
        #: The server is stopping, so the next response says it is the last.
        self.closing = False
        #: Seconds for each write of up to SEND_BYTES.
        self.write_timeout = write_timeout
        self._socket = sock
        self._receive = sock.recv
        self._sendall = sock.sendall
        self._seconds = write_timeout
        sock.settimeout(write_timeout)

    def _allow(self, seconds: float | None) -> None:
        """Set the time limit of the next operation. Most often it is the same as before."""
        self._socket.settimeout(seconds)
        self._seconds = seconds

    def receive(self, seconds: float | None, size: int = RECEIVE_BYTES) -> bytes:
        """What has come in, up to `size` bytes, b"" at the end of input.

        Raises TimeoutError after `seconds`, and OSError when the connection is lost.
        """
        if seconds != self._seconds:
            self._allow(seconds)
        try:
            return self._receive(size)
        except TimeoutError:
            raise
        except OSError:
            self.lost = True
            raise

    def receive_until(self, deadline: float | None, size: int = RECEIVE_BYTES) -> bytes:
        """The same with a moment of `time.monotonic` at which to give up, None for never."""
        if deadline is None:
            return self.receive(None, size)
        seconds = deadline - monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return self.receive(seconds, size)

    def send(self, head: bytes, body: bytes = b"") -> None:
        """Send `head` and `body`, in one write unless they are long.

        Raises OSError when the connection is lost, TimeoutError if the client does not read.
        """
        if self.lost or self.write_timeout != self._seconds:
            self._begin_send()
        try:
            if len(head) + len(body) <= SEND_BYTES:
                self._sendall(head + body)
            else:
                self._send_slices(head, body)
        except BaseException as error:
            self._lose(error)
            raise

    def _begin_send(self) -> None:
        if self.lost:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the connection was lost before")
        if self.write_timeout != self._seconds:
            self._allow(self.write_timeout)

    def _lose(self, error: BaseException) -> None:
        """Sending has failed, or was ended by a time limit or from outside.

        Nothing can come after what may be half of something. Closed without a reset, the kernel
        would keep megabytes for a client that never reads.
        """
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            self.lost = True
        else:
            self.abort()

    def _send_slices(self, head: bytes, body: bytes) -> None:
        self._sendall(head + body[:SEND_BYTES])
        view = memoryview(body)
        for start in range(SEND_BYTES, len(body), SEND_BYTES):
            self._sendall(view[start : start + SEND_BYTES])

    def send_file(self, head: bytes, file: Any, offset: int, count: int) -> int:
        """Send `head` and `count` bytes of a regular file; returns how many of them there were.

        The kernel sends them if the socket lets it. Raises OSError as `send` does, also when the
        file cannot be read.
        """
        if count <= SHORT_FILE or type(self._socket) not in FILE_SENDERS:
            return self._send_blocks(head, file, count)
        sock: Any = self._socket
        self._begin_send()
        try:
            sock.sendall(head, socket.MSG_MORE)
            sent: int = sock.sendfile(file, offset, count)
        except BaseException as error:
            self._lose(error)
            raise
        return sent

    def _send_blocks(self, head: bytes, file: Any, count: int) -> int:
        left = count
        while left:
            data = file.read(min(left, SHORT_FILE))
            if not data:
                break
            self.send(head, data)
            head = b""
            left -= len(data)
        if head:
            self.send(head)
        return count - left

    def end_input(self) -> None:
        """Make a pending `receive` return b""; input that has arrived can still be read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def abort(self) -> None:
        """Make the close to come a reset, so that no client takes what it has for the whole."""
        self.lost = True
        with suppress(OSError):
            on_and_at_once = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on_and_at_once)

    def linger(self) -> None:
        """End our side and read on for a little while.

        A socket closed with unread input resets the connection, and the reset may overtake the
        last response, which the client then never sees.
        """
        deadline = monotonic() + LINGER_SECONDS
        left = LINGER_BYTES
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while left > 0 and (data := self.receive_until(deadline)):
                left -= len(data)

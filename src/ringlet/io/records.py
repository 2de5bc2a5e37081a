"""The TLS of one connection: between records in memory and a socket that parks.

The standard library's TLS object works on two buffers here, and not on the descriptor. What has
come in is read by one plain system call, whatever records it holds, and what goes out is sent by
another; the TLS object itself never waits, so any number of tasklets may use it in turn.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from ringlet._core import Endpoint, receive_now, send_now
from ringlet.sched.pollers import READ, WRITE

R = TypeVar("R")

#: The most that one attempt to receive brings. Buffers never shrink: twice as much would make bulk
#: transfers a twentieth faster, and connections that have seen any a hundred kilobytes larger.
RECEIVE_BYTES = 32768
#: The longest record there is.
RECORD_BYTES = 16384
#: What is encrypted at once, and then sent, before more is.
SEND_BYTES = 32768


class Records:
    """Reads and writes the records of one connection.

    Nothing in here gives up control between looking at the buffers and acting on them. Whoever
    was parked looks again at what the TLS object has before asking for more: another tasklet may
    have fed it. Tasklets of one thread may be in any of the methods at once; threads must not.
    """

    # Invariant: what is encrypted but not sent is `_unsent`, and then `_outgoing`.

    __slots__ = (
        "_endpoint",
        "_failure",
        "_fed",
        "_held",
        "_incoming",
        "_live",
        "_outgoing",
        "_parked",
        "_promised",
        "_shown",
        "_tls",
        "_unsent",
    )

    def __init__(
        self, tls: Any, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, endpoint: Endpoint
    ) -> None:
        #: What `SSLContext._wrap_bio` makes.
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._endpoint = endpoint
        #: Encrypted bytes that the kernel has not taken yet.
        self._unsent: bytes | memoryview = b""
        #: A write that is to be tried again: its data, which is encrypted already.
        self._promised: bytes | None = None
        #: Decrypted data that was fetched before somebody asked for it, and what came after it.
        self._held = b""
        self._failure: ssl.SSLError | None = None
        #: Data can come: the handshake is over, and no end was seen.
        self._live = False
        #: The TLS object may have something to read. To try costs an exception when it has not.
        self._fed = True
        #: Whether select and poll are told to find something.
        self._shown = False
        #: Tasklets that wait for input.
        self._parked = 0

    # --- operations -----------------------------------------------------------------------------

    def handshake(self) -> None:
        """Do the handshake. Raises OSError, of which SSLError is one, and TimeoutError."""
        deadline = self._attempt("handshake", self._tls.do_handshake)[1]
        try:
            self._flush(deadline, "handshake")
        except ConnectionError:
            # A client that left at once may have sent something all the same.
            if not self._tls.server_side:
                raise
        self._live = True

    def read(self, size: int, buffer: Any = None) -> Any:
        """Up to `size` decrypted bytes, or their number if they are to go into `buffer`.

        b"" or 0 is the end that the other side declared; SSLEOFError is one it did not.
        """
        self._endpoint.take_turn()
        if self._held or self._failure:
            return self._read_held(size, buffer)
        deadline = None
        while not self._fed and self._live and size > 0:
            deadline = self._fill(deadline, "recv")
        tls = self._tls
        try:
            result = tls.read(size) if buffer is None else tls.read(size, buffer)
        except ssl.SSLWantReadError:
            result = None
        except ssl.SSLZeroReturnError:
            result = b"" if buffer is None else 0
        except ssl.SSLError:
            self._live = False
            self._push_quietly()
            raise
        if result is None:
            result = self._read_on(self._fill(deadline, "recv"), size, buffer)
        if result:
            # A short read has emptied the record that it was from.
            count = len(result) if buffer is None else result
            self._fed = self._live = True
            if count < size and not self._incoming.pending:
                self._fed = False
        elif size > 0:
            self._fed = self._live = False
        if self._fed is not self._shown:
            self._show()
        if self._outgoing.pending:
            self._push_quietly()
        return result

    def write(self, data: Any) -> int:
        """Send `data`, or as much of it as is encrypted at once, and return how many bytes.

        If it does not get away, because of the timeout, the same data must be written again.
        """
        self._endpoint.take_turn()
        deadline = None
        count = self._count_promised(data)
        if count is None:
            deadline = self._flush(deadline, "send")
            with memoryview(data) as view, view.cast("B") as octets, octets[:SEND_BYTES] as piece:
                sent, deadline = self._attempt("send", self._tls.write, piece, deadline=deadline)
            count = int(sent)
        try:
            self._flush(deadline, "send")
        except (ssl.SSLWantWriteError, TimeoutError):
            self._promised = bytes(memoryview(data).cast("B")[:count])
            raise
        return count

    def sendall(self, data: Any) -> None:
        """Send all of `data`. The timeout holds for every 32 KiB of it."""
        self._endpoint.take_turn()
        if type(data) is bytes and 0 < len(data) <= RECORD_BYTES and self._promised is None:
            self._attempt("send", self._tls.write, data)
            if not self._push():
                self._flush(None, "sendall")
            return
        with memoryview(data) as view, view.cast("B") as octets:
            total, done = len(octets), self._count_promised(data) or 0
            while done < total:
                with octets[done : done + SEND_BYTES] as piece:
                    done += self._attempt("send", self._tls.write, piece)[0]
                self._flush(None, "sendall")
                self._endpoint.take_turn()

    def request_certificate(self) -> None:
        """For a server: ask the client for a certificate, which comes with the next read."""
        self._tls.verify_client_post_handshake()
        self._flush(None, "send")

    def unwrap(self) -> bytes:
        """End TLS on both sides, and return what has come behind it."""
        self._live = False
        deadline = self._attempt("unwrap", self._tls.shutdown)[1]
        with suppress(ConnectionError):  # the other side has said all it had to say
            self._flush(deadline, "unwrap")
        return self._incoming.read()

    def end_output(self) -> None:
        """Tell the other side that nothing more will come, and go on reading. Does not wait."""
        # First what has come is taken out, which the TLS object would then take for an error.
        with suppress(ssl.SSLError):
            while self._incoming.pending or self._tls.pending():
                data = self._tls.read(RECORD_BYTES)
                if not data:
                    break  # the other side has ended its output, too
                self._held += data
        with suppress(ssl.SSLError):
            self._tls.shutdown()
        self._push_quietly()
        self._show()

    def pending(self) -> int:
        """How many bytes can be read without waiting."""
        if not self._held and not self._tls.pending() and self._incoming.pending:
            try:
                self._held = self._tls.read(RECORD_BYTES)
                self._live = bool(self._held)
                self._fed = self._incoming.pending > 0
            except ssl.SSLWantReadError:
                self._fed = False
            except ssl.SSLZeroReturnError:
                self._live = False  # the next read finds the end once more
            except ssl.SSLError as error:
                self._failure = error
            self._show()
        return len(self._held) or int(self._tls.pending())

    # --- reading --------------------------------------------------------------------------------

    def _read_on(self, deadline: float | None, size: int, buffer: Any) -> Any:
        """The same as read, from the point on where an attempt has shown that input lacks."""
        arguments = (size,) if buffer is None else (size, buffer)
        try:
            return self._attempt("recv", self._tls.read, *arguments, deadline=deadline)[0]
        except ssl.SSLZeroReturnError:
            # The end, which OpenSSL tells in this way to one that has ended its own output.
            return b"" if buffer is None else 0

    def _read_held(self, size: int, buffer: Any) -> Any:
        """The same as read, from what was fetched ahead."""
        if not self._held:
            failure, self._failure = self._failure, None
            assert failure is not None
            self._show()
            raise failure
        if buffer is not None:
            with memoryview(buffer) as view, view.cast("B") as octets:
                size = min(size, len(octets))
                octets[: len(self._held[:size])] = self._held[:size]
        data, self._held = self._held[:size], self._held[size:]
        self._show()
        return data if buffer is None else len(data)

    def _show(self) -> None:
        """Tell select and poll whether there is something that the kernel has given away."""
        holds = self._fed or bool(self._held) or self._failure is not None
        if holds is not self._shown:
            self._endpoint.hold(holds)
            self._shown = holds

    # --- the machinery --------------------------------------------------------------------------

    def _attempt(
        self,
        doing: str,
        operation: Callable[..., R],
        *args: Any,
        deadline: float | None = None,
    ) -> tuple[R, float | None]:
        """Call `operation` until it lacks no input. Returns its result, and the deadline."""
        filled = False
        while True:
            try:
                result = operation(*args)
                break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self._live = False
                self._push_quietly()  # the alert that tells the other side
                raise
            deadline = self._fill(deadline, doing)
            filled = True
        if filled:
            self._fed = self._incoming.pending > 0 or self._tls.pending() > 0
            self._show()
        return result, deadline

    def _fill(self, deadline: float | None, doing: str) -> float | None:
        """Feed what has come in, or wait until something may have. Returns the deadline."""
        if self._unsent or self._outgoing.pending:
            self._push_quietly()
        data = receive_now(self._endpoint, RECEIVE_BYTES)
        if data is None:
            self._fed = False
            if self._shown:
                self._show()
            return self._wait(deadline, doing)
        if self._parked:
            self._endpoint.wake(READ)  # there may be more than we shall use
        if not data:
            self._live = False
            raise _undeclared_end()
        self._incoming.write(data)
        self._fed = True
        return deadline

    def _wait(self, deadline: float | None, doing: str) -> float:
        """Wait until something may have come in. Returns the deadline."""
        if self._endpoint.timeout == 0.0:
            raise ssl.SSLWantReadError(
                ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)"
            )
        self._parked += 1
        try:
            # If both sides want to send, one of them has to read first.
            return self._endpoint.wait(READ | WRITE if self._unsent else READ, deadline, doing)
        finally:
            self._parked -= 1

    def _flush(self, deadline: float | None, doing: str) -> float | None:
        """Send all that is encrypted. Returns the deadline."""
        while not self._push():
            if self._endpoint.timeout == 0.0:
                raise ssl.SSLWantWriteError(
                    ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)"
                )
            deadline = self._endpoint.wait(WRITE, deadline, doing)
        return deadline

    def _push(self) -> bool:
        """Give the kernel what it takes of what is encrypted; whether that was all."""
        data = self._unsent or self._outgoing.read()
        while data:
            self._unsent = data
            try:
                sent = send_now(self._endpoint, data)
            except OSError:
                self._unsent = b""
                self._outgoing.read()
                raise
            if sent == 0:
                return False
            if sent == len(data):
                self._unsent = b""
                data = self._outgoing.read() if self._outgoing.pending else b""
            else:
                data = memoryview(data)[sent:]
        return True

    def _push_quietly(self) -> None:
        """The same where a connection that is lost shows in what is read."""
        with suppress(OSError):
            self._push()

    def _count_promised(self, data: Any) -> int | None:
        """How many bytes of `data` an earlier attempt has encrypted; None if it is other data."""
        promised, self._promised = self._promised, None
        if promised is None:
            return None
        with memoryview(data) as view, view.cast("B") as octets:
            return len(promised) if octets[: len(promised)] == promised else None


def _undeclared_end() -> ssl.SSLEOFError:
    """What OpenSSL reports. It is not told, for it would then refuse to send anything, too."""
    error = ssl.SSLEOFError(
        ssl.SSL_ERROR_EOF,
        "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol",
    )
    error.library, error.reason = "SSL", "UNEXPECTED_EOF_WHILE_READING"
    return error

"""The body of one request, read off the connection only as the application asks for it."""

from collections.abc import Callable, Iterator


class Body:
    """`wsgi.input`: a binary file of one request's body, with its end known.

    Reads block the calling tasklet until the client has sent enough. They raise OSError when
    the rest of the body cannot be had: the client went away, sent something that is no body,
    sent too much, or was silent for longer than the server's `io_timeout`. One tasklet at a
    time may read it.
    """

    __slots__ = (
        "_buffer",
        "_receive",
        "complete",
        "expects_continue",
        "idle_bytes",
        "length",
        "received",
        "waited",
    )

    def __init__(self, receive: Callable[["Body"], None] | None, length: int | None) -> None:
        #: What has arrived and was not read yet.
        self._buffer = bytearray()
        #: Blocks until more of this body has arrived, or raises. None if the body is empty.
        self._receive = receive
        #: The announced Content-Length, None when the body is chunked.
        self.length = length
        #: Bytes that have arrived so far.
        self.received = 0
        #: Nothing more will arrive.
        self.complete = receive is None
        #: The client waits for "100 Continue" before it sends anything.
        self.expects_continue = False
        #: Seconds that were spent waiting for it.
        self.waited = 0.0
        #: Bytes read since a byte of the body itself arrived.
        self.idle_bytes = 0

    def feed(self, data: bytes) -> None:
        """Called by the parser: `data` has arrived."""
        self._buffer += data
        self.received += len(data)
        self.expects_continue = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or everything when it is negative or None; fewer only at the end."""
        if size is None or size < 0:
            while not self.complete:
                self._more()
            return self._take(len(self._buffer))
        while len(self._buffer) < size and not self.complete:
            self._more()
        return self._take(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to and including a line feed, but no more than `size` bytes if not negative."""
        limit = None if size is None or size < 0 else size
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched, limit) + 1
            if end:
                return self._take(end)
            searched = len(self._buffer)
            if limit is not None and searched >= limit:
                return self._take(limit)
            if self.complete:
                return self._take(searched)
            self._more()

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Read lines until the end, or until they hold `hint` bytes if that is positive."""
        lines: list[bytes] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _more(self) -> None:
        assert self._receive is not None  # a body without a source is complete
        self._receive(self)

    def _take(self, size: int) -> bytes:
        if size >= len(self._buffer):
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        return data

    def discard(self) -> None:
        """Forget what has arrived and was not read."""
        self._buffer.clear()


#: Shared by all requests without a body: reading leaves no trace in it.
NO_BODY = Body(None, 0)

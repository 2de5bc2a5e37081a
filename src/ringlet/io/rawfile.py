"""Unbuffered files of which a read or write parks the tasklet: what files.py builds its files on.

Each stands around a FileIO, which has the descriptor, closes it, and warns if nobody did.
"""

import io
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from ringlet._core import Endpoint
from ringlet.io import native
from ringlet.io.attempts import copy_of, read_from_memory, read_now, write_now
from ringlet.io.threadpool import to_thread
from ringlet.sched.pollers import READ, WRITE

__all__ = ("DiskFile", "PipeFile", "RawFile", "UnbufferedPipeFile", "close_dropped")

T = TypeVar("T")

#: Bytes that a thread reads at once when all of a file is asked for.
READ_BYTES = 1 << 20


class RawFile(io.RawIOBase):
    """What pipes and files on disk have in common."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        #: Whether nobody has it any more: then nothing may park, whoever happens to be running.
        self.is_dropped = False

    def __del__(self) -> None:
        close_dropped(self, self)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"descriptor {self.fileno()}"
        return f"<{type(self).__module__}.{type(self).__qualname__} of {self.name!r}, {state}>"

    @property
    def name(self) -> Any:
        return self._file.name

    @property
    def mode(self) -> str:
        return self._file.mode

    @property
    def closefd(self) -> bool:
        return self._file.closefd

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return self._file.writable()

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def interrupt(self) -> None:
        """Have whoever waits for it raise OSError, because it is about to be closed."""

    def _check(self, is_allowed: bool, doing: str) -> None:
        if not is_allowed:
            raise io.UnsupportedOperation(f"File not open for {doing}")


class PipeFile(RawFile):
    """A pipe, a terminal or anything else that tells when it is ready.

    The descriptor's mode, blocking or not, stays as it is and does not matter. Usable from any
    thread.
    """

    def __init__(self, file: io.FileIO) -> None:
        super().__init__(file)
        self._endpoint = Endpoint(file.fileno(), True, False, None)

    def readinto(self, buffer: Any, /) -> int:
        """Wait until there is something to read, or the end. Returns the bytes read."""
        self._check(self.readable(), "reading")
        endpoint = self._endpoint
        endpoint.take_turn()
        while True:
            try:
                return read_now(self.fileno(), [buffer])
            except BlockingIOError:
                endpoint.wait(READ, None, "read")

    def write(self, data: Any, /) -> int:
        """Wait until there is room, and write what fits. Returns the bytes written."""
        self._check(self.writable(), "writing")
        endpoint = self._endpoint
        endpoint.take_turn()
        while True:
            try:
                return write_now(self.fileno(), data)
            except BlockingIOError:
                if self.is_dropped:
                    raise
                endpoint.wait(WRITE, None, "write")

    def interrupt(self) -> None:
        if not self.writable():
            self._endpoint.forget()

    def close(self) -> None:
        """Close it. Whoever waits for it raises OSError (EBADF)."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            try:
                self._endpoint.forget()
            finally:
                self._file.close()


class UnbufferedPipeFile(PipeFile):
    """One that nobody buffers: it writes all it is given, as a blocking pipe does."""

    def write(self, data: Any, /) -> int:
        with memoryview(data).cast("B") as rest:
            written = 0
            while written < len(rest):
                written += super().write(rest[written:])
            return written


class DiskFile(RawFile):
    """A file whose data are in memory or have to be waited for, in a thread.

    One that a tasklet was killed over goes on where the thread left it.
    """

    def __init__(self, file: io.FileIO) -> None:
        super().__init__(file)
        # Held by the thread that is at it, so that one whose tasklet was killed is done first.
        self._turn = native.allocate_lock()

    def _in_thread(self, f: Callable[..., T], *args: Any) -> T:
        if self.is_dropped:
            return f(*args)
        return to_thread(self._in_turn, f, *args)

    def _in_turn(self, f: Callable[..., T], *args: Any) -> T:
        with self._turn:
            return f(*args)

    def readinto(self, buffer: Any, /) -> int:
        """Read into `buffer`, at once if the kernel has the data in memory."""
        self._check(self.readable(), "reading")
        if not self._turn.locked():
            count = read_from_memory(self.fileno(), [buffer])
            if count is not None:
                return count
        with memoryview(buffer).cast("B") as target:
            # Not into the buffer: when the tasklet was killed the thread goes on without it.
            data = self._in_thread(native.read, self.fileno(), len(target))
            target[: len(data)] = data
            return len(data)

    def readall(self) -> bytes:
        self._check(self.readable(), "reading")
        parts = []
        while part := self._in_thread(native.read, self.fileno(), READ_BYTES):
            parts.append(part)
        return b"".join(parts)

    def write(self, data: Any, /) -> int:
        """Write of `data` what the kernel takes, all of it as a rule. Returns the bytes written."""
        self._check(self.writable(), "writing")
        return self._in_thread(native.write, self.fileno(), copy_of(data))

    def truncate(self, size: int | None = None, /) -> int:
        return self._in_thread(self._file.truncate, size)

    def close(self) -> None:
        """Close it; after writing in a thread, for some file systems send the data only now."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            if self.writable():
                self._in_thread(self._file.close)
            else:
                self._file.close()


def close_dropped(file: Any, raw: RawFile) -> None:
    """Close `file`, which nobody has closed, and which is `raw` or ends in it, with a warning."""
    if not file.closed:
        raw.is_dropped = True
        if raw.closefd:
            warnings.warn(f"unclosed file {file!r}", ResourceWarning, stacklevel=2, source=file)
        file.close()

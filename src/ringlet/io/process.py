"""The class `ringlet.io.subprocess.Popen`."""

import io
import subprocess as stdlib
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from ringlet import _core
from ringlet.errors import Timeout
from ringlet.io.bufferedfile import TextFile
from ringlet.io.childexit import await_exit
from ringlet.io.files import BUFFER_SIZE, buffer_of
from ringlet.io.rawfile import PipeFile, UnbufferedPipeFile
from ringlet.sched import Tasklet, spawn
from ringlet.sched.joining import wait
from ringlet.sched.wait import schedule

__all__ = ("Popen",)

#: Bytes read from a pipe, and written to it, at once: as many as one holds.
PIPE_BYTES = 1 << 16


class Popen(stdlib.Popen[Any]):
    """A process whose end, and whose pipes, are waited for by the calling tasklet alone.

    Arguments, attributes and errors are those of the standard library's. wait(), communicate(),
    poll() and the signals may be used by several tasklets, and from any thread; each pipe is read
    or written by one of them at a time. A pipe's descriptor stays in blocking mode, so that it can
    be given to another process.
    """

    __module__ = "ringlet.io.subprocess"

    def __init__(self, args: Any, bufsize: int | None = -1, *others: Any, **kwargs: Any) -> None:
        bufsize = -1 if bufsize is None else bufsize
        super().__init__(args, bufsize, *others, **kwargs)
        size = bufsize if bufsize > 1 else BUFFER_SIZE
        self.stdin = _cooperative(self.stdin, size)
        self.stdout = _cooperative(self.stdout, size)
        self.stderr = _cooperative(self.stderr, size)
        # What communicate() has done before its time was over.
        self._unsent: memoryview | None = None
        self._received: dict[Any, list[bytes]] = {}

    def _wait(self, timeout: float | None) -> int:
        """For wait(): park until it has ended, and reap it."""
        clock = _core.hub().clock
        end = None if timeout is None else clock.time() + timeout
        while self.poll() is None:
            try:
                await_exit(self.pid, None if end is None else end - clock.time())
            except Timeout:
                if self.poll() is None:
                    raise stdlib.TimeoutExpired(self.args, timeout or 0) from None
            if self.poll() is None:
                schedule()  # another thread is about to reap it
        status: int = self.returncode
        return status

    def _communicate(
        self,
        input: Any,  # noqa: A002
        endtime: float | None,
        orig_timeout: float | None,
    ) -> tuple[Any, Any]:
        """For communicate(): write to and read from all pipes at once, each in a tasklet."""
        if not self._communication_started:
            self._begin_communication(input)
        jobs = [
            spawn(self._receive, stream)
            for stream in (self.stdout, self.stderr)
            if stream and not stream.closed
        ]
        if self.stdin and self._unsent is not None:
            jobs.append(spawn(self._send))
        try:
            _, pending = wait(jobs, _time_until(endtime))
        finally:
            # What they have not read yet stays in the pipes, for another call.
            _kill_all(jobs)
        output, errors = map(self._said_on, (self.stdout, self.stderr))
        if pending:
            raise stdlib.TimeoutExpired(
                self.args, orig_timeout or 0, output=output or None, stderr=errors or None
            )
        for job in jobs:
            job.result()
        self.wait(timeout=_time_until(endtime))
        return self._as_asked(self.stdout, output), self._as_asked(self.stderr, errors)

    def _begin_communication(self, input: Any) -> None:  # noqa: A002
        if not self.stdin:
            return
        with suppress(BrokenPipeError):
            self.stdin.flush()
        if not input:
            with suppress(BrokenPipeError):
                self.stdin.close()
            return
        if self.text_mode:
            text: Any = self.stdin
            input = input.encode(text.encoding, text.errors)  # noqa: A001
        self._unsent = memoryview(input).cast("B")

    def _send(self) -> None:
        stdin: Any = self.stdin
        raw = _raw_of(stdin, "w")
        with suppress(BrokenPipeError):  # it need not read all it is given
            while self._unsent:
                sent = PipeFile.write(raw, self._unsent[:PIPE_BYTES])
                self._unsent = self._unsent[sent:]
        self._unsent = None
        with suppress(BrokenPipeError):
            stdin.close()

    def _receive(self, stream: Any) -> None:
        parts = self._received.setdefault(stream, [])
        raw = _raw_of(stream, "r")
        while part := raw.read(PIPE_BYTES):
            parts.append(part)
        stream.close()

    def _said_on(self, stream: Any) -> bytes | None:
        return b"".join(self._received.get(stream, ())) if stream else None

    def _as_asked(self, stream: Any, data: bytes | None) -> Any:
        """`data` as text when that is what the pipes are to give."""
        if data is None or not self.text_mode:
            return data
        return self._translate_newlines(data, stream.encoding, stream.errors)

    # What the standard library has for itself, as it is used here.
    _communication_started: bool
    _translate_newlines: Callable[[bytes, str, str], str]
    text_mode: Any


def _cooperative(stream: Any, size: int) -> Any:
    """A file that parks who uses it, in the place of a new pipe of the standard library's."""
    if stream is None:
        return None
    if isinstance(stream, io.FileIO):
        return UnbufferedPipeFile(stream)
    if not isinstance(stream, io.TextIOWrapper):
        return buffer_of(PipeFile(stream.detach()), size)
    options = {
        name: getattr(stream, name)
        for name in ("encoding", "errors", "line_buffering", "write_through")
    }
    buffered: Any = stream.detach()
    return TextFile(buffer_of(PipeFile(buffered.detach()), size), **options)


def _time_until(end: float | None) -> float | None:
    """The seconds until a moment of the clock that the standard library goes by."""
    return None if end is None else end - monotonic()


def _raw_of(stream: Any, mode: str) -> Any:
    """The unbuffered file below a pipe, which a program may have replaced by a file of its own."""
    below = stream.buffer if isinstance(stream, io.TextIOWrapper) else stream
    raw = getattr(below, "raw", below)
    if isinstance(raw, PipeFile):
        return raw
    return PipeFile(io.FileIO(stream.fileno(), mode, closefd=False))


def _kill_all(jobs: list[Tasklet[None]]) -> None:
    for job in jobs:
        job.kill()

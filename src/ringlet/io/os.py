"""What of the standard library's `os` waits for something, so that it parks only the tasklet.

Every public name of `os` is here; those not defined below are the very same objects. Descriptors
stay in the mode that they are in: terminals and inherited pipes are shared with other processes.
"""

import fcntl
import os as stdlib
import sys
from collections.abc import Callable, Sequence
from subprocess import PIPE
from typing import Any, TypeVar

from ringlet import _core
from ringlet._core import Endpoint
from ringlet.io import files, native, subprocess
from ringlet.io.attempts import copy_of, is_on_disk, read_from_memory, read_now, write_now
from ringlet.io.childexit import await_change, await_exit
from ringlet.io.threadpool import to_thread
from ringlet.sched.pollers import READ, WRITE
from ringlet.sched.wait import schedule

# What differs from the standard library, and then everything.
__all__ = [
    *("close", "fdatasync", "fsync", "popen", "pread", "pwrite", "read", "readv", "stdin"),
    *("system", "wait", "wait3", "wait4", "waitid", "waitpid", "write", "writev"),
]
__all__ += [name for name in stdlib.__all__ if name not in __all__]

T = TypeVar("T")


def __getattr__(name: str) -> Any:
    """What is the same there and here."""
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# --- descriptors --------------------------------------------------------------------------------


def read(fd: int, length: int, /) -> bytes:
    """Read at most `length` bytes, as soon as there are any; b"" at the end.

    From a disk in a thread. Of a descriptor in non-blocking mode this is os.read(), which raises
    BlockingIOError. Who waits when close() closes it gets OSError (EBADF).
    """
    if _cannot_wait(fd):
        return native.read(fd, length)
    buffer = bytearray(length)
    if is_on_disk(fd):
        count = read_from_memory(fd, [buffer])
        if count is None:
            return to_thread(native.read, fd, length)
    else:
        count = _until_ready(fd, READ, read_now, fd, [buffer])
    return bytes(memoryview(buffer)[:count])


def readv(fd: int, buffers: Sequence[Any], /) -> int:
    """Read into `buffers`, one after the other. Otherwise as read()."""
    if _cannot_wait(fd):
        return native.readv(fd, buffers)
    if not is_on_disk(fd):
        return _until_ready(fd, READ, read_now, fd, buffers)
    count = read_from_memory(fd, buffers)
    if count is not None:
        return count
    # A thread whose tasklet is killed goes on: it must not write where others do by then.
    data = to_thread(native.read, fd, sum(memoryview(buffer).nbytes for buffer in buffers))
    rest = memoryview(data)
    for buffer in buffers:
        with memoryview(buffer).cast("B") as target:
            part, rest = rest[: len(target)], rest[len(target) :]
            target[: len(part)] = part
    return len(data)


def write(fd: int, data: Any, /) -> int:
    """Write `data`, and wait until all of it is written. Returns its length.

    To a disk in a thread. Of a descriptor in non-blocking mode this is os.write(), which may write
    a part of it, or raise BlockingIOError.
    """
    if _cannot_wait(fd):
        return native.write(fd, data)
    if is_on_disk(fd):
        return to_thread(native.write, fd, copy_of(data))
    with memoryview(data).cast("B") as rest:
        written = 0
        while written < len(rest):
            written += _until_ready(fd, WRITE, write_now, fd, rest[written:])
        return written


def writev(fd: int, buffers: Sequence[Any], /) -> int:
    """Write `buffers`, one after the other. Otherwise as write()."""
    if _cannot_wait(fd):
        return native.writev(fd, buffers)
    return write(fd, b"".join(buffers))


def pread(fd: int, length: int, offset: int, /) -> bytes:
    """os.pread(), in a thread."""
    return _in_thread(stdlib.pread, fd, length, offset)


def pwrite(fd: int, data: Any, offset: int, /) -> int:
    """os.pwrite(), in a thread."""
    return _in_thread(stdlib.pwrite, fd, copy_of(data), offset)


def fsync(fd: Any) -> None:
    """os.fsync(), in a thread."""
    _in_thread(native.fsync, fd)


def fdatasync(fd: Any) -> None:
    """os.fdatasync(), in a thread."""
    _in_thread(native.fdatasync, fd)


def close(fd: int) -> None:
    """Close a descriptor. Whoever waits for it raises OSError (EBADF).

    A file on disk that was written to is closed in a thread.
    """
    if is_on_disk(fd) and fcntl.fcntl(fd, fcntl.F_GETFL) & stdlib.O_ACCMODE:
        _in_thread(stdlib.close, fd)
        return
    everybody = Endpoint(fd, False, False, None)
    stdlib.close(fd)
    everybody.forget()


def _cannot_wait(fd: int) -> bool:
    """Whether the standard library's function is the one to call.

    In the hub nobody can be waited for, but a program that was patched may well log something.
    """
    return _core.in_hub() or not stdlib.get_blocking(fd)


def _in_thread(f: Callable[..., T], *args: Any) -> T:
    return f(*args) if _core.in_hub() else to_thread(f, *args)


def _until_ready(fd: int, mask: int, f: Callable[..., int], *args: Any) -> int:
    """Call f(*args) until it does not say that it would have to wait."""
    while True:
        try:
            return f(*args)
        except BlockingIOError:
            _core.wait_descriptor(fd, mask)
        try:
            return f(*args)
        except BlockingIOError:
            # Ready, but for somebody else, or for what we do not want.
            schedule()


_stdin: Any = None


def stdin() -> Any:
    """The standard input as a text file whose reading parks the tasklet; always the same.

    The descriptor's mode stays as it is, for the terminal is others' as well. What sys.stdin has
    read ahead is not seen here, so use one of the two.
    """
    global _stdin
    if _stdin is None:
        given = sys.__stdin__
        _stdin = files.wrap(0 if given is None else given, "r")
    return _stdin


# --- processes ----------------------------------------------------------------------------------


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """Park until a child process ends, reap it, and return its number and status.

    `pid` and `options` as in the standard library. For one process any number of tasklets may wait;
    for whichever comes first, a thread waits.
    """
    return _reap(pid, options, lambda flags: native.waitpid(pid, flags))


def wait() -> tuple[int, int]:
    """waitpid(-1, 0)."""
    return waitpid(-1, 0)


def wait4(pid: int, options: int) -> tuple[int, int, Any]:
    """waitpid(), with what the process has used."""
    return _reap(pid, options, lambda flags: native.wait4(pid, flags))


def wait3(options: int) -> tuple[int, int, Any]:
    """wait4(-1, options)."""
    return wait4(-1, options)


def _reap(pid: int, options: int, attempt: Callable[[int], T]) -> T:
    while True:
        result: Any = attempt(options | stdlib.WNOHANG)
        if result[0] or options & stdlib.WNOHANG:
            return result  # type: ignore[no-any-return]
        if pid > 0 and not options:
            await_exit(pid)
            continue
        flags = stdlib.WEXITED
        if options & stdlib.WUNTRACED:
            flags |= stdlib.WSTOPPED
        if options & stdlib.WCONTINUED:
            flags |= stdlib.WCONTINUED
        if pid > 0:
            await_change(stdlib.P_PID, pid, flags)
        elif pid == -1:
            await_change(stdlib.P_ALL, 0, flags)
        else:
            await_change(stdlib.P_PGID, -pid or stdlib.getpgrp(), flags)


def waitid(idtype: int, id: int, options: int, /) -> Any:  # noqa: A002
    """os.waitid(), which parks the tasklet."""
    while True:
        result = native.waitid(idtype, id, options | stdlib.WNOHANG)
        if result is not None or options & stdlib.WNOHANG:
            return result
        await_change(idtype, id, options)


def system(command: Any) -> int:
    """Run a command of the shell, park until it ends, and return its status as waitpid() does.

    When the tasklet is killed, so is the shell. Unlike in the standard library, SIGINT and SIGQUIT
    are not ignored meanwhile.
    """
    status = subprocess.call(command, shell=True)
    return -status if status < 0 else status << 8


def popen(cmd: str, mode: str = "r", buffering: int = -1) -> "_PopenFile":
    """A text file that reads from or writes to a command of the shell.

    close() waits for its end and returns None, or 256 times its status as Popen has it.
    """
    if not isinstance(cmd, str):
        raise TypeError(f"invalid cmd type ({type(cmd)}, expected string)")
    if mode not in ("r", "w"):
        raise ValueError(f"invalid mode {mode!r}")
    if buffering == 0 or buffering is None:
        raise ValueError("popen() does not support unbuffered streams")
    pipe = {"stdout" if mode == "r" else "stdin": PIPE}
    process = subprocess.Popen(cmd, buffering, shell=True, text=True, **pipe)
    return _PopenFile(process.stdout if mode == "r" else process.stdin, process)


class _PopenFile:
    """The file of popen()."""

    def __init__(self, stream: Any, process: Any) -> None:
        self._stream = stream
        self._process = process

    def close(self) -> int | None:
        """Close it, and wait for the end of the command."""
        try:
            self._stream.close()
        finally:
            status: int = self._process.wait()
        return status << 8 if status else None

    def __enter__(self) -> "_PopenFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)

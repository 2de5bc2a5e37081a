"""Reading and writing descriptors as far as can be done at once, whatever mode they are in.

A terminal or a pipe that was inherited is shared with other processes, and so is its non-blocking
mode: `cat` beside us would fail with EAGAIN. So nobody here ever sets it.
"""

import errno
import os
import stat
from collections.abc import Callable
from select import POLLIN, POLLOUT
from typing import Any

from ringlet.io import native
from ringlet.io.threadpool import to_thread

__all__ = ("copy_of", "is_on_disk", "read_from_memory", "read_now", "write_now")

#: What a pipe takes at once when it takes anything.
PIPE_BUF = 4096
#: With this flag a system call does not wait. Old kernels know it not, and few kinds of files do.
NOWAIT = getattr(os, "RWF_NOWAIT", 0)
UNKNOWN = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE}
#: These never tell when they are ready, and always say that they are.
DISK_KINDS = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFBLK}


def is_on_disk(fd: int) -> bool:
    """Whether reading `fd` may have to wait for a disk, which no poller can tell about."""
    return stat.S_IFMT(os.fstat(fd).st_mode) in DISK_KINDS


def read_from_memory(fd: int, buffers: Any) -> int | None:
    """Read of a file on disk what the kernel has in memory. None if it has nothing, or cannot say.

    Returns the bytes read; 0 at the end.
    """
    try:
        return _ask_kernel(os.preadv, fd, buffers)
    except BlockingIOError:
        return None


def read_now(fd: int, buffers: Any) -> int:
    """Read what there is into `buffers`, a list. Returns the bytes read; 0 at the end.

    Raises BlockingIOError when there is nothing yet, and OSError as os.readv does.
    """
    count = _ask_kernel(os.preadv, fd, buffers)
    if count is not None:
        return count
    _check_ready(fd, POLLIN)
    return native.readv(fd, buffers)


def write_now(fd: int, data: Any) -> int:
    """Write of `data`, an object with a buffer, what there is room for. Returns the bytes written.

    Raises BlockingIOError when there is no room, and OSError as os.write does. Where the kernel
    cannot do it without waiting it is done in another thread, and parks the tasklet.
    """
    count = _ask_kernel(os.pwritev, fd, [data])
    if count is not None:
        return count
    _check_ready(fd, POLLOUT)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return native.write(fd, memoryview(data).cast("B")[:PIPE_BUF])
    return to_thread(native.write, fd, copy_of(data))


def copy_of(data: Any) -> bytes:
    """What a thread may write while others change `data`: when the tasklet is killed it goes on.

    Raises TypeError for what has no bytes. bytes() does not for numbers, of which it makes so many
    zeros.
    """
    with memoryview(data) as view:
        return view.tobytes()


def _ask_kernel(call: Callable[..., int], fd: int, buffers: Any) -> int | None:
    """preadv() or pwritev() that do not wait. None where the kernel cannot do that.

    Raises BlockingIOError when it would have to wait, and OSError as `call` does.
    """
    if not NOWAIT:
        return None
    try:
        return call(fd, buffers, -1, NOWAIT)
    except OSError as error:
        if error.errno in UNKNOWN:
            return None
        raise


def _check_ready(fd: int, event: int) -> None:
    asked = native.poll()
    asked.register(fd, event)
    if not asked.poll(0):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

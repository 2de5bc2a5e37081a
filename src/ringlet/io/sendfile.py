"""Sending files: by the kernel where it can, else by reading them."""

import io
import os
import socket as stdlib
from typing import Any

from ringlet._core import Endpoint
from ringlet.sched.pollers import WRITE

#: Bytes asked of the kernel at once; it stops earlier when the socket's buffer is full.
KERNEL_BYTES = 1 << 30
#: Bytes read at once where the kernel cannot send the file.
READ_BYTES = 65536


class _NotSendable(Exception):
    """The kernel cannot send this file."""


def send_file(
    sock: stdlib.socket, endpoint: Endpoint, file: Any, offset: int, count: int | None
) -> int:
    """What socket.sendfile does. `endpoint` is the socket's."""
    _check(sock, file, count)
    if endpoint.timeout == 0.0:
        raise ValueError("non-blocking sockets are not supported")
    try:
        return _by_kernel(sock, endpoint, file, offset, count)
    except _NotSendable:
        return _by_reading(sock, file, offset, count)


def send_by_reading(sock: stdlib.socket, file: Any, offset: int, count: int | None) -> int:
    """The same for a socket whose data the kernel must not send as it is, such as one with TLS."""
    _check(sock, file, count)
    if sock.gettimeout() == 0.0:
        raise ValueError("non-blocking sockets are not supported")
    return _by_reading(sock, file, offset, count)


def _check(sock: stdlib.socket, file: Any, count: int | None) -> None:
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if sock.type != stdlib.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    if count is None:
        return
    if not isinstance(count, int):
        raise TypeError(f"count must be a positive integer (got {count!r})")
    if count <= 0:
        raise ValueError(f"count must be a positive integer (got {count!r})")


def _by_kernel(
    sock: stdlib.socket, endpoint: Endpoint, file: Any, offset: int, count: int | None
) -> int:
    """Raises _NotSendable before anything is sent if the file is none the kernel can send."""
    try:
        source = file.fileno()
        if not os.fstat(source).st_size:
            return 0
    except (AttributeError, io.UnsupportedOperation, OSError) as error:
        raise _NotSendable from error
    total = 0
    deadline = None
    try:
        while count is None or total < count:
            wanted = KERNEL_BYTES if count is None else min(count - total, KERNEL_BYTES)
            try:
                sent = os.sendfile(sock.fileno(), source, offset + total, wanted)
            except BlockingIOError:
                deadline = endpoint.wait(WRITE, deadline, "sendfile")
                continue
            except OSError as error:
                if total == 0:
                    raise _NotSendable from error
                raise
            if sent == 0:
                break
            total += sent
            deadline = None  # the timeout holds for each step, as in the standard library
        return total
    finally:
        if total > 0 and hasattr(file, "seek"):
            file.seek(offset + total)


def _by_reading(sock: stdlib.socket, file: Any, offset: int, count: int | None) -> int:
    if offset:
        file.seek(offset)
    total = 0
    try:
        while count is None or total < count:
            wanted = READ_BYTES if count is None else min(count - total, READ_BYTES)
            data = memoryview(file.read(wanted))
            if not data:
                break
            while data:
                sent = sock.send(data)
                total += sent
                data = data[sent:]
        return total
    finally:
        if total > 0 and hasattr(file, "seek"):
            file.seek(offset + total)

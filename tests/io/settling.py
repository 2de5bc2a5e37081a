"""Bringing tasklets and sockets into a known state."""

from contextlib import suppress

import ringlet
from ringlet.io import socket


def settle():
    """Let all tasklets run until each of them waits."""
    for _ in range(10):
        ringlet.schedule()


def fill(sock):
    """Send until not one more byte fits."""
    with suppress(BlockingIOError):
        while True:
            sock.send(bytes(1 << 20), socket.MSG_DONTWAIT)
    with suppress(BlockingIOError):
        while True:
            sock.send(b"x", socket.MSG_DONTWAIT)

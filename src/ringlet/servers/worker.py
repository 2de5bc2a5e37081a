"""The forked child's side of prefork: what it tells its parent, and how it ends."""

import atexit
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from ringlet.io.socket import socket as cooperative_socket
from ringlet.sched import Tasklet, sleep, spawn
from ringlet.servers.base import Server
from ringlet.servers.reload import imported_files

__all__ = ("Message", "ParentLink", "read_messages", "run_child")

logger = logging.getLogger("ringlet.serve")

Message = dict[str, Any]

#: Seconds between two looks at what has been imported meanwhile.
LOOK_SECONDS = 1.0


class ParentLink:
    """A worker's connection to its parent.

    `watching`: the parent wants to know files; `beat`: and to hear of us, every so many seconds.
    """

    def __init__(
        self, sock: socket.socket, watching: bool = False, beat: float | None = None
    ) -> None:
        self._socket = sock
        self._watching = watching
        self._beat = beat
        self._told: set[str] = set()

    def ready(self) -> None:
        """Say that the worker serves."""
        self._tell({"ready": True})
        self._tell_files(())

    def failed(self, why: str, files: Collection[str] = ()) -> None:
        """Say that it cannot, and why. `files` are those whose change may better that."""
        self._tell_files(files)
        self._tell({"failed": why, "mendable": bool(files)})

    def serve(self, server: Server, grace: float) -> None:
        """Say that `server`, which has been started, is ready, and serve until SIGTERM.

        It is stopped with `grace` seconds, too, when the parent has died. SIGINT, which a terminal
        sends to parent and workers alike, is left to the parent.
        """
        loop = [spawn(self._await_orphaned, server, grace)]
        if self._watching:
            loop.append(spawn(self._report_imports))
        if self._beat is not None:
            faulthandler.enable()  # so that SIGABRT shows what it is that lets nobody else run
            loop.append(spawn(self._show_life, self._beat))

        def stop(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # A handler must not block, and stopping does.
            spawn(server.stop, grace)

        signal.signal(signal.SIGTERM, stop)
        self.ready()
        try:
            server.serve_forever()
        finally:
            _kill(loop)

    def _await_orphaned(self, server: Server, grace: float) -> None:
        """The parent sends nothing. When it ends, so does the connection."""
        with cooperative_socket(fileno=os.dup(self._socket.fileno())) as sock:
            while sock.recv(1):
                pass
        logger.error("worker %d has lost its parent and stops", os.getpid())
        server.stop(grace)

    def _show_life(self, seconds: float) -> None:
        while True:
            sleep(seconds)
            self._tell({})

    def _report_imports(self) -> None:
        known = 0
        while True:
            sleep(LOOK_SECONDS)
            if len(sys.modules) != known:
                known = len(sys.modules)
                self._tell_files(())

    def _tell_files(self, more: Iterable[str]) -> None:
        if self._watching and (files := {*imported_files(), *more} - self._told):
            self._told |= files
            self._tell({"files": sorted(files)})

    def _tell(self, message: Message) -> None:
        self._socket.setblocking(True)  # a parent reads at once
        with suppress(OSError):  # it is not there any more, which _await_orphaned learns
            self._socket.sendall(json.dumps(message).encode() + b"\n")


def _kill(tasklets: list[Tasklet[Any]]) -> None:
    for tasklet in tasklets:
        tasklet.kill(wait=False)


def read_messages(sock: socket.socket, unread: bytearray) -> tuple[list[Message], bool]:
    """For the parent: the messages that have come, and whether that was all.

    `unread` keeps what is left of one that has not come to its end.
    """
    ended = False
    try:
        while data := sock.recv(65536):
            unread += data
        ended = True
    except BlockingIOError:
        pass
    except OSError:
        ended = True
    *lines, rest = bytes(unread).split(b"\n")
    unread[:] = rest
    return [json.loads(line) for line in lines], ended


def run_child(work: Callable[[ParentLink], int], link: ParentLink, mask: Iterable[int]) -> NoReturn:
    """In a forked child: call work(link), and end the process with the status it returns.

    `mask` are the signals to be blocked from now on.
    """
    status: Any = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = work(link)
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    try:
        if not isinstance(status, int):
            if status is not None:
                sys.stderr.write(f"{status}\n")
            status = int(status is not None)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(status & 255 if isinstance(status, int) else 1)

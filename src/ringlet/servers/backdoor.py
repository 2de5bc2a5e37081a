"""A Python console inside a running program, for those who may already do anything to it."""

import builtins
import code
import pydoc
import socket as stdlib
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import ip_address
from os import getuid
from types import CodeType
from typing import Any, TextIO, cast

from ringlet.errors import Cancelled, GreenletExit, TaskletExit
from ringlet.io.socket import socket
from ringlet.sched import dump, tasklets
from ringlet.servers.base import logger
from ringlet.servers.listeners import Address, Listener, Listening, each_of, name_of
from ringlet.servers.stream import StreamServer
from ringlet.version import VERSION

__all__ = ("BackdoorServer",)

BANNER = """\
Python {python} inside a program on ringlet {version}: what you do here, the program does.
dump() shows all tasklets and what they wait for; exit() closes this console only.
"""

#: The files of the console that the running tasklet belongs to, if it does.
_console: ContextVar["_Terminal | None"] = ContextVar("ringlet_console", default=None)


class BackdoorServer(StreamServer):
    """Serves a Python console, one for each connection, as in `nc -U /run/program.console`.

    `namespace` is what the console's variables are to begin with; `dump`, `tasklets`, `exit` and
    `quit` are added. Each console has its own copy. What is printed in a console, and by the
    tasklets that are spawned from there, appears there. Other tasklets run while it waits for
    input.

    Whoever connects can do whatever the program can. So only the path of a Unix socket, which is
    made with permissions for its owner alone, and loopback addresses are taken: ValueError for any
    other. Any user of the machine can connect to a loopback address: prefer a path. By a Unix
    socket, only the program's own user and the superuser are let in.
    """

    def __init__(
        self,
        address: Address,
        namespace: Mapping[str, Any] | None = None,
        *,
        banner: str | None = None,
        limit: int | None = None,
    ) -> None:
        for place in each_of(address):
            _refuse_unless_local(place)
        super().__init__(address, self._talk, limit=limit)
        self._how = Listening(mode=0o600)
        self._namespace = {"dump": dump, "tasklets": tasklets, **(namespace or {})}
        self._banner = banner

    def start(self) -> None:
        """Listen and serve from now on. Raises ValueError if "localhost" is not this machine."""
        super().start()
        for listener in self._listeners or ():
            try:
                _refuse_unless_local(listener.address)
            except ValueError:
                self.stop(0)
                raise

    def stop(self, timeout: float | None = None) -> None:
        """Stop as StreamServer does; but consoles are not waited for."""
        super().stop(0)

    def _talk(self, sock: socket, address: Any) -> None:
        if sock.family == stdlib.AF_UNIX and not _is_ours(sock):
            logger.warning("a console was refused to another user")
            return
        logger.warning("a console was opened from %s", name_of(address))
        banner = self._banner
        if banner is None:
            python = sys.version.split()[0]
            banner = BANNER.format(python=python, version=VERSION)
        with _Terminal(sock) as terminal:
            before = _console.set(terminal)
            _streams.enter()
            try:
                _Console(dict(self._namespace), terminal).talk(banner)
            finally:
                _streams.leave()
                _console.reset(before)


def _refuse_unless_local(place: Any) -> None:
    """Raises ValueError for an address that other machines could reach."""
    if isinstance(place, Listener):
        place = place.address
    if isinstance(place, stdlib.socket):
        place = place.getsockname()
    if isinstance(place, tuple) and place[0] != "localhost":
        try:
            local = ip_address(place[0].partition("%")[0]).is_loopback
        except ValueError:
            local = False
        if not local:
            raise ValueError(
                f"a console at {name_of(place)} would be open to others: give the path of a Unix "
                "socket, or 127.0.0.1, ::1 or localhost"
            )


def _is_ours(sock: socket) -> bool:
    """Whether the other side of a Unix socket is this user, or the superuser."""
    if not hasattr(stdlib, "SO_PEERCRED"):
        return True  # the file's permissions have to do
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_PEERCRED, size))
    return uid in (0, getuid())


class _Terminal:
    """The lines of a connection."""

    encoding = "utf-8"

    def __init__(self, sock: socket) -> None:
        self._socket = sock
        self._lines = sock.makefile("rb")
        self.closed = False

    def __enter__(self) -> "_Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True
        self._lines.close()

    def readline(self, prompt: str = "") -> str:
        """A line without its end. Raises EOFError."""
        self.write(prompt)
        try:
            line = self._lines.readline()
        except ConnectionError:
            line = b""
        if not line or line.startswith(b"\4"):  # Ctrl-D, from a terminal that sends keys
            raise EOFError
        return line.decode(errors="replace").rstrip("\r\n")

    def write(self, text: str) -> int:
        with suppress(OSError):  # nobody is there to read it
            self._socket.sendall(text.encode(errors="replace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False


class _Streams:
    """sys.stdout and sys.stderr that write to the console of the running tasklet, if it has one.

    They are in place only while there is a console.
    """

    def __init__(self) -> None:
        self._count = 0

    def enter(self) -> None:
        self._count += 1
        if self._count == 1:
            self._before = sys.stdout, sys.stderr
            self._ours = _Divided(sys.stdout), _Divided(sys.stderr)
            sys.stdout, sys.stderr = (cast("TextIO", stream) for stream in self._ours)

    def leave(self) -> None:
        self._count -= 1
        if self._count == 0 and (sys.stdout, sys.stderr) == self._ours:
            sys.stdout, sys.stderr = self._before


class _Divided:
    """A stream that is another one for those who belong to a console."""

    def __init__(self, others: Any) -> None:
        self._others = others

    def __getattr__(self, name: str) -> Any:
        terminal = _console.get()
        return getattr(self._others if terminal is None or terminal.closed else terminal, name)


_streams = _Streams()


class _Console(code.InteractiveConsole):
    """The console of the standard library, on a connection."""

    def __init__(self, namespace: dict[str, Any], terminal: _Terminal) -> None:
        # Those of the builtins read from and close the program's own standard input.
        helper = pydoc.Helper(_HelpInput(terminal), terminal)  # type: ignore[arg-type]
        namespace.update(exit=_leave, quit=_leave, input=terminal.readline, help=helper)
        namespace.setdefault("__name__", "__console__")
        namespace.setdefault("__builtins__", builtins)
        super().__init__(namespace, "<console>")
        self._terminal = terminal

    def talk(self, banner: str) -> None:
        with suppress(SystemExit):
            self.interact(banner, exitmsg="")

    def runcode(self, code: CodeType) -> None:
        """Run what was typed. What ends the tasklet ends the console; all else is shown."""
        try:
            exec(code, self.locals)
        except (SystemExit, TaskletExit, GreenletExit, Cancelled):
            raise
        except BaseException:
            self.showtraceback()

    def raw_input(self, prompt: str = "") -> str:
        return self._terminal.readline(prompt)

    def write(self, data: str) -> None:
        self._terminal.write(data)


class _HelpInput:
    """What help() reads from."""

    def __init__(self, terminal: _Terminal) -> None:
        self._terminal = terminal

    def readline(self) -> str:
        try:
            return self._terminal.readline() + "\n"
        except EOFError:
            return ""


def _leave() -> None:
    """End this console."""
    raise SystemExit

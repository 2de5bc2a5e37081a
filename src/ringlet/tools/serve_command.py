"""The command `ringlet serve`: a WSGI application over HTTP."""

import argparse
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import Any

from ringlet.sched import spawn
from ringlet.servers import WSGIServer
from ringlet.servers.base import ARRIVAL
from ringlet.servers.inherited import descriptor_socket, inherited_sockets, notify
from ringlet.servers.listeners import Address, Listener, Listening, listen
from ringlet.servers.prefork import Supervisor
from ringlet.servers.worker import ParentLink
from ringlet.tools.command import LAYOUT, CommandError
from ringlet.tools.loading import files_behind, load
from ringlet.tools.serve_options import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    FdAddress,
    add_options,
    option_of,
    server_keywords,
)

__all__ = ("add_parser", "execute")

#: Seconds that requests under way get to end once the server is told to stop.
GRACE = 5.0

#: Several lines for one event; the process is the one it happened in.
LOG_FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"

DESCRIPTION = """\
Serve a WSGI application over HTTP/1.1, one tasklet for each connection.

MODULE is named as Python imports it; the current directory is searched first.
APP is the application in it: a callable that takes (environ, start_response).
Flask's and Django's application objects are such callables.
"""

EXAMPLES = """\
examples:
  ringlet serve examples.hello:app
      the application `app` of examples/hello.py, on http://127.0.0.1:8000
  ringlet serve examples.hello:app --reload
      the same while you write it: it starts anew when a file changes
  ringlet serve mysite.wsgi:application --workers auto --bind unix:/run/site.sock
      a Django site on all cores, for a proxy on this machine
  ringlet serve shop:api.app --bind 0.0.0.0:443 --bind [::]:443 --tls-cert shop.pem
      an attribute of an attribute, for clients on other machines, with TLS
  ringlet serve examples.hello:app --port 0
      any free port; the first line printed says which

Ctrl-C or SIGTERM stops the server: it takes no more connections, lets the
requests under way end for up to 5 seconds (--grace), and exits with status 0.
A second Ctrl-C ends it at once.

With --workers or --reload the process you start is the parent: SIGHUP replaces
the workers one by one, each new one ready before an old one leaves, and none
loses a request; SIGTTIN and SIGTTOU make them one more or one less.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "serve",
        help="serve a WSGI application; 'ringlet serve --help' shows how",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=LAYOUT,
    )
    parser.add_argument("app", metavar="MODULE:APP", help="as in examples.hello:app")
    add_options(parser)


def execute(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Serve until a signal says stop. Raises CommandError."""
    # Scripts do not get the current directory by themselves, and `python -m` puts it there as "".
    sys.path.insert(0, os.getcwd())
    set_up_logs(arguments.log_level)
    command = Serve(arguments)
    try:
        with pid_file(arguments.pid_file):
            if arguments.workers is None and not arguments.reload:
                command.alone()
            else:
                command.with_workers()
    except KeyboardInterrupt:  # before the server could take the signal for a wish to stop
        return 128 + signal.SIGINT
    return 0


class Serve:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._app_name: str = arguments.app
        self._grace: float = GRACE if arguments.grace is None else arguments.grace
        self._app: Any = None

    def alone(self) -> None:
        """Serve in this process."""
        for option in ("preload", "hang_timeout"):
            if getattr(self._arguments, option):
                raise CommandError(f"{option_of(option)} is for workers: give --workers, too")
        if self._arguments.reload_include:
            raise CommandError("--reload-include says what else to watch: give --reload, too")
        app = self._load()
        server = self._server(self._addresses(), app, reuse_port=self._arguments.reuse_port)
        stop_on_signals(server, self._grace)
        self._announce(server.addresses)
        server.serve_forever()

    def with_workers(self) -> None:
        """Serve in worker processes, and be their parent."""
        arguments = self._arguments
        if arguments.preload:
            if arguments.patch:
                raise CommandError("--patch is for workers: leave out --preload, or --patch")
            if arguments.reload:
                raise CommandError("--preload keeps the old code: leave it out, or --reload")
            self._app = self._load()
        reuse_port: bool = arguments.reuse_port
        # The parent must not start threads, as looking up names otherwise would.
        how = Listening(
            backlog=0 if reuse_port else arguments.backlog,
            reuse_port=reuse_port,
            mode=arguments.unix_mode,
            lookup=socket.getaddrinfo,
        )
        with plain_errors():
            listeners = listen(self._addresses(), how)
        count: int = arguments.workers or 1

        def when_ready() -> None:
            self._announce([listener.address for listener in listeners])

        def before_stop() -> None:
            notify("STOPPING=1")
            if any([listener.refuse() for listener in listeners]):  # noqa: C419 (all of them)
                time.sleep(ARRIVAL)

        def work(link: ParentLink) -> int:
            return self._work(link, listeners, count)

        supervisor = Supervisor(
            work,
            count,
            grace=self._grace,
            boot_timeout=arguments.boot_timeout,
            hang_timeout=arguments.hang_timeout,
            reload=arguments.reload,
            watched=arguments.reload_include,
            when_ready=when_ready,
            before_stop=before_stop,
        )
        try:
            status = supervisor.run()
        finally:
            for listener in listeners:
                listener.close()
        if status:
            raise CommandError(supervisor.failure or "the workers could not begin")

    def _work(self, link: ParentLink, listeners: list[Listener], count: int) -> int:
        """A worker."""
        places: list[Address] = list(listeners)
        if self._arguments.reuse_port:
            places = [
                listener.address if isinstance(listener.address, tuple) else listener
                for listener in listeners
            ]
        try:
            app = self._app or self._load()
            server = self._server(
                places, app, reuse_port=self._arguments.reuse_port, multiprocess=count > 1
            )
        except CommandError as error:
            link.failed(str(error), files_behind(error))
            return 1
        if not self._arguments.reuse_port:
            server.takes_per_turn = 1
        link.serve(server, self._grace)
        return 0

    def _load(self) -> Any:
        """The application. Raises CommandError."""
        if self._arguments.patch:
            import_module("ringlet.patch").install()
        return load(self._app_name)

    def _server(self, places: list[Address], app: Any, **more: Any) -> WSGIServer:
        """A server that has been started. Raises CommandError."""
        with plain_errors():
            keywords = server_keywords(self._arguments)
            server = WSGIServer(places, app, ssl=self._tls(), **keywords, **more)
            server.start()
        return server

    def _tls(self) -> Any:
        """The context that the options describe; None without TLS."""
        arguments = self._arguments
        if arguments.tls_cert is None:
            if arguments.tls_key or arguments.tls_client_ca:
                raise CommandError("a certificate is missing: give --tls-cert FILE, too")
            return None
        ssl = import_module("ringlet.io.ssl")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
        except OSError as error:
            what = arguments.tls_cert
            if arguments.tls_key:
                what += f" with {arguments.tls_key}"
            raise CommandError(f"the certificate {what} cannot be used: {error}") from error
        if arguments.tls_client_ca is not None:
            try:
                context.load_verify_locations(arguments.tls_client_ca)
            except OSError as error:
                raise CommandError(f"{arguments.tls_client_ca} cannot be used: {error}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _addresses(self) -> list[Address]:
        """Where to listen. Raises CommandError."""
        bind, host, port = (getattr(self._arguments, name) for name in ("bind", "host", "port"))
        if host is None and port is None:
            if bind is None and (inherited := _inherited()):
                return inherited
        elif bind is not None:
            raise CommandError("--bind says host and port, too: leave out --host and --port")
        if bind is None:
            chosen = DEFAULT_PORT if port is None else port
            return [(DEFAULT_HOST if host is None else host, chosen)]
        found: list[Address] = []
        for place in bind:
            found += _opened(place) if isinstance(place, FdAddress) else [place]
        return found

    def _announce(self, addresses: list[Any]) -> None:
        """Say that clients may come."""
        asked = self._arguments.host
        scheme = "http" if self._arguments.tls_cert is None else "https"
        where = dict.fromkeys(url(address, scheme, asked) for address in addresses)
        sys.stdout.write(f"serving {self._app_name} on {', '.join(where)} (Ctrl-C stops it)\n")
        sys.stdout.flush()
        notify(f"READY=1\nMAINPID={os.getpid()}")


def _inherited() -> list[Address]:
    """What systemd has opened for us. Raises CommandError."""
    with plain_errors():
        return list(inherited_sockets())


def _opened(place: FdAddress) -> list[Address]:
    """The sockets that somebody has opened for us. Raises CommandError."""
    if place.number is not None:
        with plain_errors():
            return [descriptor_socket(place.number)]
    found = _inherited()
    if not found:
        raise CommandError(
            "systemd has opened no socket for us: start this from a unit with a .socket"
        )
    return found


@contextmanager
def plain_errors() -> Iterator[None]:
    """Make what a server says about its addresses and options the command's own error."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise CommandError(f"{error.filename}: {what}" if error.filename else what) from error
    except (ImportError, ValueError, TypeError) as error:
        raise CommandError(str(error)) from error


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Have our pid in a file meanwhile. Raises CommandError."""
    if path is None:
        yield
        return
    try:
        with open(path, "w") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)


def set_up_logs(level: str | None) -> None:
    """Logs go to standard error; what the parent does with its workers among them."""
    logging.basicConfig(format=LOG_FORMAT)
    if level is None:
        logging.getLogger("ringlet.serve").setLevel(logging.INFO)
    else:
        logging.getLogger().setLevel(level.upper())


def stop_on_signals(server: WSGIServer, grace: float) -> None:
    """Make Ctrl-C and SIGTERM stop `server`; the next one of them has its usual effect again."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # A handler must not block, and stopping does.
        spawn(server.stop, grace)

    handler: Callable[[int, FrameType | None], None] = stop
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def url(address: Any, scheme: str = "http", asked: str | None = None) -> str:
    """An address as a browser takes it; `asked` is the name it was given by."""
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host, port = asked or address[0], address[1]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

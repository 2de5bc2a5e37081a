"""The command `ringlet serve`: a WSGI application over HTTP."""

import argparse
import importlib
import logging
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Any

from ringlet.sched import spawn
from ringlet.servers import WSGIServer
from ringlet.tools.command import LAYOUT, CommandError

__all__ = ("add_parser", "execute")

#: Seconds that requests under way get to end once the server is told to stop.
GRACE = 5.0

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
  ringlet serve mysite.wsgi:application --port 8080
      a Django site
  ringlet serve shop:api.app --host 0.0.0.0
      an attribute of an attribute, for clients on other machines too
  ringlet serve examples.hello:app --port 0
      any free port; the first line printed says which

Ctrl-C or SIGTERM stops the server: it takes no more connections, lets the
requests under way end for up to 5 seconds, and exits with status 0.
A second Ctrl-C ends it at once.
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
    parser.add_argument(
        "--host", default="127.0.0.1", help="address or name to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=port, default=8000, help="0 takes any free one (default: %(default)s)"
    )


def execute(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Serve until a signal says stop. Raises CommandError."""
    try:
        serve(arguments.app, arguments.host, arguments.port)
    except KeyboardInterrupt:  # before the server could take the signal for a wish to stop
        return 128 + signal.SIGINT
    return 0


def port(text: str) -> int:
    """The value of --port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def serve(app_name: str, host: str, port: int) -> None:
    """Serve until a signal says stop. Raises CommandError."""
    # Scripts do not get the current directory by themselves, and `python -m` puts it there as "".
    sys.path.insert(0, os.getcwd())
    app = load(app_name)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        server = WSGIServer((host, port), app)
    except ImportError as error:
        raise CommandError(str(error)) from error
    try:
        server.start()
    except OSError as error:
        raise CommandError(error.strerror or str(error)) from error
    stop_on_signals(server)
    sys.stdout.write(f"serving {app_name} on {url(host, server.address[1])} (Ctrl-C stops it)\n")
    sys.stdout.flush()
    server.serve_forever()


def stop_on_signals(server: WSGIServer) -> None:
    """Make Ctrl-C and SIGTERM stop `server`; the next one of them has its usual effect again."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # A handler must not block, and stopping does.
        spawn(server.stop, GRACE)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def load(app_name: str) -> Any:
    """The application that MODULE:APP names. Raises CommandError."""
    module_name, colon, path = app_name.partition(":")
    names = [*module_name.split("."), *path.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise CommandError(
            f"{app_name!r} is not of the form MODULE:APP: give a module as Python imports it, "
            "a colon and a name in it, as in examples.hello:app"
        )
    found: Any = load_module(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise CommandError(
                f"module {module_name} was imported but has no {path!r}: name the application in it"
            ) from None
    if not callable(found):
        raise CommandError(
            f"{app_name} is no application but {type(found).__name__}: "
            "name a callable that takes (environ, start_response)"
        )
    return found


def load_module(name: str) -> Any:
    """Import a module, and tell "there is none" from "it failed"."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself or a package around it; anything else is missing inside the module.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            hint = "leave out .py" if name.endswith(".py") else "check its spelling, or cd to it"
            raise CommandError(
                f"there is no module {name!r} in {os.getcwd()} or among the installed ones: {hint}"
            ) from None
        raise import_failure(name, error) from error
    except (Exception, SystemExit) as error:
        raise import_failure(name, error) from error


def import_failure(name: str, error: BaseException) -> CommandError:
    """What to say when a module was found and its own code raised `error`."""
    # By hand, for the traceback module may import what is missing once more to give advice.
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    what = f"{type(error).__name__}: {text}".strip().partition("\n")[0]
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen importlib")
        ]
        where = f"{frames[-1].filename}, line {frames[-1].lineno}"
    todo = "install what is missing" if isinstance(error, ModuleNotFoundError) else "correct that"
    return CommandError(f"module {name} failed while it was imported: {what} ({where}); {todo}")


def url(host: str, port: int) -> str:
    """The address as a browser takes it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

"""The command `ringlet run`: a program, on ringlet."""

import argparse
import sys
from importlib import import_module

from ringlet.tools.command import LAYOUT, CommandError
from ringlet.tools.run import ProgramError, run_module, run_program

__all__ = ("add_parser", "execute", "split")

DESCRIPTION = """\
Run a Python program as `python PROGRAM` would, on ringlet.

Options for ringlet come before the program; all that follows it is for the
program itself.
"""

EXAMPLES = """\
examples:
  ringlet run --greenlet server.py --port 8080
      `import greenlet` gives ringlet's greenlets to server.py and to all that
      it imports: gevent, eventlet, SQLAlchemy, Playwright
  ringlet run --greenlet -m pytest tests
      the same for a module, as python -m runs it
  ringlet run --stackless examples/stackless/sieve.py
      `import stackless` gives ringlet's tasklets and channels by Stackless's rules
  ringlet run --patch crawler.py
      the standard library's threads, sockets, locks and sleep become cooperative:
      each thread that crawler.py starts is a tasklet
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "run",
        help="run a program on ringlet; 'ringlet run --help' shows how",
        usage="ringlet run [-h] [--patch] [--greenlet] [--stackless]\n"
        "                   (PROGRAM | -m MODULE) [ARGUMENT ...]",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=LAYOUT,
    )
    parser.add_argument(
        "--greenlet", action="store_true", help="make `import greenlet` give ringlet's greenlets"
    )
    parser.add_argument(
        "--stackless",
        action="store_true",
        help="make `import stackless` give ringlet's tasklets and channels by Stackless's rules",
    )
    parser.add_argument(
        "--patch",
        action="store_true",
        help="make the standard library's waiting cooperative, and its threads tasklets",
    )
    parser.add_argument(
        "--patch-report",
        action="store_true",
        help="the same, and say on stderr what was patched and what could not be",
    )
    parser.add_argument("-m", dest="module", metavar="MODULE", help="run a module as python -m")
    parser.add_argument(
        "program", nargs="?", metavar="PROGRAM", help="a script, or a folder with a __main__.py"
    )


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Divide the words after `ringlet` in those for `ringlet run` and those for its program."""
    for place, word in enumerate(argv[1:], 1):
        if word == "-m":
            return argv[: place + 2], argv[place + 2 :]
        if not word.startswith("-") or word == "-":
            return argv[: place + 1], argv[place + 1 :]
    return argv, []


def execute(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Run a program; returns its exit status. Raises CommandError."""
    # Only what is asked for: a program should find as little imported before it as can be.
    for name in ("greenlet", "stackless"):
        if getattr(arguments, name):
            import_module(f"ringlet.compat.{name}").install()
    if arguments.patch or arguments.patch_report:
        report = import_module("ringlet.patch").install()
        if arguments.patch_report:
            sys.stderr.write(f"{report}\n")
    try:
        if arguments.module is not None:
            return run_module(arguments.module, rest)
        if arguments.program is None:
            raise CommandError("which program? see 'ringlet run --help'")
        return run_program(arguments.program, rest)
    except ProgramError as error:
        raise CommandError(str(error)) from error

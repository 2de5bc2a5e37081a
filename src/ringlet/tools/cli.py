"""The command `ringlet`.

What a user can do wrong ends it with one line on stderr that says what is the matter and what to
do about it, never with a traceback. Exit status: 0 when stopped by a signal it knows, 2 for a
command line that makes no sense, 1 for everything else.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from ringlet.tools.command import LAYOUT, CommandError, Parser
from ringlet.version import VERSION

__all__ = ("main",)

DESCRIPTION = """\
Run programs on ringlet, the scheduler for plain blocking Python.

  ringlet serve MODULE:APP           serve a WSGI application over HTTP
  ringlet run --greenlet PROGRAM     run a program written for greenlet
  ringlet run --stackless PROGRAM    run a program written for Stackless Python
  ringlet run --patch PROGRAM        run a program whose threads are to be tasklets
"""

#: Where each command is. Only the one in question is imported, with all that it needs.
COMMANDS = {
    "run": "ringlet.tools.run_command",
    "serve": "ringlet.tools.serve_command",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default that of the process, and return its exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    named = argv[0] if argv else None
    parser = Parser(prog="ringlet", description=DESCRIPTION, formatter_class=LAYOUT)
    parser.add_argument("--version", action="version", version=f"ringlet {VERSION}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="command"
    )
    modules = {
        name: import_module(place)
        for name, place in COMMANDS.items()
        if named == name or named not in COMMANDS
    }
    for module in modules.values():
        module.add_parser(commands)
    own, rest = modules["run"].split(argv) if named == "run" else (argv, [])
    arguments = parser.parse_args(own)
    try:
        status: int = modules[arguments.command].execute(arguments, rest)
    except CommandError as error:
        sys.stderr.write(f"ringlet {arguments.command}: {error}\n")
        status = 1
    return status

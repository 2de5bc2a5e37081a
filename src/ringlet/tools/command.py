"""What the modules of the subcommands share."""

import argparse
from typing import NoReturn

__all__ = ("LAYOUT", "CommandError", "Parser")

#: For parsers whose descriptions are laid out by hand.
LAYOUT = argparse.RawDescriptionHelpFormatter


class CommandError(Exception):
    """What the user gets to read instead of a result: one line, and the command ends."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line; argparse would add the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")

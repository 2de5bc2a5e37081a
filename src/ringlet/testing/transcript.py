"""What happened, in the order it happened, as lines of text."""

import difflib
import textwrap
from collections.abc import Iterable, Iterator

from ringlet import _core

__all__ = ("Transcript",)


class Transcript:
    """Transcript(*, names=False, times=False): call it with what happens, then compare.

    Each call adds a line: its arguments in words, one blank between them. With `names` the line
    begins with the running tasklet's name, with `times` with the seconds that its hub's clock
    shows. May be called from any thread; lines of several threads are in the order they came.
    """

    def __init__(self, *, names: bool = False, times: bool = False) -> None:
        #: The lines so far.
        self.lines: list[str] = []
        self._names = names
        self._times = times

    def __call__(self, *what: object) -> None:
        """Add a line."""
        line = " ".join(map(str, what))
        if self._names:
            line = f"{_core.current().name}: {line}"
        if self._times:
            line = f"{_core.hub().clock.time():g} {line}"
        self.lines.append(line)

    def __repr__(self) -> str:
        return f"<transcript of {len(self.lines)} lines>"

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def expect(self, expected: str | Iterable[str]) -> None:
        """Compare with what should have happened, and begin anew.

        `expected` is a text with a line for each, indented as is convenient, or the lines
        themselves. Raises AssertionError that shows where the two differ.
        """
        __tracebackhide__ = True
        if isinstance(expected, str):
            wanted = textwrap.dedent(expected).strip("\n").splitlines()
            # What a closing """ on a line of its own leaves.
            while wanted and not wanted[-1].strip():
                wanted.pop()
        else:
            wanted = list(expected)
        lines, self.lines = self.lines, []
        if lines != wanted:
            difference = "\n".join(_difference(wanted, lines))
            raise AssertionError(f"it happened otherwise (- expected, + happened):\n{difference}")


def _difference(wanted: list[str], lines: list[str]) -> Iterator[str]:
    """All lines of both, each marked with where it is."""
    matcher = difflib.SequenceMatcher(None, wanted, lines, autojunk=False)
    for kind, wanted_from, wanted_to, from_, to in matcher.get_opcodes():
        if kind == "equal":
            yield from (f"  {line}" for line in lines[from_:to])
        else:
            yield from (f"- {line}" for line in wanted[wanted_from:wanted_to])
            yield from (f"+ {line}" for line in lines[from_:to])

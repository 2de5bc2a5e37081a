"""What a client program prints: a line for each operation, the same on either greenlet.

The lines go to stdout and are compared. Whose greenlet the program ran on is no part of them: the
last line on stderr tells, as the process itself sees it, by what is imported and what is mapped.
"""

import json
import re
import sys
from pathlib import Path

# What differs from run to run: addresses in memory, ports.
CHANCE = re.compile(r"(?<=0x)[0-9a-f]{6,}|(?<=127\.0\.0\.1:)\d+")


class Transcript:
    """Numbers and prints the operations of a program."""

    def __init__(self) -> None:
        self._section = ""
        self._count = 0

    def section(self, name: str) -> None:
        """What follows is about `name`."""
        self._section = name

    def say(self, operation: str, *outcome: object) -> None:
        """Tell one operation and what came of it; addresses and ports are left out."""
        self._count += 1
        told = " ".join(value if isinstance(value, str) else repr(value) for value in outcome)
        line = f"{self._count:03} {self._section}: {operation} -> {told}"
        print(CHANCE.sub("...", line), flush=True)

    def refuses(self, operation, error, function, *args, **kwargs) -> None:
        """Tell that `function` raises `error`, and with what message."""
        try:
            result = function(*args, **kwargs)
        except error as raised:
            self.say(operation, type(raised).__name__, str(raised))
        else:
            self.say(operation, f"no {error.__name__} but", result)

    def close(self) -> None:
        """Tell that the program came to its end, and, on stderr, on whose greenlet it ran."""
        print(f"done: {self._count} operations")
        sys.stderr.write(f"{json.dumps(evidence())}\n")


def evidence() -> dict[str, object]:
    """Which cores this process has: imported, mapped, and behind the name `greenlet`."""
    mapped = Path("/proc/self/maps").read_text()
    greenlet = sys.modules["greenlet"]
    return {
        "ringlet imported": "ringlet._core" in sys.modules,
        "ringlet mapped": bool(re.search(r"/ringlet/_core\.[^/\n]*so\b", mapped)),
        "greenlet mapped": bool(re.search(r"/greenlet/_greenlet\.[^/\n]*so\b", mapped)),
        "ringlet behind the name": isinstance(
            greenlet.getcurrent(), getattr(sys.modules.get("ringlet._core"), "greenlet", ())
        ),
    }

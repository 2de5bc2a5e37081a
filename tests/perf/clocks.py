"""What the questions read: CPU time and memory, as the kernel accounts them.

CPU time, not the wall clock: on a shared machine the other processes' turns are not ours.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def best(loop: Callable[[], object], operations: int, repeats: int = 5) -> float:
    """Nanoseconds of CPU time per operation, in the fastest of several runs of `loop`."""
    return min(timed(loop) for _ in range(repeats)) / operations


def timed(loop: Callable[[], object]) -> int:
    """Nanoseconds of this process's CPU time that one call of `loop` takes."""
    start = time.process_time_ns()
    loop()
    return time.process_time_ns() - start


def cpu_seconds(pid: int) -> float:
    """CPU time that another process and its children have used so far, in user and kernel mode."""
    fields = [_stat(each) for each in family(pid)]
    return sum(int(each[11]) + int(each[12]) for each in fields) * TICK


def family(pid: int) -> list[int]:
    """A process, its children, and theirs."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile
                parents[int(entry.name)] = int(_stat(entry.name)[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _stat(pid: int | str) -> list[str]:
    """What the kernel accounts of a process, from its state on, which is the 3rd field."""
    # The name in parentheses before that may hold spaces.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that are in memory, counted page by page by the kernel."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no Rss line in smaps_rollup: it has ended")

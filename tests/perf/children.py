"""One measurement in one fresh process, pinned to one core."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.perf import clocks

ROOT = Path(__file__).resolve().parents[2]
TIME_LIMIT = 180.0  # seconds for one measurement
CORES = "RINGLET_PERF_CORES"


class MeasurementError(Exception):
    """A child that failed; the text is the last line it wrote."""


def cores() -> tuple[int, int]:
    """The core to measure on and the core for load; the same one where there is only one."""
    if chosen := os.environ.get(CORES):
        measuring, load = chosen.split(",")
        return int(measuring), int(load)
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


def measure(
    work: Callable[..., Any], parameters: Mapping[str, Any], env: Mapping[str, str]
) -> float:
    """Runs a question's function in a fresh process of its own and returns its number.

    Raises MeasurementError, with the child's last line, when it fails or takes too long.
    """
    measuring, load = cores()
    process = subprocess.Popen(
        command(work, parameters),
        cwd=ROOT,
        # One hash seed: how dictionaries of names collide must not differ between rounds.
        env={**os.environ, CORES: f"{measuring},{load}", "PYTHONHASHSEED": "0", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=TIME_LIMIT)
    except BaseException as error:
        # With its session: a server it started must not outlive it.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise MeasurementError(f"took longer than {TIME_LIMIT:g} s") from None
        raise
    if process.returncode:
        raise MeasurementError(_last_words(process.returncode, err))
    return float(json.loads(out))


@contextmanager
def serving(serve: Callable[..., Any], parameters: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Runs a serving function of a question beside this child; gives its process id and port."""
    with subprocess.Popen(
        command(serve, parameters), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                # The server has said why on the error stream we share; add nothing after it.
                sys.exit(1)
            yield process.pid, int(line)
        finally:
            for pid in clocks.family(process.pid):  # its workers too
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def command(work: Callable[..., Any], parameters: Mapping[str, Any]) -> list[str]:
    """The command line of a worker."""
    target = f"{work.__module__}:{work.__qualname__}"
    python = [sys.executable, "-W", "ignore", "-m", "tests.perf.worker"]
    return [*python, target, json.dumps(dict(parameters))]


def _last_words(code: int, err: str) -> str:
    lines = err.strip().splitlines()
    if lines:
        return lines[-1]
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

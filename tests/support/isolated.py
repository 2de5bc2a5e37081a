"""Programs that may crash, hang or change the whole process run in a child of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "isolated"
REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what it said."""

    exit: int  # as subprocess has it: minus the signal's number if a signal ended it
    stdout: str
    stderr: str

    @property
    def ending(self) -> str:
        """The ending in words: "exit 3", "killed by SIGSEGV"."""
        if self.exit >= 0:
            return f"exit {self.exit}"
        return f"killed by {signal.Signals(-self.exit).name}"

    def report(self, headline: str) -> str:
        """All that was seen, for the message of a failed test."""
        return (
            f"{headline}\n--- stdout\n{self.stdout or '(nothing)'}"
            f"\n--- stderr\n{self.stderr or '(nothing)'}"
        )


def run_isolated(
    program: str,
    *args: str,
    exit: int | None = 0,  # noqa: A002 - the word every caller would look for
    env: Mapping[str, str] | None = None,
    timeout: float = 50,
) -> Outcome:
    """Run a Python program in a child process with faulthandler on and warnings as errors.

    `program` is source text, or the name of a file in tests/isolated ("name.py"). It can import
    ringlet, tests.support and examples. `env` adds to this process's environment. AssertionError
    with everything the program said, and with the name of the signal that killed it, if it does
    not end with status `exit` (minus a signal's number; None takes any) within `timeout` seconds;
    a program that is too slow is first made to print where all its threads stand.
    """
    __tracebackhide__ = True
    is_file = program.endswith(".py") and "\n" not in program
    where = [str(SCRIPTS / program)] if is_file else ["-c", program]
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-W", "error", *where, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    name = program if is_file else "the program"
    try:
        stdout, stderr = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        outcome = _abort(child)
        raise AssertionError(
            outcome.report(f"{name} did not end within {timeout} seconds")
        ) from None
    outcome = Outcome(child.returncode, stdout, stderr)
    if exit is not None and outcome.exit != exit:
        wanted = Outcome(exit, "", "").ending
        raise AssertionError(outcome.report(f"{name}: {outcome.ending}, expected {wanted}"))
    return outcome


def _abort(child: subprocess.Popen[str]) -> Outcome:
    """End a child that hangs; faulthandler prints its stacks on the way, if it still can."""
    child.send_signal(signal.SIGABRT)
    try:
        stdout, stderr = child.communicate(timeout=REPORT_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        stdout, stderr = child.communicate()
    return Outcome(child.returncode, stdout, stderr)

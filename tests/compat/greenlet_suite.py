"""Run greenlet's own test-suite, from its wheel, on ringlet's core.

    python -m tests.compat.greenlet_suite [TEST ...]

It needs greenlet 3.5.6 with its tests in the environment, psutil and objgraph, which those tests
use: the extra `compat` has them. Every test runs in a child process where `import greenlet` gives
ringlet's; one that dies or hangs ends as "crashed" and the rest go on in another child.

What fails is compared with `LOOKS_INSIDE` both ways: a test that is listed and passes is an error
too. What skips itself must do so on greenlet as well. The exit status is 0 when all that agrees.
TEST is a name or a part of names to run, instead of all.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from tests.compat.greenlet_suite_list import LOOKS_INSIDE

VERSION = "3.5.6"
SECONDS = 90  # for one test
ROOT = Path(__file__).resolve().parents[2]

#: What each child runs before anything else, and the children that tests start as well: the module
#: as `install()` makes it, except that its tests are found where the real one has them.
SITECUSTOMIZE = """\
from ringlet.compat.greenlet import install
greenlet = install()
greenlet.__path__ = [{folder!r}]
greenlet.__file__ = {folder!r} + "/__init__.py"
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compat.greenlet_suite", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("tests", nargs="*", metavar="TEST", help="a part of the names to run")
    parser.add_argument("--child", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return run_here(Path(arguments.child), arguments.tests)
    with tempfile.TemporaryDirectory() as folder:
        environment = prepare(Path(folder))
        names = listed(Path(folder), environment, arguments.tests)
        outcomes = dict(run_all(Path(folder), environment, names))
        skipped = [name for name, (outcome, _) in outcomes.items() if outcome == "skipped"]
        (Path(folder) / "sitecustomize.py").unlink()  # So this is greenlet itself.
        at_home = dict(run_all(Path(folder), environment, skipped))
    hidden = {name: outcomes[name][1] for name in skipped if at_home[name][0] != "skipped"}
    return compare(outcomes, hidden, complete=not arguments.tests)


def prepare(folder: Path) -> dict[str, str]:
    """The environment of the children. Raises SystemExit if the suite is not there."""
    try:
        version = metadata.version("greenlet")
    except metadata.PackageNotFoundError:
        version = "no"
    spec = importlib.util.find_spec("greenlet")
    if version != VERSION or spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            f"this needs greenlet {VERSION}, and there is {version} greenlet installed"
        )
    (package,) = spec.submodule_search_locations
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(folder=package))
    path = os.pathsep.join([str(folder), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


# ---- in the child


class Recorder(unittest.TestResult):
    """Writes down what becomes of each test before the next one begins."""

    def __init__(self, write: Callable[[str, str, str], None]) -> None:
        super().__init__()
        self.write = write

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self.write(test.id(), "began", "")

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        wrong = [text for whose, text in self.failures + self.errors if whose.id() == test.id()]
        skipped = [why for whose, why in self.skipped if whose.id() == test.id()]
        unexpected = [whose for whose in self.unexpectedSuccesses if whose.id() == test.id()]
        if wrong or unexpected:
            self.write(test.id(), "failed", "\n".join(wrong) or "it was expected to fail")
        elif skipped:
            self.write(test.id(), "skipped", skipped[0])
        else:
            self.write(test.id(), "passed", "")


def all_tests() -> dict[str, unittest.TestCase]:
    """Greenlet's tests by their names, as `unittest discover` finds them."""

    def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
        for test in suite:
            if isinstance(test, unittest.TestSuite):
                yield from flat(test)
            else:
                yield test

    found = unittest.defaultTestLoader.discover("greenlet.tests")
    return {test.id(): test for test in flat(found)}


def run_here(record: Path, names: list[str]) -> int:
    """Run these tests in this process, or only list all names if there are none."""
    tests = all_tests()
    with record.open("a") as file:

        def write(name: str, outcome: str, text: str) -> None:
            file.write(json.dumps([name, outcome, text]) + "\n")
            file.flush()

        if not names:
            for name in tests:
                write(name, "listed", "")
        recorder = Recorder(write)
        for name in names:
            unittest.TestSuite([tests[name]]).run(recorder)
    return 0


# ---- in the parent


def child(folder: Path, environment: dict[str, str], names: list[str]) -> list[list[str]]:
    """Run one child process; returns its records."""
    record = folder / "record"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.compat.greenlet_suite"]
    limit = SECONDS + 5 * len(names)
    try:
        done = subprocess.run(
            [*command, "--child", str(record), *names],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=limit,
        )
        ending = f"exit {done.returncode}\n{done.stderr[-3000:]}"
    except subprocess.TimeoutExpired:
        ending = f"still running after {limit} seconds"
    if not record.exists():
        raise SystemExit(f"the suite cannot be run: {ending}")
    records: list[list[str]] = [json.loads(line) for line in record.read_text().splitlines()]
    if records and records[-1][1] == "began":
        records[-1][1:] = ["crashed", ending]
    return [entry for entry in records if entry[1] != "began"]


def listed(folder: Path, environment: dict[str, str], parts: list[str]) -> list[str]:
    names = [name for name, _, _ in child(folder, environment, [])]
    if any(name.startswith("unittest.loader.") for name in names):
        raise SystemExit(f"some tests cannot be imported: {names}")
    return [name for name in names if not parts or any(part in name for part in parts)]


def run_all(
    folder: Path, environment: dict[str, str], names: list[str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """What became of each test and why, one module a child as long as nothing crashes."""
    waiting = names
    while waiting:
        module = waiting[0].split(".")[2]
        together = [name for name in waiting if name.split(".")[2] == module]
        records = child(folder, environment, together)
        for name, outcome, text in records:
            yield name, (outcome, text)
        seen = {name for name, _, _ in records}
        if not seen:
            raise SystemExit(f"no test of {module} could be run")
        waiting = [name for name in waiting if name not in seen]


def compare(outcomes: dict[str, tuple[str, str]], hidden: dict[str, str], *, complete: bool) -> int:
    """Print what does not agree with the list, and return the exit status.

    `hidden` are tests that greenlet passes or fails and that we skip, with the reasons they gave.
    """
    status = 0
    for name, text in hidden.items():
        print(f"\nSKIPPED, and greenlet does not skip it: {name}\n{text}")
        status = 1
    for name, (outcome, text) in outcomes.items():
        wrong = outcome in ("failed", "crashed")
        if wrong and name not in LOOKS_INSIDE:
            print(f"\n{outcome.upper()}: {name}\n{text}")
            status = 1
        elif outcome == "passed" and name in LOOKS_INSIDE:
            print(f"\nPASSED, and is in the list of those that cannot: {name}")
            status = 1
    if complete:
        for name in LOOKS_INSIDE.keys() - outcomes.keys():
            print(f"\nin the list, but there is no such test: {name}")
            status = 1
    counts = {
        kind: sum(outcome == kind for outcome, _ in outcomes.values())
        for kind in ("passed", "skipped", "failed", "crashed")
    }
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    print(f"greenlet {VERSION}'s own suite on ringlet: {told}; {len(LOOKS_INSIDE)} listed")
    return status


if __name__ == "__main__":
    sys.exit(main())

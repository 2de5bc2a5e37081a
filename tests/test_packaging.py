"""Where the project says it can be built; elsewhere the build stops with a sentence."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import ringlet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

ELSEWHERE = """
import runpy, sys
sys.platform, sys.implementation.name = sys.argv[1:3]
sys.argv = ["setup.py", "build_ext"]
runpy.run_path("setup.py", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("platform", "implementation", "sentence"),
    [
        ("win32", "cpython", "(win32): its core switches C stacks as Linux and macOS lay them out"),
        ("linux", "pypy", "(linux): its core is made for CPython's frames, and this is pypy"),
    ],
)
def test_the_build_stops_elsewhere_with_a_sentence(platform, implementation, sentence) -> None:
    """Before it imports anything that a bare interpreter lacks, and without a traceback."""
    build = subprocess.run(
        [sys.executable, "-S", "-c", ELSEWHERE, platform, implementation],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 1
    assert build.stderr.count("\n") == 1
    assert build.stderr.startswith(f"ringlet cannot be built for this Python {sentence}")


def test_the_version_is_said_once() -> None:
    assert ringlet.__version__ == version("ringlet")
    assert re.fullmatch(r"\d+\.\d+\.\d+", ringlet.__version__)


def test_wheels_are_made_for_what_the_classifiers_promise() -> None:
    promised = {
        match[1].replace(".", "")
        for classifier in PROJECT["project"]["classifiers"]
        if (match := re.search(r"Python :: (3\.\d+)$", classifier))
    }
    built = PROJECT["tool"]["cibuildwheel"]["build"]
    assert {f"cp{digits}-*" for digits in promised} == set(built)


def test_wheels_are_tested_by_files_that_exist() -> None:
    named = re.findall(r"tests/\S+\.py", PROJECT["tool"]["cibuildwheel"]["test-command"])
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []

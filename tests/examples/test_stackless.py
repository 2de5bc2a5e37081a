"""The programs in Stackless's style say the same in both ways to run them, whatever the numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.isolated import run_isolated

FOLDER = Path(__file__).parents[2] / "examples" / "stackless"

CLI = """
import sys
from ringlet.tools.cli import main
sys.exit(main(["run", "--stackless", *sys.argv[1:]]))
"""

Run = Callable[..., str]


@pytest.fixture(params=["ringlet run --stackless", "python -m"])
def run(request: pytest.FixtureRequest, run_example) -> Run:
    """Runs an example and gives what it has printed."""

    def by_option(name: str, *arguments: object) -> str:
        return run_isolated(CLI, str(FOLDER / f"{name}.py"), *map(str, arguments)).stdout

    def by_import(name: str, *arguments: object) -> str:
        return run_example(f"stackless.{name}", *arguments).stdout

    return by_option if request.param.startswith("ringlet") else by_import


def test_every_example_is_tested():
    tested = {name.split("_")[1] for name in globals() if name.startswith("test_")} - {"every"}
    assert tested == {path.stem for path in FOLDER.glob("[!_]*.py")}


def test_pingpong(run):
    lines = run("pingpong", 7).splitlines()
    assert lines == [f"{stroke}: {'ping' if stroke % 2 else 'pong'}" for stroke in range(1, 8)]


def test_hackysack(run):
    *score, total = run("hackysack", 7, 3, 500).splitlines()
    assert [line.partition(":")[0] for line in score] == [f"player {n}" for n in range(1, 8)]
    assert sum(int(line.partition(":")[2]) for line in score) == 500
    assert total == "together: 500"


def test_sieve(run):
    expected = [n for n in range(2, 500) if all(n % d for d in range(2, n))]
    assert run("sieve", 500).split() == [str(prime) for prime in expected]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (11, 6), (1, 255), (40_000, 30_001)])
def test_logic(run, x, y):
    *numbers, gates = run("logic", x, y).splitlines()
    assert [int(line.split()[0]) for line in numbers] == [x, y, x + y]
    assert [int(line.split()[1], 2) for line in numbers] == [x, y, x + y]
    assert gates == f"{max(x.bit_length(), y.bit_length(), 1) * 5} gates"


def test_chat(run):
    lines = run("chat").splitlines()
    assert lines == [
        "Ada hears Grace: joins",
        "Ada hears Edsger: joins",
        "Grace hears Edsger: joins",
        "Grace hears Ada: Grace?",
        "Edsger hears Ada: Grace?",
        "Ada hears Grace: here I am, Ada",
        "Edsger hears Grace: here I am, Ada",
        "Ada hears Edsger: considered harmful",
        "Grace hears Edsger: considered harmful",
        "Grace hears Ada: leaves",
        "Edsger hears Ada: leaves",
        "Edsger hears Grace: leaves",
        "1 tasklet left",
    ]

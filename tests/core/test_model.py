"""Random programs of greenlets do what a model in plain Python foretells.

RINGLET_FUZZ_STEPS says how many steps there are in each mode, RINGLET_FUZZ_SEED where they begin.
More of them, with progress shown: python -m tests.core.fuzz --help.
"""

import os

import pytest

from tests.core.fuzz import shortened
from tests.support.isolated import run_isolated
from tests.support.marks import freed_where_dropped

STEPS = int(os.environ.get("RINGLET_FUZZ_STEPS", "4000"))
SEED = int(os.environ.get("RINGLET_FUZZ_SEED", "1"))
SECONDS = 60 + STEPS // 100

PROGRAM = """
import sys
from tests.core.fuzz import main
sys.exit(main())
"""

MODES = {
    "as usual": {},
    "two slots": {"RINGLET_SLOTS": "2", "RINGLET_HARD": "0"},
    "hard mode": {"RINGLET_HARD": "1"},
}


@pytest.mark.no_leak_check("runs in a child process")
@pytest.mark.timeout(SECONDS + 60)
@freed_where_dropped
@pytest.mark.parametrize("mode", MODES)
def test_random_programs_do_what_the_model_foretells(mode: str) -> None:
    seed = SEED + 100_000 * list(MODES).index(mode)
    said = run_isolated(
        PROGRAM, "--steps", str(STEPS), "--seed", str(seed), env=MODES[mode], timeout=SECONDS
    ).stdout
    assert said.startswith(f"{STEPS} steps from seed {seed}\n")
    done = int(said.splitlines()[-1].removesuffix(" steps"))
    assert done >= STEPS


def test_a_failing_program_is_shortened_to_what_fails() -> None:
    program = list("abcdefgh")
    assert shortened(program, lambda shorter: {"c", "g"} <= set(shorter)) == ["c", "g"]

"""Programs of greenlet's users run on ringlet unchanged, and print what they print on greenlet.

Each one in programs/ uses a library as it comes from its own wheel. This needs the extra `compat`
and Chromium, so it is asked for by `-m clients`; a package that is missing then is a failure.
"""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.isolated import ROOT, Outcome

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 120  # for one run of one program
CLIENTS = ("greenlet", "gevent", "eventlet", "sqlalchemy", "playwright")
ON_RINGLET = ("-m", "ringlet", "run", "--greenlet")
GREENLETS_OWN = {
    "ringlet imported": False,
    "ringlet mapped": False,
    "greenlet mapped": True,
    "ringlet behind the name": False,
}
RINGLETS = {name: not value for name, value in GREENLETS_OWN.items()}


@functools.cache
def run(client, *options, **environment):
    """What the program of `client` printed, and its evidence of whose greenlet it used."""
    command = [sys.executable, "-X", "faulthandler", *options, PROGRAMS / f"{client}_program.py"]
    try:
        child = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        said = [(text or b"").decode(errors="replace") for text in (error.stdout, error.stderr)]
        pytest.fail(Outcome(-9, *said).report(f"{client} did not end within {SECONDS} seconds"))
    outcome = Outcome(child.returncode, child.stdout, child.stderr)
    if outcome.exit != 0 or "Exception ignored" in outcome.stderr:
        pytest.fail(outcome.report(f"{client}: {outcome.ending}"))
    return outcome.stdout.splitlines(), json.loads(outcome.stderr.splitlines()[-1])


@pytest.mark.parametrize("client", CLIENTS)
def test_each_has_a_hundred_operations_and_more(client):
    transcript, evidence = run(client)
    operations = [line for line in transcript if re.match(r"\d{3} [\w ]+: .+ -> ", line)]
    assert len(operations) >= 100
    assert transcript == [*operations, f"done: {len(operations)} operations"]
    assert evidence == GREENLETS_OWN


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("hard", ["0", "1"], ids=["", "hard"])
def test_the_transcript_is_that_on_greenlet(client, hard):
    expected, _ = run(client)
    transcript, evidence = run(client, *ON_RINGLET, RINGLET_HARD=hard)
    assert evidence == RINGLETS
    assert transcript == expected


def test_unasked_ringlet_leaves_greenlet_alone():
    expected, _ = run("sqlalchemy")
    transcript, evidence = run("sqlalchemy", "-m", "ringlet", "run")
    assert evidence["greenlet mapped"]
    assert not evidence["ringlet behind the name"]
    assert transcript == expected

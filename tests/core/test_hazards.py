"""The table of hazards names tests that exist."""

import re
from pathlib import Path

HERE = Path(__file__).parent
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (HERE / "README.md").read_text())


def test_every_hazard_has_tests_that_exist() -> None:
    missing = [
        f"{file}::{name}"
        for file, name in NAMED
        if not re.search(rf"def {name}\(", (HERE / file).read_text())
    ]
    assert missing == []
    rows = [line for line in (HERE / "README.md").read_text().splitlines() if line[:2] == "| "]
    assert all("::test_" in row for row in rows[1:])
    assert len(NAMED) > len(rows)

"""How the tests of the examples run them as programs."""

from collections.abc import Callable

import pytest

from tests.support.isolated import Outcome, run_isolated

# Ctrl-C works in the program even where whoever runs the tests ignores it.
RUN = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def run_example() -> Callable[..., Outcome]:
    """Runs `python -m examples.NAME ARGUMENTS` as run_isolated would."""

    def run(name: str, *arguments: object, exit: int = 0) -> Outcome:  # noqa: A002
        return run_isolated(RUN, f"examples.{name}", *map(str, arguments), exit=exit)

    return run

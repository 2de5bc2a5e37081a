"""For tests of programs that use ringlet: time and order under the test's control, no leaks.

A pytest plugin that comes with ringlet does the same for whole suites; see pytest_plugin.
"""

from ringlet.testing.clock import FakeClock, fake_clock
from ringlet.testing.leaks import LeakError, no_leaks
from ringlet.testing.progress import run_until_blocked
from ringlet.testing.transcript import Transcript

__all__ = (
    "FakeClock",
    "LeakError",
    "Transcript",
    "fake_clock",
    "no_leaks",
    "run_until_blocked",
)

"""What the whole suite shares: the leak check on every test of the core, and our own plugin.

A test below tests/core is run several times over and fails if anything grows each time. One that
cannot be repeated says so: `@pytest.mark.no_leak_check("reason")`. Tests in some other folders have
the mark `ringlet`, so none of them may leave a tasklet or a timer behind.
"""

from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.leaks import leak_checked, wants_leak_check

pytest_plugins = ["pytester"]
# Our own plugin comes by itself unless ringlet is only on the path.
if not any(entry.name == "ringlet" for entry in entry_points(group="pytest11")):
    pytest_plugins.append("ringlet.testing.pytest_plugin")
# How long an example takes is the machine's business.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
LEAK_CHECKED = Path(__file__).parent / "core"
# Where each test has to leave the scheduler as it found it.
CLEAN = tuple(Path(__file__).parent / name for name in ("channels", "io", "servers", "testing"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "no_leak_check(reason): run the body of this core test only once, because ..."
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put the leak check around the body of each test of the core; have others watched as well."""
    if any(folder in item.path.parents for folder in CLEAN):
        item.add_marker(pytest.mark.ringlet)
    if not isinstance(item, pytest.Function) or LEAK_CHECKED not in item.path.parents:
        return
    marker = item.get_closest_marker("no_leak_check")
    if marker is None:
        if wants_leak_check(item.function):
            item.obj = leak_checked(item.obj)
    elif len(marker.args) != 1 or not isinstance(marker.args[0], str) or marker.kwargs:
        raise pytest.UsageError(f"{item.nodeid}: no_leak_check takes the reason, one string")

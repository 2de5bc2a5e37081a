"""Each test begins and ends with an empty ring and nothing set."""

from collections.abc import Iterator

import pytest

from ringlet import _core
from ringlet.compat import stackless


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    assert stackless.getruncount() == 1
    yield
    stackless.set_schedule_callback(None)
    stackless.set_channel_callback(None)
    stackless.set_error_handler(None)
    stackless.switch_trap(-stackless.switch_trap())
    stackless.getmain().block_trap = False
    stackless.getmain().set_atomic(False)
    me = _core.current()
    for native in _core.living():
        if native is not me:
            native.kill()
    assert stackless.getruncount() == 1


@pytest.fixture
def log() -> list[object]:
    """What the tasklets of a test have noted, in the order of their doing."""
    return []

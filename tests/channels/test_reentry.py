"""What finalizers and dropped values may do with channels while they are at work."""

import sysconfig

import pytest

from tests.support.isolated import run_isolated


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="the collector there waits for a quarter more objects, whatever it is told",
)
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_finalizers_may_use_the_channels_at_any_moment(seed: str) -> None:
    said = run_isolated("meddle_channels.py", seed).stdout
    assert " meddled" in said

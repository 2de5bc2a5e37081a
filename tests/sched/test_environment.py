"""What environment variables ask for."""

import signal

import pytest

from ringlet import _core
from ringlet.sched.environment import obey
from tests.support.isolated import run_isolated


def test_the_environment_asks_for_it() -> None:
    outcome = run_isolated(
        "import os, ringlet, signal; os.kill(os.getpid(), signal.SIGUSR2)",
        env={"RINGLET_DUMP": "SIGUSR2"},
    )
    assert outcome.stderr.startswith("--- ringlet: 0 tasklets")


def test_then_it_is_told_where_tasklets_were_started() -> None:
    outcome = run_isolated(
        """
import os, signal
from ringlet import Channel, spawn
def begin():
    spawn(Channel().receive)
begin()
os.kill(os.getpid(), signal.SIGUSR2)
""",
        env={"RINGLET_DUMP": "SIGUSR2"},
    )
    assert "started in begin, <string>, line 5\n" in outcome.stderr


@pytest.mark.parametrize("name", ["usr1", "SIGUSR1", str(int(signal.SIGUSR1))])
def test_a_signal_may_be_named_in_several_ways(name: str) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    obey({"RINGLET_DUMP": name})
    try:
        assert signal.getsignal(signal.SIGUSR1) is not before
    finally:
        signal.signal(signal.SIGUSR1, before)
        _core.note_origins(False)


@pytest.mark.parametrize("name", ["SIGNONE", "0", "yes", "signal"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names no signal"):
        obey({"RINGLET_DUMP": name})


def test_the_environment_asks_for_a_watchdog() -> None:
    run_isolated(
        """
import threading, ringlet
assert [t.name for t in threading.enumerate()] == ["MainThread", "ringlet watchdog"]
""",
        env={"RINGLET_WATCHDOG": "0.5"},
    )


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_what_is_no_time_is_refused(seconds: str) -> None:
    with pytest.raises(ValueError, match="is no number of seconds"):
        obey({"RINGLET_WATCHDOG": seconds})


def test_nothing_is_done_that_nobody_asks_for() -> None:
    run_isolated(
        """
import signal, threading, ringlet
assert len(threading.enumerate()) == 1
assert signal.getsignal(signal.SIGQUIT) == signal.SIG_DFL
"""
    )

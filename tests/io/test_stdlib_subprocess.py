"""The interpreter's own tests of subprocess, run as they come with ours, where they are there."""

import importlib
import sys
import unittest
from unittest import mock

import pytest

from ringlet.io import subprocess as ours

pytest.importorskip("test.test_subprocess", reason="the interpreter comes without tests")

# They are written for a run in which warnings are none of the failures.
pytestmark = pytest.mark.filterwarnings(
    "default", "ignore::pytest.PytestUnraisableExceptionWarning"
)

#: What cannot pass, and why.
IMPOSSIBLE = {
    "test__use_vfork": "changes a variable of the module, and ours does not look there",
    "test_stopped": "has somebody else reap the process, and os.waitpid() replaced afterwards",
    "test__all__": "wants nothing but classes and functions of its own in the module",
}

#: What takes most of the time, by sleeping or by starting many processes: for long runs only.
SLOW = {
    "test_check_output_timeout",
    "test_close_fds",
    "test_communicate_pipe_fd_leak",
    "test_communicate_repeated_call_after_stdout_close",
    "test_communicate_timeout",
    "test_communicate_timeout_large_output",
    "test_group",
    "test_kill_dead",
    "test_leak_fast_process_del_killed",
    "test_pass_fds",
    "test_send_signal_dead",
    "test_swap_fds",
    "test_swap_std_fds_with_one_closed",
    "test_terminate_dead",
    "test_user",
}


def import_with_ours():
    """The module of the tests, with our subprocess in place of the standard library's."""
    sys.modules.pop("test.test_subprocess", None)
    # What is imported meanwhile is forgotten again.
    with mock.patch.dict(sys.modules, {"subprocess": ours}):
        return importlib.import_module("test.test_subprocess")


suite = import_with_ours()
SUITE = {
    name: kind
    for name, kind in vars(suite).items()
    if isinstance(kind, type) and issubclass(kind, unittest.TestCase)
    if name not in ("BaseTestCase", "ProcessTestCaseNoPoll")  # of a selector that we do not use
}
for kind in SUITE.values():
    for name, reason in IMPOSSIBLE.items():
        if name in vars(kind):
            setattr(kind, name, pytest.mark.xfail(strict=True, reason=reason)(getattr(kind, name)))
    for name in SLOW & vars(kind).keys():
        setattr(kind, name, pytest.mark.load(getattr(kind, name)))
# Collected from here, under their own names.
globals().update(SUITE)


def test_the_suite_has_been_found():
    assert len(SUITE) > 4

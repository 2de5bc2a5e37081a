"""The helper notices every way a program can end badly."""

import signal

import pytest

from tests.support.isolated import run_isolated

CRASH = "import os, signal; print('before', flush=True); os.kill(os.getpid(), signal.SIGSEGV)"


def test_returns_what_a_program_said() -> None:
    outcome = run_isolated("import sys; print('out'); print(sys.argv[1], file=sys.stderr)", "err")
    assert (outcome.exit, outcome.stdout, outcome.stderr) == (0, "out\n", "err\n")


def test_names_the_signal_of_a_crash() -> None:
    with pytest.raises(AssertionError, match="killed by SIGSEGV, expected exit 0") as caught:
        run_isolated(CRASH)
    assert "before" in str(caught.value)
    assert "Fatal Python error: Segmentation fault" in str(caught.value), "faulthandler is on"


def test_takes_a_crash_that_is_expected() -> None:
    assert run_isolated(CRASH, exit=-signal.SIGSEGV).ending == "killed by SIGSEGV"


def test_refuses_another_exit_status() -> None:
    with pytest.raises(AssertionError, match="exit 3, expected exit 0"):
        run_isolated("raise SystemExit(3)")
    with pytest.raises(AssertionError, match="exit 0, expected exit 3"):
        run_isolated("pass", exit=3)


def test_any_ending_will_do_if_told_so() -> None:
    assert run_isolated("raise SystemExit(3)", exit=None).ending == "exit 3"


def test_shows_where_a_hanging_program_stands() -> None:
    program = "import threading\ndef stuck():\n    threading.Event().wait()\nstuck()"
    with pytest.raises(AssertionError, match="did not end within 1 seconds") as caught:
        run_isolated(program, timeout=1)
    assert "in stuck" in str(caught.value)


def test_kills_a_program_that_refuses_to_end() -> None:
    program = "import signal\nsignal.signal(signal.SIGABRT, signal.SIG_IGN)\nsignal.pause()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.isolated.REPORT_SECONDS", 0.1)
        with pytest.raises(AssertionError, match="did not end within"):
            run_isolated(program, timeout=1)


def test_warnings_are_errors_and_the_environment_is_added_to() -> None:
    with pytest.raises(AssertionError, match="UserWarning: careful"):
        run_isolated("import warnings; warnings.warn('careful')")
    program = "import os; print(os.environ['PATH'] and os.environ['GREETING'])"
    assert run_isolated(program, env={"GREETING": "hello"}).stdout == "hello\n"


def test_runs_a_file_that_sees_the_project() -> None:
    assert run_isolated("imports.py").stdout == "ringlet examples tests.support\n"

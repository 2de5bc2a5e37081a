"""The leak check sees each kind of leak, names it, and lets everything else pass."""

import ctypes
import gc
import itertools
import sys
from pathlib import Path

import pytest

from ringlet._core import getcurrent, greenlet
from tests.support.leaks import ROUNDS, Leak, check_leaks, leak_checked


class Kept:
    """Something a test can leak under a name of its own."""


def test_names_the_type_of_a_leaked_object() -> None:
    kept: list[Kept] = []
    with pytest.raises(Leak, match=r"\+1 objects of type tests\.support\.test_leaks\.Kept"):
        check_leaks(lambda: kept.append(Kept()))


def test_names_a_leaked_greenlet_that_was_never_ended() -> None:
    kept = []

    def suspend() -> None:
        child = greenlet(lambda: getcurrent().parent.switch())
        child.switch()
        kept.append(child)

    with pytest.raises(Leak, match=r"\+1 objects of type ringlet\.greenlet"):
        check_leaks(suspend)


def test_sees_a_leaked_block_the_collector_does_not_know() -> None:
    kept: list[bytes] = []
    with pytest.raises(Leak, match=r"\+1 allocated blocks"):
        check_leaks(lambda: kept.append(bytes(100)))


def test_sees_a_reference_that_c_code_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    precious = Kept()
    monkeypatch.setattr("tests.support.leaks.watched", lambda: {"precious": precious})
    with pytest.raises(Leak, match=r"\+1 references to precious") as caught:
        check_leaks(lambda: ctypes.pythonapi.Py_IncRef(ctypes.py_object(precious)))
    assert "objects of type" not in str(caught.value)


def test_reports_the_smallest_growth() -> None:
    kept: list[Kept] = []
    sizes = itertools.cycle([3, 2, 5])
    with pytest.raises(Leak, match=r"\+2 objects of type tests\.support\.test_leaks\.Kept"):
        check_leaks(lambda: kept.extend(Kept() for _ in range(next(sizes))))


def test_cycles_are_not_leaks() -> None:
    def make_cycle() -> None:
        one, other = Kept(), Kept()
        one.other, other.other = other, one  # type: ignore[attr-defined]

    check_leaks(make_cycle)


def test_a_frame_that_is_kept_in_a_cycle_is_not_a_leak() -> None:
    def keep_frame() -> None:
        frame = sys._getframe()
        assert frame.f_locals["frame"] is frame

    check_leaks(keep_frame)


def test_a_cache_that_settles_is_not_a_leak() -> None:
    runs = 0
    cache: dict[int, Kept] = {}

    def fill() -> None:
        nonlocal runs
        runs += 1
        cache.setdefault(runs % (ROUNDS - 1), Kept())

    check_leaks(fill)
    assert runs > len(cache)


def test_an_error_of_the_body_passes_through_and_thaws_the_collector() -> None:
    runs = 0

    def fail_later() -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check_leaks(fail_later)
    assert gc.get_freeze_count() == 0


def test_the_decorator_hands_arguments_on() -> None:
    seen = set()

    @leak_checked
    def body(first: int, second: int) -> None:
        seen.add((first, second))

    body(1, second=2)
    assert seen == {(1, 2)}


SUITE = """
import pytest

kept = []

def test_leaks():
    kept.append(object.__new__(type("Leaked", (), {})))

@pytest.mark.no_leak_check("keeps on purpose")
def test_may_keep():
    kept.append([])

@pytest.fixture
def number():
    return 3

@pytest.mark.parametrize("factor", [1, 2])
def test_clean(number, factor):
    assert number * factor in (3, 6)

class TestMethods:
    def test_clean_too(self, number):
        assert number == 3
"""


def test_every_test_below_core_is_checked(pytester: pytest.Pytester) -> None:
    conftest = Path(__file__).parents[1] / "conftest.py"
    pytester.makeconftest(conftest.read_text())
    core = pytester.mkdir("core")
    (core / "test_some.py").write_text(SUITE)
    (pytester.path / "test_elsewhere.py").write_text("kept = []\ndef test(): kept.append([])\n")
    outcome = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=5, failed=1)
    outcome.stdout.fnmatch_lines(["*Leak: grew in each of*", "*FAILED*test_leaks*"])


def test_opting_out_takes_a_reason(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())
    (pytester.mkdir("core") / "test_some.py").write_text(
        "import pytest\n@pytest.mark.no_leak_check()\ndef test(): pass\n"
    )
    outcome = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*no_leak_check takes the reason*"])

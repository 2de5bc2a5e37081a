"""A plugin of pytest: tests that begin with a clean scheduler, and leave it clean or fail.

Installing ringlet changes nobody's tests. Asked for is it by the mark `ringlet` on a test, class or
module, or for all tests by `ringlet_all_tests = true` in pytest's configuration. For such a test

- tasklets, raw greenlets, timers and waits for descriptors that it leaves behind are an error,
  which names them, once its fixtures have been torn down;
- an exception that ended a tasklet and that nobody asked for is an error, too;
- whatever is left is ended, and the thread's clock put back, before the next test begins.

A test that has failed already is told nothing more. `@pytest.mark.ringlet(leaks=True)` is for one
that may leave something; `fresh=False` for one that has to be left alone. The fixtures
`fake_clock` and `transcript` are there for every test.
"""

import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from ringlet import _core
from ringlet.sched.picture import describe
from ringlet.testing import clock
from ringlet.testing.leaks import LeakError, Remains, check, noted_origins
from ringlet.testing.progress import run_until_blocked
from ringlet.testing.transcript import Transcript

_HAS_FAILED = pytest.StashKey[bool]()
_ALL_TESTS = "ringlet_all_tests"
# How often a tasklet is told to end: each `finally` block may wait once more.
_PATIENCE = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the option known."""
    parser.addini(
        _ALL_TESTS,
        "whether every test is treated as if it had the mark ringlet",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "ringlet(fresh=True, leaks=False): begin with a clean scheduler of ringlet, and fail if "
        "tasklets, greenlets, timers or waits for descriptors are left; leaks=True: only end them",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test has failed before its fixtures are torn down."""
    report = yield
    if report.failed:
        item.stash[_HAS_FAILED] = True
    return report


@pytest.fixture
def transcript() -> Transcript:
    """An empty Transcript."""
    return Transcript()


@pytest.fixture
def fake_clock(request: pytest.FixtureRequest) -> Iterator[clock.FakeClock]:
    """A FakeClock for the length of the test."""
    if _wishes(request)[0]:
        # It is taken away again when everybody who sleeps by it has been found.
        yield clock.begin_fake_time()
    else:
        with clock.fake_clock() as fake:
            yield fake


# For every test, since only such a fixture is certain to come before and go after the others.
@pytest.fixture(autouse=True)
def _fresh_ringlet(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the mark asks for."""
    fresh, leaks = _wishes(request)
    if not fresh:
        yield
        return
    hub = _core.hub()
    real = hub.clock
    run_until_blocked()
    before = Remains.now()
    uncaught: list[tuple[_core.Tasklet[Any], BaseException]] = []
    package: Any = sys.modules["ringlet"]
    hook = package.excepthook

    def note(tasklet: _core.Tasklet[Any], error: BaseException) -> None:
        uncaught.append((tasklet, error))
        hook(tasklet, error)

    package.excepthook = note
    try:
        with noted_origins():
            yield
        if not (leaks or request.node.stash.get(_HAS_FAILED, False)):
            check(before)
            _check_errors(uncaught)
    finally:
        try:
            _end(before)
        finally:
            hub.clock = real
            package.excepthook = hook


def _check_errors(uncaught: list[tuple[_core.Tasklet[Any], BaseException]]) -> None:
    """Raise those of the exceptions that nobody has seen."""
    __tracebackhide__ = True
    # Raised again by result(), it has another traceback than at the tasklet's end.
    unseen = [(t, error) for t, error in uncaught if error.__traceback__ is t._traceback]
    if unseen:
        names = ", ".join(tasklet.name for tasklet, _ in unseen)
        raise BaseExceptionGroup(
            f"uncaught exceptions ended tasklets: {names}", [error for _, error in unseen]
        )


def _wishes(request: pytest.FixtureRequest) -> tuple[bool, bool]:
    """Whether a test is to have a clean scheduler, and whether it may leave something behind."""
    marker = request.node.get_closest_marker("ringlet")
    if marker is None:
        return bool(request.config.getini(_ALL_TESTS)), False
    wishes = {"fresh": True, "leaks": False} | marker.kwargs
    if marker.args or len(wishes) > 2:
        raise pytest.UsageError(
            f"{request.node.nodeid}: ringlet takes fresh= and leaks=, not {marker}"
        )
    return bool(wishes["fresh"]), bool(wishes["leaks"])


def _end(before: Remains) -> None:
    """End all that has come since `before`. Raises LeakError for those that refuse."""
    for _ in range(_PATIENCE):
        left = Remains.now().since(before)
        if not left:
            return
        left.kill()
        run_until_blocked()
    left = Remains.now().since(before)
    if left.tasklets:
        stacks = "\n".join(map(describe, left.tasklets))
        raise LeakError(f"told to end {_PATIENCE} times, and still there:\n{stacks}")

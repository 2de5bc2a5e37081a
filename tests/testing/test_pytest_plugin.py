"""The plugin, as suites of others meet it: in a pytest of its own."""

from importlib.metadata import entry_points

import pytest
from _pytest.assertion.rewrite import AssertionRewriter

import ringlet

PLUGIN = "ringlet.testing.pytest_plugin"
IS_INSTALLED = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run these tests in a pytest process with the plugin; its result."""

    def run_tests(source: str, ini: str = "") -> pytest.RunResult:
        pytester.makepyfile(source)
        pytester.makeini(f"[pytest]\n{ini}")
        plugin = () if IS_INSTALLED else ("-p", PLUGIN)
        options = ("-p", "no:cacheprovider", "--strict-markers", "-W", "error", "-rA")
        return pytester.runpytest_subprocess(*plugin, *options)

    return run_tests


LEAKS = """
import pytest
from ringlet import Channel, spawn, tasklets, schedule

def test_leaks():
    spawn(Channel().receive)
    schedule()
"""


def test_without_being_asked_for_it_does_nothing(run) -> None:
    result = run(LEAKS + "\ndef test_next():\n    assert len(tasklets()) == 2\n")
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("mark", "ini"),
    [("pytestmark = pytest.mark.ringlet", ""), ("", "ringlet_all_tests = true")],
    ids=["mark", "option"],
)
def test_a_leak_is_an_error_and_gone_for_the_next_test(run, mark: str, ini: str) -> None:
    result = run(f"{LEAKS}\n{mark}\ndef test_next():\n    assert len(tasklets()) == 1\n", ini)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaks*",
            "*LeakError: still there at the end:",
            "*tasklet Channel.receive at 0x*, parked for *, waits for <channel *, balance -1>",
        ]
    )


def test_what_fixtures_begin_and_end_is_no_leak(run) -> None:
    run(
        """
        import pytest
        from ringlet import Channel, spawn, schedule
        pytestmark = pytest.mark.ringlet

        @pytest.fixture(scope="session")
        def background():
            yield spawn(Channel().receive)

        @pytest.fixture
        def server():
            jobs = Channel()
            workers = []
            yield lambda: workers.append(spawn(list, jobs))
            jobs.close()

        @pytest.mark.parametrize("number", range(3))
        def test_both(server, background, number):
            server()
            schedule()
            assert background.state == "parked"
        """
    ).assert_outcomes(passed=3)


def test_an_uncaught_exception_in_a_tasklet_is_an_error(run) -> None:
    result = run(
        """
        import pytest
        from ringlet import spawn, schedule

        def fail():
            raise LookupError("nobody asks")

        @pytest.mark.ringlet
        def test_unseen():
            spawn(fail)

        @pytest.mark.ringlet
        def test_seen():
            with pytest.raises(LookupError):
                spawn(fail).result()

        @pytest.mark.ringlet
        def test_seen_later():
            tasklet = spawn(fail)
            schedule()
            assert tasklet.finished
            with pytest.raises(LookupError):
                tasklet.result()
        """
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*uncaught exceptions ended tasklets: fail*", "*nobody asks*"])


def test_a_test_that_failed_is_told_nothing_more(run) -> None:
    result = run(
        """
        import pytest
        from ringlet import Channel, spawn, tasklets
        pytestmark = pytest.mark.ringlet

        def test_fails():
            spawn(Channel().receive)
            assert False

        def test_next():
            assert len(tasklets()) == 1
        """
    )
    result.assert_outcomes(passed=1, failed=1)


def test_the_mark_can_allow_leaks_or_leave_a_test_alone(run) -> None:
    run(
        """
        import pytest
        from ringlet import Channel, Tasklet, spawn, tasklets

        @pytest.mark.ringlet(leaks=True)
        def test_leaks():
            spawn(Channel().receive)

        @pytest.mark.ringlet(fresh=False)
        def test_left_alone():
            assert len(tasklets()) == 1
            Tasklet(Channel().receive, name="kept").start()

        @pytest.mark.ringlet
        def test_sees_it():
            assert tasklets()[1].name == "kept"
        """,
        "ringlet_all_tests = true",
    ).assert_outcomes(passed=3)


def test_a_wrong_mark_is_an_error(run) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.ringlet(leak=True)
        def test_misspelt():
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ringlet takes fresh= and leaks=*"])


def test_a_tasklet_that_refuses_to_end_is_named(run) -> None:
    result = run(
        """
        import pytest
        from ringlet import Channel, TaskletExit, spawn, schedule

        def stubborn():
            while True:
                try:
                    Channel().receive()
                except TaskletExit:
                    pass

        @pytest.mark.ringlet(leaks=True)
        def test_refusal():
            spawn(stubborn)
            schedule()
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*told to end 5 times, and still there*", "*stubborn*"])


def test_fixtures_bring_a_clock_and_a_transcript(run) -> None:
    result = run(
        """
        import pytest
        from ringlet import sleep, spawn

        def test_time(fake_clock, transcript):
            def nap():
                sleep(3600)
                transcript("awake at", fake_clock.now)
            spawn(nap).join()
            transcript.expect("awake at 3600.0")

        @pytest.mark.ringlet
        def test_asleep_at_the_end(fake_clock):
            spawn(sleep, 10)
            sleep(1)

        @pytest.mark.ringlet
        def test_real_time_again():
            from ringlet._core import hub
            assert "fake" not in repr(hub().clock)
        """
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*tasklet sleep at 0x*, parked*"])


def test_pytest_does_not_complain_that_ringlet_was_imported_before_it() -> None:
    assert AssertionRewriter.is_rewrite_disabled(ringlet.__doc__ or "")

"""Transcripts: what happened, in order, and how a difference reads."""

import pytest

from ringlet import Tasklet, sleep, spawn
from ringlet.testing import Transcript, fake_clock


def test_lines_come_in_the_order_of_events() -> None:
    log = Transcript()

    def worker(name: str) -> None:
        log(name, "begins")
        sleep(0)
        log(name, "ends")

    for tasklet in [spawn(worker, "a"), spawn(worker, "b")]:
        tasklet.join()
    log.expect(
        """
        a begins
        b begins
        a ends
        b ends
        """
    )


def test_it_tells_names_and_times() -> None:
    log = Transcript(names=True, times=True)
    with fake_clock(10):

        def nap() -> None:
            sleep(2.5)
            log("awake")

        sleeper = Tasklet(nap, name="napper").start()
        log("waits")
        sleeper.join()
    log.expect(["10 main: waits", "12.5 napper: awake"])


def test_a_difference_is_shown_line_by_line() -> None:
    log = Transcript()
    for word in ("one", "three", "four"):
        log(word)
    with pytest.raises(AssertionError) as caught:
        log.expect("one\ntwo\nfour")
    assert "  one\n- two\n+ three\n  four" in str(caught.value)


def test_what_was_compared_is_gone() -> None:
    log = Transcript()
    log("first")
    log.expect("first")
    assert log.lines == []
    log.expect("")
    log("second")
    assert str(log) == "second"
    log.expect(["second"])


def test_indentation_within_a_text_counts() -> None:
    log = Transcript()
    log("call")
    log("  inner")
    log.expect(
        """
        call
          inner
        """
    )

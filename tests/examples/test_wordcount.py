"""The pipeline counts what one call of collections.Counter counts."""

import re
from collections import Counter
from pathlib import Path

import pytest

import ringlet
from examples.wordcount import count_words

LICENSE = Path(__file__).parents[2] / "LICENSE"


@pytest.mark.parametrize("splitters", [1, 4, 50])
def test_a_real_text(splitters):
    with LICENSE.open() as file:
        counts = count_words(file, splitters)
    assert counts == Counter(re.findall("[a-z]+", LICENSE.read_text().lower()))
    assert counts["software"] > 5


def test_what_a_word_is():
    counts = count_words(["Don't  stop -- the ÉTÉ, don\u2019t_stop 42 times\n", "\n", "d'accord"])
    assert counts == Counter(
        ["don't", "stop", "the", "été", "don\u2019t", "stop", "times", "d'accord"]
    )


def test_no_text():
    assert count_words([]) == Counter()


def test_reads_no_further_than_it_can_count():
    ahead = []
    channel_full = 3  # splitters that hold a line each

    def text():
        for number in range(100):
            ahead.append(number)
            yield "word " * 10
            assert len(ahead) <= number + 1 + channel_full

    assert count_words(text(), splitters=channel_full)["word"] == 1000


def test_an_error_in_reading_reaches_the_caller_and_leaves_nobody_behind():
    def text():
        yield "some words"
        raise OSError("the disk is gone")

    before = set(ringlet.tasklets())
    with pytest.raises(OSError, match="the disk is gone"):
        count_words(text())
    ringlet.sleep(0)
    assert set(ringlet.tasklets()) <= before


def test_as_a_program(run_example):
    lines = run_example("wordcount", LICENSE, "--top", 1).stdout.splitlines()
    top, count = Counter(re.findall("[a-z]+", LICENSE.read_text().lower())).most_common(1)[0]
    assert lines[0].split() == [str(count), top]
    assert len(lines) == 2


def test_a_missing_file_is_one_line(run_example):
    outcome = run_example("wordcount", "missing.txt", exit=2)
    assert "can't open 'missing.txt'" in outcome.stderr
    assert "Traceback" not in outcome.stderr

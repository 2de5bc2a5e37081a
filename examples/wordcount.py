"""Count the words of a text with a pipeline of tasklets.

    python -m examples.wordcount LICENSE --top 5

Lines travel over one channel to a few splitters, words over another to one counter:

    the main program  --lines-->  splitters  --words-->  counter

Nobody holds the whole text: a `send` waits until somebody receives. Each stage is a plain function
with a plain loop, and the counter is not even that: `collections.Counter` reads from a channel as
from any other iterable.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

from ringlet import Channel, spawn

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


def split(lines: Iterable[str], words: Channel[str]) -> None:
    """Send each word of each line, in lower case."""
    for line in lines:
        words.send_sequence(word.lower() for word in WORD.findall(line))


def count_words(text: Iterable[str], splitters: int = 4) -> Counter[str]:
    """How often each word occurs in `text`, an open file or other lines; errors in reading it
    are raised here."""
    lines: Channel[str] = Channel()
    words: Channel[str] = Channel()
    counter = spawn(Counter, words)
    workers = [spawn(split, lines, words) for _ in range(splitters)]
    with closing(words):
        with closing(lines):
            lines.send_sequence(text)
        for worker in workers:
            worker.join()
    return counter.result()


def count_file(name: str) -> Counter[str]:
    """How often each word occurs in the file `name`, or in what is typed if that is '-'."""
    if name == "-":
        return count_words(sys.stdin)
    with open(name, encoding="utf-8") as text:
        return count_words(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the words of a text file.")
    parser.add_argument("file", help="'-' reads stdin")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many to print")
    options = parser.parse_args()
    try:
        counts = count_file(options.file)
    except OSError as error:
        parser.error(f"can't open {options.file!r}: {error.strerror}")
    for word, count in counts.most_common(options.top):
        print(f"{count:7}  {word}")
    print(f"{counts.total():7}  words, {len(counts)} different ones")


if __name__ == "__main__":
    main()

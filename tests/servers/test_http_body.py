"""wsgi.input against io.BytesIO, however the body is cut on its way."""

import io

import pytest

from ringlet.servers.http_body import NO_BODY, Body

TEXT = b"one\ntwo\n\nthree and more\nlast"


def body_of(data, piece):
    """A Body whose bytes arrive `piece` at a time."""
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]

    def receive(body):
        if pieces:
            body.feed(pieces.pop(0))
        body.complete = not pieces

    return Body(receive, len(data))


READS = {
    "all": lambda f: f.read(),
    "all, None": lambda f: f.read(None),
    "all, -1": lambda f: f.read(-1),
    "by one": lambda f: [f.read(1) for _ in range(len(TEXT) + 2)],
    "by seven": lambda f: [f.read(7) for _ in range(6)],
    "none": lambda f: (f.read(0), f.read()),
    "lines": lambda f: [f.readline() for _ in range(7)],
    "short lines": lambda f: [f.readline(2) for _ in range(20)],
    "empty lines": lambda f: (f.readline(0), f.readline(None)),
    "list": lambda f: f.readlines(),
    "list with hint": lambda f: (f.readlines(4), f.readlines(5), f.readlines(0)),
    "iteration": list,
    "a mix": lambda f: (f.read(2), f.readline(), f.readline(3), f.read(4), list(f), f.read()),
}


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_reads_like_a_file(read, piece):
    assert read(body_of(TEXT, piece)) == read(io.BytesIO(TEXT))


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_an_empty_body_reads_like_an_empty_file(read):
    assert read(NO_BODY) == read(io.BytesIO())


def test_reads_no_more_than_asked_for():
    body = body_of(TEXT, 4)
    assert body.read(4) == b"one\n"
    assert body.received == 4
    assert body.readline() == b"two\n"
    assert body.received == 8

"""The standard library's selectors on ours, and what runs on selectors."""

import asyncio
import os
import selectors as stdlib
import sys

import pytest

import ringlet
from ringlet.io import selectors, socket
from ringlet.testing import fake_clock
from tests.io.settling import settle
from tests.support.isolated import run_isolated

KINDS = ("DefaultSelector", "SelectSelector", "PollSelector", "EpollSelector")


@pytest.fixture(params=KINDS)
def selector(request):
    with getattr(selectors, request.param)() as selector:
        yield selector


def test_a_selector_waits_for_the_tasklet_alone(selector):
    a, b = socket.socketpair()
    r, w = os.pipe()
    with a, b:
        selector.register(a, selectors.EVENT_READ, "a")
        selector.register(r, selectors.EVENT_READ, "r")
        waiter = ringlet.spawn(selector.select)
        settle()
        assert waiter.state == "parked"
        b.send(b"x")
        [(key, events)] = waiter.result()
        assert (key.fileobj, key.data, events) == (a, "a", selectors.EVENT_READ)
        assert selector.select() == [(key, events)]  # it stays ready
        selector.modify(a, selectors.EVENT_WRITE)
        [(key, events)] = selector.select()
        assert (key.fileobj, events) == (a, selectors.EVENT_WRITE)
        selector.unregister(a)
        with fake_clock() as clock:
            assert selector.select(3) == []
            assert clock.now == 3
        os.write(w, b"x")
        [(key, _)] = selector.select(1)
        assert key.data == "r"
    os.close(r)
    os.close(w)


def test_waiting_for_nothing_without_end_is_a_deadlock():
    program = """
from ringlet.io import selectors
selectors.SelectSelector().select()
"""
    outcome = run_isolated(program, exit=1)
    assert "Deadlock" in outcome.stderr
    assert "no descriptor" in outcome.stderr


def test_they_are_selectors_of_the_standard_library(selector):
    assert isinstance(selector, stdlib.BaseSelector)
    assert selectors.SelectorKey is stdlib.SelectorKey
    assert selectors.DefaultSelector is selectors.EpollSelector


def test_every_name_of_the_standard_library_is_here():
    public = {name for name in dir(stdlib) if not name.startswith("_")}
    assert set(dir(selectors)) >= public
    for name in public:
        getattr(selectors, name)


async def echo_once(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def talk(text):
    server = await asyncio.start_server(echo_once, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await asyncio.sleep(0.001)
    writer.write(text)
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()
    return answer


def run(make_selector, text):
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(make_selector())) as runner:
        return runner.run(talk(text))


def test_an_event_loop_runs_in_a_tasklet_beside_others(selector):
    turns = []

    def count():
        while runner.state != "finished":
            turns.append(runner.state)
            ringlet.sleep(0.0001)

    runner = ringlet.spawn(run, type(selector), b"there\n")
    ringlet.spawn(count).join()
    assert runner.result() == b"there\n"
    assert "parked" in turns


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="up to 3.13 asyncio allows a thread one running loop"
)
def test_event_loops_of_several_tasklets_run_side_by_side(selector):
    texts = [b"%d\n" % number for number in range(5)]
    tasklets = [ringlet.spawn(run, type(selector), text) for text in texts]
    assert [tasklet.result() for tasklet in tasklets] == texts


def test_an_event_loop_and_a_tasklet_that_talk():
    async def answer(sock):
        loop = asyncio.get_running_loop()
        return await loop.sock_recv(sock, 10)

    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        loop = asyncio.SelectorEventLoop(selectors.DefaultSelector())
        waiter = ringlet.spawn(loop.run_until_complete, answer(a))
        settle()
        b.send(b"there")
        assert waiter.result() == b"there"
        loop.close()

"""Clients that are slow on purpose: they take their time to ask, or never read what they get."""

import time
from contextlib import ExitStack

import pytest

from tests.load.served import (
    PATIENCE,
    ended,
    exchange,
    many_descriptors,
    read_to_end,
    request,
    serving,
    wait_until,
)

pytestmark = [pytest.mark.load, pytest.mark.timeout(600)]

MEGABYTE = 1 << 20


def statuses(raw):
    """The status codes of all responses in what a client received."""
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("slow", ["head", "body"])
def test_drippers_end_by_the_limit_and_hinder_nobody(slow, tmp_path):
    """3000 requests that come byte by byte, each of them just in time not to be idle."""
    drippers = 3000
    limits = {"header_timeout": 4.0, "io_timeout": 4.0}
    head = request() if slow == "head" else request("/same", bytes(10**6))
    sent_at_once = 0 if slow == "head" else head.index(b"\r\n\r\n") + 4
    with ExitStack() as stack:
        stack.enter_context(many_descriptors(drippers))
        served = stack.enter_context(serving("web", tmp_path, limits=limits))
        before = served.descriptors
        slow_ones = [stack.enter_context(served.connect(number)) for number in range(drippers)]
        friend = stack.enter_context(served.connect())
        for sock in slow_ones:
            sock.sendall(head[: sent_at_once + 1])
        position, dripping, answered = sent_at_once + 1, slow_ones, 0
        end = time.monotonic() + PATIENCE
        while dripping and (slow == "head" or position < sent_at_once + 8):
            assert time.monotonic() < end, f"{len(dripping)} of {drippers} drip on"
            gone = set(ended(dripping))
            dripping = [sock for sock in dripping if sock not in gone]
            for sock in dripping:
                sock.send(head[position : position + 1])
            # The last byte of all would complete the head.
            position = min(position + 1, len(head) - 2)
            for _ in range(10):
                assert exchange(friend, request()) == (200, b"hello")
                answered += 1
            time.sleep(0.25)
        if slow == "body":
            # They have fallen silent now: each read of the body is limited.
            wait_until(lambda: len(ended(dripping)) == drippers, "those who wait too long go")
        for sock in slow_ones:
            assert statuses(read_to_end(sock)) == [408]
        assert answered >= 10
        served.settle(before + 1)
        assert exchange(friend, request()) == (200, b"hello")
        # The application has got an OSError, which is no error of its own.
        assert "ERROR" not in served.log


@pytest.mark.parametrize(
    ("path", "clients", "most"), [("/stream?100000", 300, 0.5), ("/long?160", 50, 20)]
)
def test_clients_that_never_read_cost_little(path, clients, most, tmp_path):
    """What nobody reads is not made, and who does not read is cut off."""
    with ExitStack() as stack:
        served = stack.enter_context(serving("web", tmp_path, limits={"io_timeout": 6.0}))
        served.get()
        before, descriptors = served.resident, served.descriptors
        socks = [stack.enter_context(served.connect()) for _ in range(clients)]
        for sock in socks:
            sock.sendall(request(path))
        served.take(clients)
        peak = 0
        end = time.monotonic() + PATIENCE
        while served.descriptors > descriptors:
            assert time.monotonic() < end, "those who never read are not cut off"
            assert served.get() == b"hello"
            peak = max(peak, served.resident - before)
            time.sleep(0.1)
        print(f"\n{path}: {peak / clients / MEGABYTE:.2f} MB at most for each")
        assert peak < clients * most * MEGABYTE
        for sock in socks:
            received = read_to_end(sock)
            assert received.startswith(b"HTTP/1.1 200")
            assert not received.endswith(b"0\r\n\r\n")


def test_pipelining_without_reading_is_bounded(tmp_path):
    """Clients that send thousands of requests and read no response are read no further."""
    clients = 20
    many = request() * 4_000
    with ExitStack() as stack:
        served = stack.enter_context(serving("web", tmp_path, limits={"io_timeout": 5.0}))
        served.get()
        before, descriptors = served.resident, served.descriptors
        socks = [stack.enter_context(served.connect()) for _ in range(clients)]
        served.take(clients)
        for sock in socks:
            sock.setblocking(False)
        peak = 0
        left = dict.fromkeys(socks, b"")
        end = time.monotonic() + PATIENCE
        while served.descriptors > descriptors:
            assert time.monotonic() < end, "those who never read are not cut off"
            for sock, data in list(left.items()):
                try:
                    left[sock] = (data or many)[sock.send(data or many) :]
                except BlockingIOError:
                    pass
                except OSError:
                    del left[sock]
            assert served.get() == b"hello"
            peak = max(peak, served.resident - before)
            time.sleep(0.05)
        print(f"\npipelining: {peak / clients / MEGABYTE:.2f} MB at most for each")
        assert peak < clients * MEGABYTE

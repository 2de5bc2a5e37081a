"""Descriptors that run out, and handlers that fail, block or never let others run."""

import re
from contextlib import ExitStack

import pytest

from tests.load.served import (
    exchange,
    read_response,
    read_to_end,
    request,
    reset,
    serving,
    wait_until,
)

pytestmark = [pytest.mark.load, pytest.mark.timeout(300)]


def errors_of(served):
    """The lines of its log that report errors."""
    return [line for line in served.log.splitlines() if line.startswith("ERROR")]


def test_running_out_of_descriptors(tmp_path):
    """Some are served, the rest wait in the kernel until the others leave; it is said once."""
    with ExitStack() as stack:
        served = stack.enter_context(serving("echo", tmp_path, descriptors=100))
        before = served.descriptors
        clients = [stack.enter_context(served.connect()) for _ in range(500)]
        for client in clients:
            client.sendall(b"x")
        wait_until(lambda: errors_of(served), "it says that it cannot accept")
        for client in clients:  # those who wait take the places of those who go, one by one
            assert client.recv(1) == b"x"
            client.close()
        served.settle(before)
        with served.connect() as late:
            late.sendall(b"y")
            assert late.recv(1) == b"y"
        [line] = errors_of(served)
        assert "cannot accept for now" in line


def test_running_out_again_and_again(tmp_path):
    """Clients that come in waves and leave by reset: it recovers from each."""
    with serving("web", tmp_path, descriptors=64) as served:
        before = served.descriptors
        for _ in range(20):
            with ExitStack() as stack:
                clients = [stack.enter_context(served.connect()) for _ in range(150)]
                for client in clients:
                    client.sendall(request())
                for number, client in enumerate(clients):
                    if number % 3:
                        assert read_response(client) == (200, b"hello")
                    if number % 2:
                        reset(client)
                    else:
                        client.close()
        served.settle(before)
        assert served.get() == b"hello"
        assert all("cannot accept for now" in line for line in errors_of(served))


def test_handlers_that_fail(tmp_path):
    """Each failure is reported once, with where it happened, and hinders nobody."""
    with serving("web", tmp_path) as served, served.connect() as friend:
        before = served.state()
        for _ in range(500):
            with served.connect() as client:
                assert exchange(client, request("/fail"))[0] == 500
            with served.connect() as client:
                client.sendall(request("/fail_late"))
                assert not read_to_end(client).endswith(b"0\r\n\r\n")
            assert exchange(friend, request()) == (200, b"hello")
        wait_until(
            lambda: served.state()["tasklets"] == before["tasklets"], "their tasklets have ended"
        )
        assert served.state()["descriptors"] == before["descriptors"]
        assert len(errors_of(served)) == 1000
        assert served.log.count("ZeroDivisionError: the test wants it\n") == 500


@pytest.mark.parametrize("way", ["stall", "spin"])
def test_the_watchdog_names_who_lets_nobody_run(way, tmp_path):
    """With the line where it stands; those who waited are answered afterwards."""
    with serving("web", tmp_path, env={"RINGLET_WATCHDOG": "0.2"}) as served:
        with ExitStack() as stack:
            clients = [stack.enter_context(served.connect()) for _ in range(20)]
            clients[0].sendall(request(f"/{way}?2"))
            wait_until(lambda: "without letting others" in served.log, "the watchdog barks")
            for client in clients[1:]:
                client.sendall(request())
            assert read_response(clients[0])[0] == 200
            for client in clients[1:]:
                assert read_response(client) == (200, b"hello")
        report = served.log
        assert re.search(
            r"ringlet: .*has run for .* without letting others of MainThread run", report
        )
        assert f"in {way}" in report
        assert "serve.py" in report

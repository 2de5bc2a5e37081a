"""Ten thousand connections that say nothing, while others work."""

import statistics
import subprocess
from contextlib import ExitStack

import pytest

from tests.load.served import ROOT, exchange, many_descriptors, request, serving, wait_until

pytestmark = [pytest.mark.load, pytest.mark.timeout(600)]

IDLE = 10_000
ACTIVE = 64
ROUNDS = 15
SECONDS = 0.7  # of each burst of load


@pytest.fixture(scope="module")
def burst(tmp_path_factory):
    """burst(served, message, reply): answers within a second from ACTIVE connections."""
    program = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(["cc", "-O2", "-o", program, ROOT / "tests/perf/load.c"], check=True)

    def run(served, message, reply):
        done = subprocess.run(
            [program, str(served.address[1]), str(ACTIVE), str(SECONDS), str(reply)],
            input=message,
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(done.stdout) / SECONDS

    return run


@pytest.mark.parametrize("kind", ["echo", "web"])
def test_active_connections_keep_their_rate(kind, tmp_path, burst):
    """Two servers alike, only one of which holds the silent ones, are asked in turn."""
    message = bytes(1024) if kind == "echo" else request()
    options = {} if kind == "echo" else {"limits": {"idle_timeout": None}}
    with ExitStack() as stack:
        stack.enter_context(many_descriptors(IDLE + 2 * ACTIVE))
        (tmp_path / "quiet").mkdir()
        (tmp_path / "crowded").mkdir()
        quiet = stack.enter_context(serving(kind, tmp_path / "quiet", **options))
        crowded = stack.enter_context(serving(kind, tmp_path / "crowded", **options))
        with crowded.connect() as sock:
            sock.sendall(message)
            reply = len(sock.recv(65536))
        idle = []
        for number in range(IDLE):
            sock = stack.enter_context(crowded.connect(number))
            sock.sendall(message)
            idle.append(sock)
        for sock in idle:
            assert len(sock.recv(reply)) == reply
        ratios = []
        for _ in range(ROUNDS):
            rate = burst(quiet, message, reply)
            ratios.append(burst(crowded, message, reply) / rate)
        assert crowded.descriptors >= IDLE
        print(f"\n{kind}: {[round(ratio, 2) for ratio in sorted(ratios)]} of the rate")
        assert statistics.median(ratios) >= 0.8, ratios
        # They are idle, not forgotten.
        for sock in idle[::97]:
            if kind == "echo":
                sock.sendall(b"still there")
                assert sock.recv(100) == b"still there"
            else:
                assert exchange(sock, message) == (200, b"hello")
        for sock in idle:
            sock.close()
        wait_until(lambda: crowded.descriptors < 100, "the connections' descriptors are closed")
        # The load is cut off in the middle of what it says.
        assert "ERROR" not in crowded.log + quiet.log

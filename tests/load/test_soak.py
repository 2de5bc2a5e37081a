"""Minutes of everything at once, after which a server holds what it held after the first round.

LOAD_SECONDS says how long each server has to endure, 90 seconds by default; LOAD_SEED repeats the
random clients of a run.
"""

import contextlib
import os
import random
import socket
import threading
import time

import pytest

from tests.load.served import (
    PATIENCE,
    exchange,
    read_response,
    read_to_end,
    request,
    reset,
    serving,
    wait_until,
)

SECONDS = float(os.environ.get("LOAD_SECONDS", "90"))
SEED = int(os.environ.get("LOAD_SEED", time.time_ns() % 10**9))
ROUNDS = 6
CLIENTS = 12

pytestmark = [pytest.mark.load, pytest.mark.timeout(SECONDS * 2 + 200)]

MEGABYTE = 1 << 20
CHUNKED = (
    b"POST /same HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n"
)
LIMITS = {
    "first_byte_timeout": 1.5,
    "idle_timeout": 1.5,
    "header_timeout": 1.5,
    "io_timeout": 1.5,
    "max_body": 4 * MEGABYTE,
}


def well_behaved(served, draw):
    """Keeps its connection for a while, and gets what it asks for."""
    with served.connect() as sock:
        for _ in range(draw.randrange(1, 30)):
            body = draw.randbytes(draw.choice((0, 10, 1000, 100_000)))
            assert exchange(sock, request("/same", body)) == (200, body)


def in_a_row(served, draw):
    """Sends many requests before it reads."""
    count = draw.randrange(1, 200)
    with served.connect() as sock:
        sock.sendall(request() * count)
        received = b""
        while received.count(b"\r\n\r\nhello") < count:
            more = sock.recv(65536)
            assert more, received[-200:]
            received += more


def in_chunks(served, draw):
    with served.connect() as sock:
        for start in range(0, len(CHUNKED), size := draw.randrange(1, 60)):
            sock.sendall(CHUNKED[start : start + size])
        assert read_response(sock) == (200, b"abcdefgh")


def downloads(served, draw):
    with served.connect() as sock:
        sock.sendall(request(f"/stream?{draw.randrange(1, 40)}", None, "Connection: close"))
        assert read_to_end(sock).endswith(b"\r\n0\r\n\r\n")


def uploads(served, draw):
    body = bytes(draw.randrange(3 * MEGABYTE))
    with served.connect() as sock:
        assert exchange(sock, request("/length", body)) == (200, str(len(body)).encode())


def resets(served, draw):
    """At any moment of any exchange."""
    data = draw.choice((request(), request("/same", b"x" * 200), CHUNKED, request("/stream?50")))
    sock = served.connect()
    with contextlib.suppress(OSError):
        sock.sendall(data[: draw.randrange(len(data) + 1)])
        if draw.random() < 0.5:
            sock.settimeout(0.01)
            sock.recv(draw.randrange(1, 1000))
    reset(sock)


def leaves(served, draw):
    """Asks and hangs up without a reset, and without having read all."""
    with served.connect() as sock:
        sock.sendall(request("/stream?50"))
        sock.recv(1000)


def half_closes(served, draw):
    """Says that it has nothing more to say, and listens."""
    with served.connect() as sock:
        sock.sendall(request("/rest?0.01") + request("/same", b"last words"))
        sock.shutdown(socket.SHUT_WR)
        received = read_to_end(sock)
        assert b"rested" in received
        assert received.endswith(b"last words")


def dozes(served, draw):
    """Stops in the middle of something until it is cut off."""
    data = draw.choice((b"", b"GET /", request("/same", b"x" * 200)[:-5], request("/stream?5000")))
    with served.connect() as sock:
        sock.sendall(data)
        time.sleep(1.7)
        read_to_end(sock)


def talks_nonsense(served, draw):
    data = bytearray(draw.choice((request(), request("/same", b"x" * 50), CHUNKED)))
    for _ in range(draw.randrange(1, 5)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    with served.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        received = read_to_end(sock)
        assert not received or received.startswith(b"HTTP/1.1 ")


def asks_too_much(served, draw):
    with served.connect() as sock:
        sock.sendall(request("/same", None, f"Content-Length: {5 * MEGABYTE}"))
        assert read_response(sock)[0] == 413
    with served.connect() as sock, contextlib.suppress(ConnectionError):
        sock.sendall(request("/" + "x" * 100_000))
        assert read_response(sock)[0] == 414


def makes_it_fail(served, draw):
    with served.connect() as sock:
        assert exchange(sock, request("/fail"))[0] == 500
    with served.connect() as sock:
        sock.sendall(request("/fail_late"))
        assert not read_to_end(sock).endswith(b"0\r\n\r\n")


WEB = (
    well_behaved,
    well_behaved,
    in_a_row,
    in_chunks,
    downloads,
    uploads,
    resets,
    resets,
    leaves,
    half_closes,
    dozes,
    talks_nonsense,
    asks_too_much,
    makes_it_fail,
)


def echoes(served, draw):
    """Sends and half-closes at random, and gets back exactly what it has sent."""
    sent = received = b""
    with served.connect() as sock:
        for _ in range(draw.randrange(1, 40)):
            data = draw.randbytes(draw.choice((1, 10, 1000, 30_000)))
            sock.sendall(data)
            sent += data
            if draw.random() < 0.5:
                received += sock.recv(draw.randrange(1, 50_000))
            else:
                received += sock.recv(len(sent) - len(received), socket.MSG_WAITALL)
        sock.shutdown(socket.SHUT_WR)
        assert received + read_to_end(sock) == sent


def echoes_and_resets(served, draw):
    sock = served.connect()
    with contextlib.suppress(OSError):
        for _ in range(draw.randrange(5)):
            sock.sendall(draw.randbytes(draw.randrange(1, 200_000)))
            sock.recv(draw.randrange(1, 1000))
    reset(sock)


def comes_and_goes(served, draw):
    served.connect().close()


ECHO = (echoes, echoes, echoes_and_resets, comes_and_goes)


@pytest.mark.parametrize(("name", "ways"), [("web", WEB), ("echo", ECHO)])
def test_everything_at_once(name, ways, tmp_path):
    """Memory, descriptors, tasklets and objects are those after the first round, or fewer."""
    options = {"limits": LIMITS} if name == "web" else {}
    troubles = []
    with serving(name, tmp_path, **options) as served:
        unused = served.descriptors
        held = []
        for number in range(ROUNDS):
            until = time.monotonic() + SECONDS / ROUNDS
            clients = [
                threading.Thread(
                    target=_behave,
                    args=(served, random.Random(SEED + 100 * number + each), ways, until, troubles),
                )
                for each in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            for client in clients:
                client.join(SECONDS + PATIENCE)
                assert not client.is_alive(), "a client hangs"
            assert troubles == [], f"LOAD_SEED={SEED}"
            wait_until(lambda: served.descriptors <= unused, "all connections are closed")
            held.append((served.resident, served.state() if name == "web" else {}))
        print(f"\n{name}, seed {SEED}: {[memory // 1024 for memory, _ in held]} KiB, {held[-1][1]}")
        assert held[-1][0] < held[1][0] + 4 * MEGABYTE, held
        for what, count in held[-1][1].items():
            assert count <= held[1][1][what] + (500 if what == "objects" else 0), (what, held)
        errors = [line for line in served.log.splitlines() if line.startswith("ERROR")]
        assert [line for line in errors if "the application failed on GET /fail" not in line] == []


def _behave(served, draw, ways, until, troubles):
    """One client after the other, each in one of the ways."""
    while time.monotonic() < until and not troubles:
        way = draw.choice(ways)
        try:
            way(served, draw)
        except BaseException as error:
            troubles.append((way.__name__, repr(error)))
            raise

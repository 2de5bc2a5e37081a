"""What does a server pay to echo a message: one connection or a thousand, 16 bytes or 64 KiB?"""

import asyncio
import os
import statistics
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tests.perf import cli, serving
from tests.perf.model import Figure, Question, Share, Target

AT_ONCE = 4096  # bytes asked of one recv, unless messages are longer


def handler(at_once: int) -> Callable[[Any, object], None]:
    """What sends back whatever comes until the client closes."""

    def handle(sock: Any, address: object) -> None:
        while data := sock.recv(at_once):
            sock.sendall(data)

    return handle


def serve_ringlet(peer: str, at_once: int = AT_ONCE, tls: bool = False) -> None:
    """ringlet's StreamServer."""
    listener = serving.listener("ringlet.io.socket")
    context = serving.tls_context("ringlet.io.ssl") if tls else None
    server = import_module("ringlet.servers").StreamServer(listener, handler(at_once), ssl=context)
    serving.announce(listener.getsockname()[1])
    server.serve_forever()


def serve_gevent(peer: str, at_once: int = AT_ONCE, tls: bool = False) -> None:
    """gevent's StreamServer."""
    listener = serving.listener("gevent.socket")
    how = {"ssl_context": serving.tls_context("gevent.ssl")} if tls else {}
    server = import_module("gevent.server").StreamServer(listener, handler(at_once), **how)
    serving.announce(listener.getsockname()[1])
    server.serve_forever()


def serve_eventlet(peer: str, at_once: int = AT_ONCE) -> None:
    """eventlet.serve, one green thread per connection."""
    eventlet = import_module("eventlet")
    listener = serving.listener("eventlet.green.socket")
    serving.announce(listener.getsockname()[1])
    eventlet.serve(listener, handler(at_once), concurrency=100_000)


def serve_uvloop(peer: str, at_once: int = AT_ONCE, tls: bool = False) -> None:
    """asyncio's streams on uvloop."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(at_once):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        listener = serving.listener()
        context = serving.tls_context("ssl") if tls else None
        server = await asyncio.start_server(
            echo, sock=listener, backlog=serving.BACKLOG, ssl=context
        )
        serving.announce(listener.getsockname()[1])
        await server.serve_forever()

    import_module("uvloop").run(main())


def serve_c(peer: str, at_once: int = AT_ONCE) -> None:
    """The bare epoll loop of limit.c, in this process's place."""
    binary = serving.program("limit")
    os.execv(binary, [binary])


SERVERS = {
    "ringlet": serve_ringlet,
    "gevent": serve_gevent,
    "asyncio on uvloop": serve_uvloop,
    "C epoll loop": serve_c,
    "eventlet": serve_eventlet,
}
TLS_SERVERS = {"ringlet": serve_ringlet, "gevent": serve_gevent, "asyncio on uvloop": serve_uvloop}


def echoes(peer: str, connections: int, size: int, seconds: float) -> float:
    """Microseconds of server CPU per message echoed."""
    load = serving.steady(bytes(size), size, connections)
    at_once = {"at_once": max(size, AT_ONCE)}
    return serving.cpu_per_request(SERVERS[peer], peer, load, seconds, at_once)


def tls_echoes(peer: str, connections: int, size: int, seconds: float) -> float:
    """The same over TLS."""
    load = serving.steady_tls(size, connections)
    return serving.cpu_per_request(TLS_SERVERS[peer], peer, load, seconds, {"tls": True})


def figure(name: str, connections: int, size: int, targets: Mapping[str, Target]) -> Figure:
    """One size of message, one number of connections."""
    return Figure(
        f"{name}, {connections} connection{'s' if connections > 1 else ''}",
        "us",
        dict.fromkeys(SERVERS, echoes),
        targets,
        unjudged=Share,
        params={"connections": connections, "size": size, "seconds": 2.0},
        quick={"seconds": 0.3},
        summary=statistics.median,
        rounds=5 if targets else 3,
    )


QUESTION = Question(
    "echo",
    "Echoing over TCP: server CPU per message",
    (
        figure(
            "1 KiB",
            64,
            1024,
            {
                "gevent": Share(0.6, 0.45),
                "asyncio on uvloop": Share(0.75, 0.55),
                "C epoll loop": Share(1.5, 1.2),
            },
        ),
        figure("1 KiB", 1, 1024, {}),
        figure("1 KiB", 1000, 1024, {}),
        figure("16 B", 64, 16, {}),
        figure("64 KiB", 64, 65536, {}),
        Figure(
            "1 KiB over TLS, 64 connections",
            "us",
            dict.fromkeys(TLS_SERVERS, tls_echoes),
            unjudged=Share,
            params={"connections": 64, "size": 1024, "seconds": 2.0},
            quick={"connections": 4, "seconds": 0.3},
            summary=statistics.median,
            rounds=3,
        ),
    ),
)

if __name__ == "__main__":
    cli.main("echo")

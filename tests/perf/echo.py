"""What does a server pay to echo 1 KiB, for 64 connections at once?"""

import asyncio
import os
import statistics
from importlib import import_module
from typing import Any

from tests.perf import cli, serving
from tests.perf.model import Figure, Question, Share

CONNECTIONS = 64
MESSAGE = bytes(1024)
AT_ONCE = 4096  # bytes asked of one recv


def handle(sock: Any, address: object) -> None:
    """Sends back what comes until the client closes."""
    while data := sock.recv(AT_ONCE):
        sock.sendall(data)


def serve_ringlet(peer: str) -> None:
    """ringlet's StreamServer."""
    listener = serving.listener("ringlet.io.socket")
    server = import_module("ringlet.servers").StreamServer(listener, handle)
    serving.announce(listener.getsockname()[1])
    server.serve_forever()


def serve_gevent(peer: str) -> None:
    """gevent's StreamServer."""
    listener = serving.listener("gevent.socket")
    server = import_module("gevent.server").StreamServer(listener, handle)
    serving.announce(listener.getsockname()[1])
    server.serve_forever()


def serve_eventlet(peer: str) -> None:
    """eventlet.serve, one green thread per connection."""
    eventlet = import_module("eventlet")
    listener = serving.listener("eventlet.green.socket")
    serving.announce(listener.getsockname()[1])
    eventlet.serve(listener, handle, concurrency=100_000)


def serve_uvloop(peer: str) -> None:
    """asyncio's streams on uvloop."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(AT_ONCE):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        listener = serving.listener()
        server = await asyncio.start_server(echo, sock=listener, backlog=serving.BACKLOG)
        serving.announce(listener.getsockname()[1])
        await server.serve_forever()

    import_module("uvloop").run(main())


def serve_c(peer: str) -> None:
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


def echoes(peer: str, seconds: float) -> float:
    """Microseconds of server CPU per message echoed."""
    load = serving.steady(MESSAGE, len(MESSAGE), CONNECTIONS)
    return serving.cpu_per_request(SERVERS[peer], peer, load, seconds)


QUESTION = Question(
    "echo",
    "Echoing 1 KiB on 64 connections: server CPU",
    (
        Figure(
            "TCP echo, per message",
            "us",
            dict.fromkeys(SERVERS, echoes),
            {
                "gevent": Share(0.6, 0.45),
                "asyncio on uvloop": Share(0.75, 0.55),
                "C epoll loop": Share(1.5, 1.2),
            },
            unjudged=Share,
            params={"seconds": 2.0},
            quick={"seconds": 0.3},
            summary=statistics.median,
        ),
    ),
)

if __name__ == "__main__":
    cli.main("echo")

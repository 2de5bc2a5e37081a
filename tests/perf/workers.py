"""What do several worker processes under one parent pay to say hello over HTTP?"""

import os
import statistics
import sys

from tests.perf import cli, http, serving
from tests.perf.model import Figure, Question, Share

WORKERS = 4
WSGI = "tests.perf.http:hello"
ASGI = "tests.perf.http:hello_asgi"


def take_over(command: str, *arguments: str) -> None:
    """Run a program in this process's place, which serves at the socket that it inherits."""
    listener = serving.listener()
    listener.set_inheritable(True)
    serving.announce(listener.getsockname()[1])
    fd = str(listener.fileno())
    filled = [each.replace("FD", fd) for each in arguments]
    # The port's line is all that may be on standard output.
    os.dup2(2, 1)
    os.execv(sys.executable, [sys.executable, "-W", "ignore", "-m", command, *filled])


def serve_ringlet(peer: str) -> None:
    """`ringlet serve --workers`."""
    take_over("ringlet", "serve", WSGI, "--workers", str(WORKERS), "--bind", "fd://FD")


def serve_uvicorn(peer: str) -> None:
    """uvicorn's own workers, with httptools on uvloop."""
    quiet = ("--no-access-log", "--log-level", "error", "--lifespan", "off")
    how = ("--loop", "uvloop", "--http", "httptools", "--workers", str(WORKERS))
    take_over("uvicorn", ASGI, "--fd", "FD", *how, *quiet)


def serve_gunicorn(peer: str) -> None:
    """gunicorn with the kind of workers that the peer is called after."""
    kind = peer.partition(" ")[2]
    if kind == "ringlet":
        kind = "ringlet.servers.gunicorn.Worker"
    how = ("--threads", "16") if kind == "gthread" else ()
    keep = ("--keep-alive", "60", "--log-level", "error")
    take_over("gunicorn", WSGI, "-b", "fd://FD", "-w", str(WORKERS), "-k", kind, *how, *keep)


SERVERS = {
    "ringlet": serve_ringlet,
    "uvicorn": serve_uvicorn,
    "gunicorn ringlet": serve_gunicorn,
    "gunicorn gevent": serve_gunicorn,
    "gunicorn gthread": serve_gunicorn,
}


def hellos(peer: str, connections: int, seconds: float) -> float:
    """Microseconds of CPU of the parent and all workers per request answered."""
    return serving.cpu_per_request(SERVERS[peer], peer, http.load(connections), seconds)


QUESTION = Question(
    "workers",
    f"HTTP hello from {WORKERS} workers on one core: CPU per request of all processes",
    (
        Figure(
            "hello, 64 connections",
            "us",
            dict.fromkeys(SERVERS, hellos),
            unjudged=Share,
            params={"connections": 64, "seconds": 2.0},
            quick={"seconds": 1.0},
            summary=statistics.median,
            rounds=3,
        ),
    ),
)

if __name__ == "__main__":
    cli.main("workers")

"""What does a server pay to say hello over HTTP, to connections kept alive?"""

import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from tests.perf import cli, serving
from tests.perf.model import Figure, Question, Share, Target

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application."""
    start_response("200 OK", HEADERS)
    return [BODY]


RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS]


async def hello_asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same for ASGI."""
    await send({"type": "http.response.start", "status": 200, "headers": RAW_HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def serve_ringlet(peer: str) -> None:
    """ringlet's WSGIServer."""
    listener = serving.listener("ringlet.io.socket")
    server = import_module("ringlet.servers").WSGIServer(listener, hello)
    serving.announce(listener.getsockname()[1])
    server.serve_forever()


def serve_gevent(peer: str) -> None:
    """gevent's pywsgi, without a log."""
    listener = serving.listener("gevent.socket")
    server = import_module("gevent.pywsgi").WSGIServer(listener, hello, log=None)
    serving.announce(listener.getsockname()[1])
    server.serve_forever()


def serve_eventlet(peer: str) -> None:
    """eventlet's wsgi, without a log."""
    listener = serving.listener("eventlet.green.socket")
    serving.announce(listener.getsockname()[1])
    import_module("eventlet.wsgi").server(listener, hello, log_output=False)


def serve_uvicorn(peer: str) -> None:
    """uvicorn with httptools on uvloop."""
    uvicorn = import_module("uvicorn")
    config = uvicorn.Config(
        hello_asgi,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
    listener = serving.listener()
    serving.announce(listener.getsockname()[1])
    uvicorn.Server(config).run(sockets=[listener])


SERVERS = {
    "ringlet": serve_ringlet,
    "gevent.pywsgi": serve_gevent,
    "uvicorn": serve_uvicorn,
    "eventlet.wsgi": serve_eventlet,
}


def hellos(peer: str, connections: int, seconds: float) -> float:
    """Microseconds of server CPU per request answered, under wrk where it is installed."""
    return serving.cpu_per_request(SERVERS[peer], peer, load(connections), seconds)


def load(connections: int) -> serving.Load:
    """wrk, or our own load generator."""
    return partial(wrk if shutil.which("wrk") else steady, connections)


def wrk(connections: int, port: int, seconds: float) -> int:
    """Requests answered under wrk, which takes whole seconds only."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True, check=True
    )
    if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
        raise RuntimeError("wrk saw errors: " + " ".join(done.stdout.split()))
    answered = re.search(r"(\d+) requests in", done.stdout)
    assert answered, done.stdout
    return int(answered[1])


def steady(connections: int, port: int, seconds: float) -> int:
    """Requests answered under our own load, whose replies are all as long as the first."""
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    reply = serving.reply_length(port, request, BODY)
    return serving.steady(request, reply, connections)(port, seconds)


def figure(connections: int, targets: Mapping[str, Target]) -> Figure:
    """A hello to so many connections."""
    return Figure(
        f"hello, {connections} connection{'s' if connections > 1 else ''}",
        "us",
        dict.fromkeys(SERVERS, hellos),
        targets,
        unjudged=Share,
        params={"connections": connections, "seconds": 2.0},
        quick={"seconds": 1.0},
        summary=statistics.median,
        rounds=5 if targets else 3,
    )


QUESTION = Question(
    "http",
    "HTTP hello on kept-alive connections: server CPU per request",
    (
        figure(64, {"gevent.pywsgi": Share(0.25, 0.18), "uvicorn": Share(0.7, 0.5)}),
        figure(1, {}),
        figure(1000, {}),
    ),
)

if __name__ == "__main__":
    cli.main("http")

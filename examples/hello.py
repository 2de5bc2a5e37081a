"""A small WSGI application: a greeting, an echo, and a clock that ticks while others are served.

Run it from the project's folder and try it from another terminal:

    ringlet serve examples.hello:app
    curl http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/?name=Ada
    curl --data-binary @README.md http://127.0.0.1:8000/echo
    curl --no-buffer http://127.0.0.1:8000/clock
"""

from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from ringlet import sleep

TEXT = ("Content-Type", "text/plain; charset=utf-8")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request. Any number of them run side by side, each in a tasklet of its own."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path == "/" and method in ("GET", "HEAD"):
        return greet(environ, start_response)
    if path == "/echo" and method == "POST":
        return echo(environ, start_response)
    if path == "/clock" and method == "GET":
        return clock(start_response)
    start_response("404 Not Found", [TEXT])
    return [f"There is nothing at {path} for {method}.\n".encode("latin-1")]


def greet(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Say hello to the `name` of the query."""
    name = parse_qs(environ["QUERY_STRING"]).get("name", ["world"])[0]
    start_response("200 OK", [TEXT])
    return [f"Hello, {name}!\n".encode()]


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Send the body back piece by piece, so that its size does not matter."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    while piece := environ["wsgi.input"].read(65536):
        yield piece


def clock(start_response: StartResponse) -> Iterator[bytes]:
    """Count to five, a second each. Only this response waits; the server goes on."""
    start_response("200 OK", [TEXT])
    for second in range(1, 6):
        sleep(1)
        yield f"{second}\n".encode()

"""The servers under load, each in a process of its own: python -m tests.load.serve NAME OPTIONS.

OPTIONS is a JSON object with keywords for the function NAME. The process allows itself as many
descriptors as it may have, prints its port, and serves until SIGTERM.
"""

import gc
import json
import logging
import os
import re
import resource
import signal
import sys
import time
import zlib
from pathlib import Path

import ringlet
from ringlet.servers import HTTPLimits, StreamServer, WSGIServer

LOCAL = ("127.0.0.1", 0)
BLOCK = bytes(65536)


def echo_back(sock, address):
    """Sends back what comes until the client has no more to say."""
    while data := sock.recv(65536):
        sock.sendall(data)


def echo(**options):
    """A StreamServer that echoes."""
    return StreamServer(LOCAL, echo_back, **options)


def web(limits=None, **options):
    """A WSGIServer whose paths do what applications do, and what they should not."""
    return WSGIServer(LOCAL, app, http_limits=HTTPLimits(**(limits or {})), **options)


def app(environ, start_response):
    """/NAME?NUMBER calls the function of PATHS with this name."""
    do = PATHS.get(environ["PATH_INFO"].strip("/") or "hello")
    number = environ["QUERY_STRING"] or "0"
    if do is None or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", number):
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    return do(environ, start_response, float(number))


def answer(start_response, body):
    """A response whose length is announced."""
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def hello(environ, start_response, number):
    return answer(start_response, b"hello")


def same(environ, start_response, number):
    """The request's body."""
    return answer(start_response, environ["wsgi.input"].read())


def length(environ, start_response, number):
    """How many bytes the body has, which is never kept."""
    total = 0
    while block := environ["wsgi.input"].read(65536):
        total += len(block)
    return answer(start_response, str(total).encode())


def checksum(environ, start_response, number):
    """The body's length and CRC-32; of the body no more than a block is kept."""
    total = check = 0
    while block := environ["wsgi.input"].read(65536):
        total += len(block)
        check = zlib.crc32(block, check)
    return answer(start_response, b"%d %d" % (total, check))


def file(environ, start_response, number):
    """The file that the environment variable FILE names."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](Path(os.environ["FILE"]).open("rb"))


def stream(environ, start_response, number):
    """So many blocks, made one by one and sent in chunks."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(int(number)):
        yield BLOCK


def long(environ, start_response, number):
    """So many blocks at once."""
    return answer(start_response, BLOCK * int(number))


def rest(environ, start_response, number):
    """Lets others run for so many seconds."""
    ringlet.sleep(number)
    return answer(start_response, b"rested")


def stall(environ, start_response, number):
    """Lets nobody else run for so many seconds."""
    time.sleep(number)
    return answer(start_response, b"stalled")


def spin(environ, start_response, number):
    """The same, busy."""
    end = time.monotonic() + number
    while time.monotonic() < end:
        pass
    return answer(start_response, b"dizzy")


def fail(environ, start_response, number):
    raise ZeroDivisionError("the test wants it")


def fail_late(environ, start_response, number):
    """Fails once a part of the response is out."""
    start_response("200 OK", [])
    yield BLOCK
    raise ZeroDivisionError("the test wants it later")


def state(environ, start_response, number):
    """What the process holds, with all garbage collected."""
    gc.collect()
    found = {
        "tasklets": len(ringlet.tasklets()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
    }
    return answer(start_response, json.dumps(found).encode())


PATHS = {
    each.__name__: each
    for each in (
        *(hello, same, length, checksum, file, stream, long),
        *(rest, stall, spin, fail, fail_late, state),
    )
}


def allow_descriptors(most):
    """Let this process have `most` of them, or None for as many as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most or hard, hard))


def main(name, options):
    """Serve until SIGTERM, which lets requests under way end for five seconds."""
    allow_descriptors(options.pop("descriptors", None))
    logging.basicConfig(format="%(levelname)s %(message)s")
    server = {"echo": echo, "web": web}[name](**options)
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: ringlet.spawn(server.stop, 5))
    print(server.address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))

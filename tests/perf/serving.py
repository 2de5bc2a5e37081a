"""A server on one core, its load on another: CPU time per request, memory per connection."""

import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.perf import children, clocks

# The same for every server: with fewer, a thousand connections at once retransmit their SYNs.
BACKLOG = 1024
# Where compiled programs are kept for one run of the command.
BUILD = "RINGLET_PERF_BUILD"
WARM_UP = 0.3  # seconds
IDLE_TIME = 0.2  # seconds
MOST_CONNECTIONS = 1000

# Given a port and seconds, puts load on the server and returns the requests it answered.
Load = Callable[[int, float], int]


def listener(module: str = "socket") -> Any:
    """A listening socket of that module, on a free port of loopback, alike for every server."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    # Inherited by what it accepts; gevent.pywsgi is 400 times slower without.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return import_module(module).socket(fileno=sock.detach())


def announce(port: int) -> None:
    """Tells the load's side that connections to this port will be answered."""
    print(port, flush=True)


def tls_context(module: str) -> Any:
    """A server's context of that module, with the certificate of the tests, alike for all."""
    api = import_module(module)
    context = api.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(children.ROOT / "tests/certificates/server.pem")
    return context


def cpu_per_request(
    serve: Callable[..., Any],
    peer: str,
    load: Load,
    seconds: float,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> float:
    """Microseconds of the server's CPU time per request it answered; `options` are the server's."""
    _allow_descriptors(MOST_CONNECTIONS + 100)
    with children.serving(serve, {"peer": peer, **options}) as (pid, port):
        _move_to_load_core()
        load(port, min(WARM_UP, seconds))
        _let_begin(pid)
        before = clocks.cpu_seconds(pid)
        answered = load(port, seconds)
        if not answered:
            raise RuntimeError(f"{peer} answered nothing in {seconds} s of load")
        return (clocks.cpu_seconds(pid) - before) / answered * 1e6


def _let_begin(pid: int) -> None:
    """Wait until a server does nothing, as its workers do once all of them have begun."""
    before = -1.0
    for _ in range(100):
        spent = clocks.cpu_seconds(pid)
        if spent - before <= clocks.TICK:
            return
        before = spent
        time.sleep(IDLE_TIME)
    raise RuntimeError("the server is busy although nobody asks it for anything")


def memory_per_connection(serve: Callable[..., Any], peer: str, connections: int) -> float:
    """Bytes the server keeps in memory for each connection that echoed once and is idle."""
    _allow_descriptors(connections + 100)
    with children.serving(serve, {"peer": peer}) as (pid, port):
        _move_to_load_core()
        # What the first connections make once (buffers, caches) is not theirs.
        kept = [_echo_once(port) for _ in range(100)]
        before = clocks.resident(pid)
        kept += [_echo_once(port) for _ in range(connections)]
        return (clocks.resident(pid) - before) / connections


def steady(request: bytes, reply: int, connections: int) -> Load:
    """A load of our own: one request under way on each connection, replies of a known size."""

    def run(port: int, seconds: float) -> int:
        done = subprocess.run(
            [program("load"), str(port), str(connections), str(seconds), str(reply)],
            input=request,
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(done.stdout)

    return run


def steady_tls(size: int, connections: int) -> Load:
    """The same over TLS, whose replies are as long as its requests."""
    command = sys.executable, "-m", "tests.perf.tls_load"

    def run(port: int, seconds: float) -> int:
        done = subprocess.run(
            [*command, *map(str, (port, connections, seconds, size))],
            cwd=children.ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(done.stdout)

    return run


def program(name: str) -> str:
    """The path of a C program of this folder, compiled at its first use in a run."""
    binary = Path(os.environ[BUILD], name)
    if not binary.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError(f"{name}.c cannot be compiled: install a C compiler (cc)")
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


def _move_to_load_core() -> None:
    os.sched_setaffinity(0, {children.cores()[1]})


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        raise RuntimeError(f"{count} connections need as many open files: ulimit -Hn is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _echo_once(port: int) -> socket.socket:
    """A connection that has sent one message of 1 KiB and got it back."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(bytes(1024))
    got = sock.recv(1024, socket.MSG_WAITALL)
    if len(got) != 1024:
        raise RuntimeError(f"the server closed a connection after {len(got)} of 1024 bytes")
    return sock


def reply_length(port: int, request: bytes, ending: bytes) -> int:
    """Bytes of the reply to one request, which ends with the given bytes."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(request)
        reply = b""
        while not reply.endswith(ending):
            more = sock.recv(65536)
            if not more:
                raise RuntimeError(f"the server closed after {reply!r}")
            reply += more
        return len(reply)

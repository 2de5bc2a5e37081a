"""Three ways to talk to an application: by script, over a socket pair, and through the server."""

import socket
import threading

import pytest

from ringlet import spawn
from ringlet.io.socket import create_connection
from ringlet.servers import HTTPLimits, WSGIServer
from ringlet.servers.wsgi_connection import Connection
from tests.servers.scripted import BASE, Talk, talk_script

SECONDS = 20


def send_all(sock, reads):
    """Send what the script says, as long as the server wants it, and that it was all."""
    try:
        for data in reads:
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has hung up on us, which some tests are about


def receive_all(sock):
    """All that comes until the server closes or cuts the connection."""
    received = []
    try:
        while data := sock.recv(65536):
            received.append(data)
    except ConnectionResetError:
        pass
    return b"".join(received)


def talk_pair(app, *reads, methods=(), **limits):
    """The handler in a thread, on a socket pair of the standard library."""
    ours, theirs = socket.socketpair()

    def serve():
        with theirs:
            Connection(theirs, app, HTTPLimits(**limits), BASE).serve()

    threads = [
        threading.Thread(target=serve),
        threading.Thread(target=send_all, args=(ours, reads)),
    ]
    with ours:
        for thread in threads:
            thread.start()
        raw = receive_all(ours)
        for thread in threads:
            thread.join()
    return Talk(raw, list(methods))


def talk_server(app, *reads, methods=(), **limits):
    """The real server and a real connection, in tasklets of this thread."""
    server = WSGIServer(("127.0.0.1", 0), app, http_limits=HTTPLimits(**limits))
    server.start()
    try:
        with create_connection(server.address, SECONDS) as client:
            sender = spawn(send_all, client, reads)
            raw = receive_all(client)
            sender.join()
    finally:
        server.stop(0)
    return Talk(raw, list(methods))


@pytest.fixture(params=[talk_script, talk_pair, talk_server], ids=["script", "pair", "server"])
def talk(request):
    """`talk(app, *reads, **limits)` serves what `reads` has and returns what came of it."""
    return request.param

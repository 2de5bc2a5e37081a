"""Patching ssl: contexts and classes that were there before, and those of others."""

from tests.support.isolated import run_isolated

PROGRAM = """
import socket, ssl, sys, threading

class Theirs(ssl.SSLSocket):
    "Somebody's own class of sockets."

def server_context():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("tests/certificates/server.pem")
    return context

def client_context(kind=None):
    context = ssl.create_default_context(cafile="tests/certificates/authority.pem")
    if kind is not None:
        context.sslsocket_class = kind
    return context

early = client_context(), server_context()

import ringlet, ringlet.patch
from ringlet.io.ssl import SSLSocket

def talk(client, server):
    "The classes of both ends of a connection that has worked."
    listener = socket.create_server(("127.0.0.1", 0))
    def serve():
        with server.wrap_socket(listener.accept()[0], server_side=True) as sock:
            sock.sendall(sock.recv(100).upper())
            return type(sock)
    serving = threading.Thread(target=lambda: kinds.append(serve()))
    kinds = []
    serving.start()
    with listener, socket.create_connection(listener.getsockname()) as sock:
        with client.wrap_socket(sock, server_hostname="localhost") as sock:
            kinds.append(type(sock))
            assert isinstance(sock, ssl.SSLSocket)
            sock.sendall(b"hello")
            assert sock.recv(100) == b"HELLO"
    serving.join()
    return set(kinds)
"""


def run(code: str) -> None:
    run_isolated(PROGRAM + code)


def test_contexts_that_were_there_before():
    run("""
with ringlet.patch.installed():
    assert talk(*early) == {SSLSocket}
    assert talk(client_context(), server_context()) == {SSLSocket}
assert talk(*early) == {ssl.SSLSocket}
""")


def test_what_contexts_are_told_reaches_them():
    """Where the class of contexts is replaced, their properties call themselves for ever."""
    run("""
with ringlet.patch.installed():
    for context in (*early, client_context()):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.options |= ssl.OP_NO_TICKET
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert type(context) is ssl.SSLContext
""")


def test_sockets_of_somebodys_own_class():
    """They go on as they are. Threads are native here, for only ssl and socket are patched."""
    run("""
ringlet.patch.install("ssl")

assert talk(client_context(Theirs), server_context()) == {Theirs, SSLSocket}
""")

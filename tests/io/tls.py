"""Making TLS connections in tests."""

import contextlib

import ringlet
from ringlet.io import socket, ssl
from tests.certificates import client_context, server_context


def shake(a, b, client=None, server=None, **options):
    """TLS between two connected sockets: the client's end and the server's.

    `options` are the client's. Raises what the client's handshake raises, and else the server's.
    """
    wanted = {"server_hostname": "localhost"} | options
    accepting = ringlet.spawn(ssl.wrap_accepted, b, server or server_context())
    try:
        wrapped = ssl.wrap(a, client or client_context(), **wanted)
    except BaseException:
        a.close()
        accepting.join()
        with contextlib.suppress(OSError):
            accepting.result().close()
        raise
    try:
        return wrapped, accepting.result()
    except BaseException:
        wrapped.close()
        raise


def tcp_pair():
    """Two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pair = socket.create_connection(listener.getsockname()), listener.accept()[0]
    for sock in pair:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return pair


@contextlib.contextmanager
def connected(client=None, server=None, **options):
    """The two ends of a TLS connection over TCP."""
    ends = shake(*tcp_pair(), client, server, **options)
    with ends[0], ends[1]:
        yield ends

"""Load over TLS: one message under way on each of several connections to 127.0.0.1.

``python -m tests.perf.tls_load PORT CONNECTIONS SECONDS BYTES`` prints how many were echoed. Slower
than load.c, but it needs no OpenSSL but Python's, and loads all servers alike.
"""

import selectors
import socket
import ssl
import sys
import time


def connect(port: int) -> ssl.SSLSocket:
    """A connection whose handshake is done."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


def echoed(sock: ssl.SSLSocket, left: int) -> int:
    """Take what has come; how many bytes of the reply are still to come."""
    try:
        while left > 0:
            data = sock.recv(left)
            if not data:
                raise RuntimeError("closed by the server")
            left -= len(data)
    except ssl.SSLWantReadError:
        pass
    return left


def main(port: int, connections: int, seconds: float, size: int) -> None:
    """Put load on the server, then print the number of replies."""
    message = bytes(size)
    replies = 0
    with selectors.EpollSelector() as selector:
        missing = {}
        for _ in range(connections):
            sock = connect(port)
            selector.register(sock, selectors.EVENT_READ)
            missing[sock] = size
            sock.sendall(message)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(1):
                sock = key.fileobj
                assert isinstance(sock, ssl.SSLSocket)
                missing[sock] = echoed(sock, missing[sock])
                if not missing[sock]:
                    replies += 1
                    missing[sock] = size
                    sock.sendall(message)
    print(replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))

"""What the tests of sockets share."""

import pytest

import ringlet
from ringlet.io import socket, ssl
from tests.certificates import client_context
from tests.io.tls import shake, tcp_pair


@pytest.fixture(autouse=True)
def _nobody_left():
    """A test ends its tasklets."""
    yield
    assert ringlet.tasklets() == [ringlet.main()]


@pytest.fixture
def listener():
    """A listening TCP socket."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def tcp(listener):
    """Two ends of a TCP connection."""
    with socket.create_connection(listener.getsockname()) as client:
        with listener.accept()[0] as server:
            yield client, server


@pytest.fixture
def unix():
    """Two ends of a Unix connection."""
    a, b = socket.socketpair()
    with a, b:
        yield a, b


@pytest.fixture(params=["tcp", "unix"])
def pair(request):
    """Two ends of a connection, of either kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["1.2", "1.3", "unix"])
def tls(request):
    """Two ends of a TLS connection, client first: each version over TCP, and over Unix sockets."""
    context = client_context()
    if request.param == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    sockets = socket.socketpair() if request.param == "unix" else tcp_pair()
    ends = shake(*sockets, context)
    with ends[0], ends[1]:
        assert ends[0].version() == ("TLSv1.2" if request.param == "1.2" else "TLSv1.3")
        yield ends

"""The interpreter's own tests of ssl, run as they come with our sockets, where they are installed.

Both ends are ours, in threads of their own. All of them pass: there is nothing to list that cannot.
"""

import socket
import ssl
import unittest

import pytest

from ringlet.io import ssl as ours

test_ssl = pytest.importorskip("test.test_ssl", reason="the interpreter comes without tests")

# They are written for a run in which warnings are none of the failures.
pytestmark = pytest.mark.filterwarnings(
    "default", "ignore::pytest.PytestUnraisableExceptionWarning"
)

#: Their clients close while the session tickets of TLS 1.3 may be on their way. If these come
#: first the connection is reset instead, and the echo server of Python 3.11 stops when one is.
CLOSE_EARLY = ("SimpleBackgroundTests", "TestSSLDebug")

setUpModule = test_ssl.setUpModule


class Impatient(socket.socket):
    """A listener of the echo server, which looks only when a wait ends whether it is to stop."""

    def settimeout(self, value):
        super().settimeout(value and min(value, 0.02))


@pytest.fixture(autouse=True)
def _with_our_sockets(monkeypatch, request):
    begin = test_ssl.ThreadedEchoServer.__init__

    def begin_impatient(self, *args, **options):
        begin(self, *args, **options)
        self.sock = Impatient(fileno=self.sock.detach())
        if request.cls.__name__ in CLOSE_EARLY and self.context.protocol == ssl.PROTOCOL_TLS_SERVER:
            self.context.num_tickets = 0

    monkeypatch.setattr(test_ssl.ThreadedEchoServer, "__init__", begin_impatient)
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", ours.SSLSocket)


def test_the_suite_has_been_found():
    assert len(SUITE) > 5


SUITE = {
    name: kind
    for name, kind in vars(test_ssl).items()
    if isinstance(kind, type) and issubclass(kind, unittest.TestCase)
    if name != "NetworkedTests"  # which ask servers in the Internet
}
# Collected from here, under their own names.
globals().update(SUITE)

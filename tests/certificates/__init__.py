"""Certificates for tests of TLS, good until 2100, made by make.py, and contexts that use them.

The keys are no secret: nobody but these tests trusts what they sign.
"""

import ssl as stdlib
from pathlib import Path

from ringlet.io import ssl

HERE = Path(__file__).parent
#: Who has signed all of them but STRANGER.
AUTHORITY = str(HERE / "authority.pem")
#: localhost and 127.0.0.1; the key comes first in each of these files.
SERVER = str(HERE / "server.pem")
#: other.test, for servers with two names.
OTHER = str(HERE / "other.pem")
#: A client called "somebody".
CLIENT = str(HERE / "client.pem")
#: localhost, but only until the year 2001.
EXPIRED = str(HERE / "expired.pem")
#: localhost, signed by itself.
STRANGER = str(HERE / "stranger.pem")


def server_context(certificate: str = SERVER) -> ssl.SSLContext:
    """What a server uses."""
    context = ssl.create_default_context(stdlib.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def client_context(certificate: str | None = None) -> ssl.SSLContext:
    """What a client uses that trusts AUTHORITY."""
    context = ssl.create_default_context(cafile=AUTHORITY)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context

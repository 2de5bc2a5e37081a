"""TLS as in the standard library's `ssl`, except that waiting parks the tasklet, not the thread.

Every public name of `ssl` is here. Those that neither wait nor make contexts are the very same
objects. A context of the standard library can be made cooperative, too: set its
`sslsocket_class`, or that of the class, to this module's SSLSocket.
"""

import ssl as stdlib
from typing import Any

from ringlet.io.socket import create_connection
from ringlet.io.sslsocket import HANDSHAKE_SECONDS, SSLSocket, wrap, wrap_accepted

# What differs from the standard library, and what is new. __dir__ has everything.
__all__ = [
    "HANDSHAKE_SECONDS",
    "SSLContext",
    "SSLSocket",
    "create_default_context",
    "get_server_certificate",
    "wrap",
    "wrap_accepted",
]


class SSLContext(stdlib.SSLContext):
    """The standard library's, whose `wrap_socket` makes a cooperative SSLSocket."""

    sslsocket_class = SSLSocket


def __getattr__(name: str) -> Any:
    """What is the same there and here, such as constants and errors."""
    if name == "wrap_socket":  # Python 3.11 still has it
        raise AttributeError("ringlet.io.ssl has no wrap_socket(): use SSLContext.wrap_socket()")
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(stdlib)} - {"wrap_socket"})


def _adopt(context: stdlib.SSLContext) -> SSLContext:
    """A fresh context of the standard library's, as one of ours."""
    context.__class__ = SSLContext
    assert isinstance(context, SSLContext)
    return context


def create_default_context(
    purpose: stdlib.Purpose = stdlib.Purpose.SERVER_AUTH,
    *,
    cafile: str | None = None,
    capath: str | None = None,
    cadata: str | bytes | None = None,
) -> SSLContext:
    """A context with the standard library's sane settings: for a client, unless told otherwise."""
    return _adopt(
        stdlib.create_default_context(purpose, cafile=cafile, capath=capath, cadata=cadata)
    )


def _create_unverified_context(*args: Any, **options: Any) -> SSLContext:
    """A context that trusts everybody. Private in the standard library, and widely used."""
    return _adopt(stdlib._create_unverified_context(*args, **options))


def get_server_certificate(
    addr: tuple[str, int],
    ssl_version: int = stdlib.PROTOCOL_TLS_CLIENT,
    ca_certs: str | None = None,
    timeout: float | None = None,
) -> str:
    """The certificate of the server at `addr`, in PEM. Checked only if `ca_certs` are given.

    `timeout` is in seconds, for each step. Raises OSError, of which SSLError is one.
    """
    context = SSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = stdlib.CERT_NONE
    if ca_certs is not None:
        context.verify_mode = stdlib.CERT_REQUIRED
        context.load_verify_locations(ca_certs)
    with create_connection(addr, timeout) as sock:
        with wrap(sock, context, server_hostname=addr[0]) as wrapped:
            certificate = wrapped.getpeercert(True)
    assert certificate is not None
    return stdlib.DER_cert_to_PEM_cert(certificate)

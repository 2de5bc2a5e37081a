"""Looking up names: the standard library's functions, run in a thread where they may block.

Addresses in digits are answered at once. Arguments, results and errors are the standard library's.
"""

import socket as stdlib
from collections.abc import Callable
from typing import Any, TypeVar

from ringlet.io import native
from ringlet.io.threadpool import ThreadPool

R = TypeVar("R")

#: Threads that look names up. A name server that does not answer holds one for many seconds.
THREADS = 16

# A pool of their own: lookups that hang hold up neither files nor whatever else is done in threads,
# and the end of the program does not wait for them.
_pool = ThreadPool(THREADS, "ringlet-dns", abandoned_at_exit=True)

#: With these two flags getnameinfo looks nothing up.
_DIGITS_ONLY = stdlib.NI_NUMERICHOST | stdlib.NI_NUMERICSERV


def _look_up(f: Callable[..., R], *args: Any) -> R:
    """f(*args) in a thread. Who is killed or cancelled, or whose time is over, waits no longer."""
    return _pool.call(f, *args)


def getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,  # noqa: A002
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """The addresses of `host` and `port`: family, type, proto, canonical name and address of each.

    Parks the tasklet while a name is looked up.
    """
    if _is_number(port):
        try:
            return native.getaddrinfo(
                host, port, family, type, proto, flags | stdlib.AI_NUMERICHOST
            )
        except stdlib.gaierror:
            pass  # a name, or an error that will come again
    return _look_up(native.getaddrinfo, host, port, family, type, proto, flags)


def _is_number(port: bytes | str | int | None) -> bool:
    return port is None or isinstance(port, int) or port.isdigit()


def gethostbyname(hostname: str) -> str:
    """An IPv4 address of `hostname`."""
    if is_numeric(stdlib.AF_INET, hostname):
        return hostname
    return _look_up(native.gethostbyname, hostname)


def gethostbyname_ex(hostname: str) -> tuple[str, list[str], list[str]]:
    """The name, the aliases and the IPv4 addresses of `hostname`."""
    if isinstance(hostname, str) and is_numeric(stdlib.AF_INET, hostname):
        return native.gethostbyname_ex(hostname)
    return _look_up(native.gethostbyname_ex, hostname)


def gethostbyaddr(ip_address: str) -> tuple[str, list[str], list[str]]:
    """The name, the aliases and the addresses of the host with `ip_address`."""
    return _look_up(native.gethostbyaddr, ip_address)


def getnameinfo(sockaddr: Any, flags: int) -> tuple[str, str]:
    """The host and the service that belong to a socket address, which has its host in digits."""
    if not isinstance(sockaddr, tuple) or not isinstance(flags, int):
        return native.getnameinfo(sockaddr, flags)  # which says what is wrong with it
    if flags & _DIGITS_ONLY == _DIGITS_ONLY:
        return native.getnameinfo(sockaddr, flags)
    return _look_up(native.getnameinfo, sockaddr, flags)


def getfqdn(name: str = "") -> str:
    """The fully qualified name of host `name`, by default of this one."""
    name = name.strip()
    if name in ("", "0.0.0.0", "::"):
        name = stdlib.gethostname()
    try:
        hostname, aliases, _ = gethostbyaddr(name)
    except OSError:
        return name
    return next((each for each in (hostname, *aliases) if "." in each), hostname)


def is_numeric(family: int, host: str) -> bool:
    """Whether `host` is an address in digits, so that using it looks nothing up."""
    try:
        stdlib.inet_pton(family, host)
    except (OSError, ValueError):
        return False
    return True


def resolve(sock: stdlib.socket, address: Any) -> Any:
    """`address` with the name of its host, if it has one, replaced by a numeric address.

    The methods of a socket look names up themselves, but block the whole thread meanwhile.
    """
    if sock.family not in (stdlib.AF_INET, stdlib.AF_INET6) or not isinstance(address, tuple):
        return address
    host, *rest = address or ("",)
    # "" and "<broadcast>" stand for addresses, and what is no str is the method's to refuse.
    if not isinstance(host, str) or host in ("", "<broadcast>") or is_numeric(sock.family, host):
        return address
    found = getaddrinfo(host, 0, sock.family, sock.type, sock.proto)[0][4]
    # What the lookup knows of the scope holds unless the caller says one.
    return (found[0], *rest, *found[1 + len(rest) :])

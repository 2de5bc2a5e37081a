"""What systemd hands to a service: its sockets, and a place to say that it is ready.

The source of the rules are the manual pages sd_listen_fds(3) and sd_notify(3).
"""

import os
import socket as stdlib
from collections.abc import MutableMapping
from contextlib import suppress

from ringlet.io.socket import socket

__all__ = ("descriptor_socket", "inherited_sockets", "notify")

#: The number of the first descriptor that is handed over.
FIRST = 3


def inherited_sockets(
    name: str | None = None, environ: MutableMapping[str, str] | None = None
) -> list[socket]:
    """The sockets that systemd has opened for this process; none if it has not.

    With `name` only those whose unit calls them that (FileDescriptorName=). They listen already:
    give them to a server. Asked once: the variables that tell of them are taken out of `environ`,
    by default os.environ, so that programs started from here do not take them for theirs.
    Raises ValueError when the variables make no sense.
    """
    environ = os.environ if environ is None else environ
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count, names = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_FDNAMES", "")
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(variable, None)
    if not count.isascii() or not count.isdecimal():
        raise ValueError(f"LISTEN_FDS={count!r} is no number of descriptors")
    named = [*names.split(":"), *[""] * int(count)] if names else [""] * int(count)
    return [
        descriptor_socket(FIRST + place)
        for place in range(int(count))
        if name is None or named[place] == name
    ]


def descriptor_socket(fd: int) -> socket:
    """The socket that descriptor `fd`, handed to this process, is. It is ours from now on.

    Raises OSError, naming it, when it is no socket.
    """
    try:
        os.set_inheritable(fd, False)
        return socket(fileno=fd)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OSError(error.errno, f"descriptor {fd} cannot be listened at: {reason}") from None


def notify(text: str) -> bool:
    """Tell the service manager `text`, such as "READY=1". Whether there is one that wants to know.

    Waits for nobody; a manager that does not listen is as good as none.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return False
    address = "\0" + place[1:] if place.startswith("@") else place
    with suppress(OSError), stdlib.socket(stdlib.AF_UNIX, stdlib.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(text.encode(), address)
        return True
    return False

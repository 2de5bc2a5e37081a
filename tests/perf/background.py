"""What is pending in every scheduler while it is measured: one idle descriptor and one timer.

A loop that has nothing to wait for can skip its poller, and no server is ever in that state.
"""

import asyncio
import socket
from importlib import import_module

FAR = 3600.0  # seconds

# Keeps both ends open for the life of the child.
_PAIR: list[socket.socket] = []


def _pair() -> socket.socket:
    _PAIR.extend(socket.socketpair())
    return _PAIR[0]


def ringlet() -> None:
    """A tasklet that receives from a silent peer, and one that sleeps."""
    api = import_module("ringlet")
    cooperative = import_module("ringlet.io.socket")
    _PAIR.extend(cooperative.socketpair())
    api.spawn(_PAIR[0].recv, 1)
    api.spawn(api.sleep, FAR)
    api.schedule()


def gevent() -> None:
    """A greenlet that waits for a silent descriptor, and one that sleeps."""
    api = import_module("gevent")
    api.spawn(import_module("gevent.socket").wait_read, _pair().fileno())
    api.spawn(api.sleep, FAR)
    api.sleep(0)


def eventlet() -> None:
    """A green thread that waits for a silent descriptor, and one that sleeps."""
    api = import_module("eventlet")
    api.spawn(import_module("eventlet.hubs").trampoline, _pair().fileno(), read=True)
    api.spawn(api.sleep, FAR)
    api.sleep(0)


def on_asyncio() -> None:
    """A reader of a silent descriptor and a timer, on the running loop."""
    loop = asyncio.get_running_loop()
    loop.add_reader(_pair().fileno(), print)
    loop.call_later(FAR, print)


START = {"ringlet": ringlet, "gevent": gevent, "eventlet": eventlet}

"""What is replaced by what: one row for each name of the standard library.

A row whose name a version of Python does not have says so by `since` or `before`. Some names stand
for many: a class that is Python and waits only through other rows has none.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringlet.io import dns, os, select, signals, socket, ssl, subprocess
from ringlet.patch import clock, primitives, threads

__all__ = ("NEEDS", "TABLE", "Row", "rows_of")

_ALWAYS = (3, 0)
_NEVER = (4, 0)


@dataclass(frozen=True)
class Row:
    """`name` of `module`, a dotted one for an attribute of a class, is replaced by `new`."""

    module: str
    name: str
    new: Any
    since: tuple[int, int] = _ALWAYS
    before: tuple[int, int] = _NEVER

    @property
    def applies(self) -> bool:
        """Whether this version of Python has it."""
        return self.since <= sys.version_info[:2] < self.before

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


TABLE: tuple[Row, ...] = (
    Row("time", "sleep", clock.sleep),
    # _thread: what everything else is made of.
    Row("_thread", "LockType", primitives.Lock),
    Row("_thread", "RLock", primitives.RLock),
    Row("_thread", "_ThreadHandle", threads.ThreadHandle, since=(3, 13)),
    Row("_thread", "_local", primitives.local),
    Row("_thread", "_make_thread_handle", threads.ThreadHandle.of_running, since=(3, 13)),
    Row("_thread", "_set_sentinel", threads.set_sentinel, before=(3, 13)),
    Row("_thread", "_shutdown", threads.thread_shutdown, since=(3, 13)),
    Row("_thread", "allocate", primitives.Lock),
    Row("_thread", "allocate_lock", primitives.Lock),
    Row("_thread", "get_ident", primitives.get_ident),
    Row("_thread", "lock", primitives.Lock, since=(3, 13)),
    Row("_thread", "start_joinable_thread", threads.start_joinable_thread, since=(3, 13)),
    Row("_thread", "start_new", threads.start_new_thread),
    Row("_thread", "start_new_thread", threads.start_new_thread),
    # threading: what it has taken from _thread. Its classes are Python, and go on as they are.
    Row("threading", "Lock", primitives.Lock),
    Row("threading", "_CRLock", primitives.RLock),
    Row("threading", "_DummyThread", threads.DummyThread),
    Row("threading", "_LockType", primitives.Lock, since=(3, 13)),
    Row("threading", "_ThreadHandle", threads.ThreadHandle, since=(3, 13)),
    Row("threading", "_allocate_lock", primitives.Lock),
    Row("threading", "_make_thread_handle", threads.ThreadHandle.of_running, since=(3, 13)),
    Row("threading", "_set_sentinel", threads.set_sentinel, before=(3, 13)),
    Row("threading", "_start_joinable_thread", threads.start_joinable_thread, since=(3, 13)),
    Row("threading", "_start_new_thread", threads.start_new_thread, before=(3, 13)),
    Row("threading", "_thread_shutdown", threads.thread_shutdown, since=(3, 13)),
    Row("threading", "get_ident", primitives.get_ident),
    Row("threading", "local", primitives.local),
    # queue: the others of its classes are Python.
    Row("_queue", "SimpleQueue", primitives.SimpleQueue),
    Row("queue", "SimpleQueue", primitives.SimpleQueue),
    # socket: its own functions that make sockets or look names up do so by these.
    Row("socket", "getaddrinfo", dns.getaddrinfo),
    Row("socket", "gethostbyaddr", dns.gethostbyaddr),
    Row("socket", "gethostbyname", dns.gethostbyname),
    Row("socket", "gethostbyname_ex", dns.gethostbyname_ex),
    Row("socket", "getnameinfo", dns.getnameinfo),
    Row("socket", "socket", socket.socket),
    # os: popen and the functions that spawn are Python, on these and on subprocess.
    Row("os", "fdatasync", os.fdatasync),
    Row("os", "fsync", os.fsync),
    Row("os", "read", os.read),
    Row("os", "readv", os.readv),
    Row("os", "system", os.system),
    Row("os", "wait", os.wait),
    Row("os", "wait3", os.wait3),
    Row("os", "wait4", os.wait4),
    Row("os", "waitid", os.waitid),
    Row("os", "waitpid", os.waitpid),
    Row("os", "write", os.write),
    Row("os", "writev", os.writev),
    # signal: the handlers are the program's, as ever.
    Row("signal", "pause", signals.pause),
    Row("signal", "pthread_kill", threads.pthread_kill),
    Row("signal", "set_wakeup_fd", signals.set_wakeup_fd),
    Row("signal", "signal", signals.signal),
    # subprocess: its functions are Python, and make this.
    Row("subprocess", "Popen", subprocess.Popen),
    # ssl: contexts stay what they are, and make these. The class itself stays, too: ours is one of
    # it, and the methods of others that are would not find themselves in it any more.
    Row("ssl", "SSLContext.sslsocket_class", ssl.SSLSocket),
    # select, and what selectors has taken from it.
    Row("select", "epoll", select.epoll),
    Row("select", "poll", select.poll),
    Row("select", "select", select.select),
    Row("selectors", "EpollSelector._selector_cls", select.epoll),
    Row("selectors", "PollSelector._selector_cls", select.poll),
    Row("selectors", "SelectSelector._select", select.select),
)

#: What is patched together with a module, because it waits by means of it.
NEEDS: dict[str, tuple[str, ...]] = {
    "time": (),
    "_thread": ("threading",),
    "threading": ("_thread",),
    "queue": ("threading", "_thread", "_queue"),
    "socket": (),
    "ssl": ("socket",),
    "select": (),
    "selectors": ("select",),
    "os": (),
    "subprocess": ("os", "threading", "_thread"),
    "signal": (),
    # Its pool of threads is Python, on threading and queue.
    "concurrent.futures": ("threading", "_thread", "queue", "_queue"),
}


def rows_of(module: str) -> Iterator[Row]:
    """The rows of a module that apply here."""
    return (row for row in TABLE if row.module == module and row.applies)

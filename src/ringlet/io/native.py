"""Functions of the standard library that block the thread, as they are before anybody patches it.

Every module of this package looks them up here. For what is about threads see sched/threads.py.
"""

import os
import signal
from _thread import RLock, allocate_lock
from select import poll
from socket import getaddrinfo, gethostbyaddr, gethostbyname, gethostbyname_ex, getnameinfo

__all__ = (
    "RLock",
    "allocate_lock",
    "fdatasync",
    "fsync",
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "poll",
    "read",
    "readv",
    "set_signal",
    "set_wakeup_fd",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
)

fdatasync = os.fdatasync
fsync = os.fsync
read = os.read
readv = os.readv
wait4 = os.wait4
waitid = os.waitid
waitpid = os.waitpid
write = os.write
writev = os.writev

set_signal = signal.signal
set_wakeup_fd = signal.set_wakeup_fd

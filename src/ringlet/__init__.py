"""Concurrent Python in plain blocking style.

The layers, each of which knows only those below it:

    errors < core < generators | sched < channels | sync < io < servers
    compat, patch, testing and tools on top, and imported by nobody

core: greenlets, coroutines moved by hand. generators: `yield` from any depth of calls. sched:
tasklets, which a scheduler runs. channels: how they hand each other values. sync:
locks, queues and groups. io and servers: blocking calls that block only their caller. `import
ringlet` loads those up to sync.

PYTEST_DONT_REWRITE: a plugin of pytest is in here, but no tests. A run that imports ringlet before
pytest would be warned about it otherwise.
"""

from ringlet.channels import Channel, Selection, select
from ringlet.core import get_include, getcurrent, gettrace, greenlet, settrace
from ringlet.errors import (
    Cancelled,
    ChannelClosed,
    Deadlock,
    GreenletError,
    GreenletExit,
    TaskletError,
    TaskletExit,
    Timeout,
    WouldBlock,
)
from ringlet.generators import generator, iterate, yield_, yield_from
from ringlet.sched import (
    Future,
    Tasklet,
    call_threadsafe,
    current,
    dump,
    excepthook,
    local,
    main,
    run,
    schedule,
    shield,
    sleep,
    spawn,
    spawn_later,
    tasklets,
    timeout,
)
from ringlet.sched.joining import wait
from ringlet.sync import Group
from ringlet.version import VERSION

error = GreenletError

__version__ = VERSION

__all__ = (
    "Cancelled",
    "Channel",
    "ChannelClosed",
    "Deadlock",
    "Future",
    "GreenletError",
    "GreenletExit",
    "Group",
    "Selection",
    "Tasklet",
    "TaskletError",
    "TaskletExit",
    "Timeout",
    "WouldBlock",
    "call_threadsafe",
    "current",
    "dump",
    "error",
    "excepthook",
    "generator",
    "get_include",
    "getcurrent",
    "gettrace",
    "greenlet",
    "iterate",
    "local",
    "main",
    "run",
    "schedule",
    "select",
    "settrace",
    "shield",
    "sleep",
    "spawn",
    "spawn_later",
    "tasklets",
    "timeout",
    "wait",
    "yield_",
    "yield_from",
)

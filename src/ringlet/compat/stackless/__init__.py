"""`import stackless` on stock CPython: tasklets and channels by Stackless's own rules.

    from ringlet.compat.stackless import install

    install()  # before anything imports stackless
    import stackless

Or `import ringlet.compat.stackless as stackless`, or `ringlet run --stackless PROGRAM` around a
program as it is. Tasklets of both worlds share one ring, so Stackless's may use all of ringlet:
sleep, sockets, locks.

What takes an interpreter made for it is refused, and says so: soft switching, and the pickling of
tasklets that have begun to run. docs/stackless.md has the differences.
"""

import builtins
import sys
from types import ModuleType
from typing import Any

from ringlet.compat.stackless.channels import channel
from ringlet.compat.stackless.exits import TaskletExit, bomb
from ringlet.compat.stackless.hooks import (
    get_channel_callback,
    get_schedule_callback,
    set_channel_callback,
    set_error_handler,
    set_schedule_callback,
)
from ringlet.compat.stackless.refusals import (
    PICKLEFLAGS_PICKLE_CONTEXT,
    PICKLEFLAGS_PRESERVE_AG_FINALIZER,
    PICKLEFLAGS_PRESERVE_TRACING_STATE,
    PICKLEFLAGS_RESET_AG_FINALIZER,
    cframe,
    cstack,
    enable_softswitch,
    getdebug,
    getuncollectables,
    pickle_flags,
    pickle_flags_default,
)
from ringlet.compat.stackless.running import (
    atomic,
    get_thread_info,
    getcurrent,
    getcurrentid,
    getmain,
    getruncount,
    getthreads,
    run,
    schedule,
    schedule_remove,
    switch_trap,
)
from ringlet.compat.stackless.tasklets import tasklet

__all__ = (
    "PICKLEFLAGS_PICKLE_CONTEXT",
    "PICKLEFLAGS_PRESERVE_AG_FINALIZER",
    "PICKLEFLAGS_PRESERVE_TRACING_STATE",
    "PICKLEFLAGS_RESET_AG_FINALIZER",
    "TaskletExit",
    "atomic",
    "bomb",
    "cframe",
    "channel",
    "cstack",
    "enable_softswitch",
    "get_channel_callback",
    "get_schedule_callback",
    "get_thread_info",
    "getcurrent",
    "getcurrentid",
    "getdebug",
    "getmain",
    "getruncount",
    "getthreads",
    "getuncollectables",
    "pickle_flags",
    "pickle_flags_default",
    "run",
    "schedule",
    "schedule_remove",
    "set_channel_callback",
    "set_error_handler",
    "set_schedule_callback",
    "stackless",
    "switch_trap",
    "tasklet",
)

#: The version of Stackless whose documentation this follows.
__version__ = "3.8.1"


class _Module(ModuleType):
    """Some of Stackless's functions are also attributes of the module."""

    @property
    def current(self) -> tasklet:
        """getcurrent()."""
        return getcurrent()

    @property
    def main(self) -> tasklet:
        """getmain()."""
        return getmain()

    @property
    def runcount(self) -> int:
        """getruncount()."""
        return getruncount()

    @property
    def threads(self) -> list[int]:
        """getthreads()."""
        return getthreads()

    @property
    def debug(self) -> bool:
        """getdebug()."""
        return getdebug()

    @property
    def uncollectables(self) -> list[Any]:
        """getuncollectables()."""
        return getuncollectables()

    @property
    def pickle_with_tracing_state(self) -> bool:
        """False. Raises RuntimeError when set to anything true."""
        return False

    @pickle_with_tracing_state.setter
    def pickle_with_tracing_state(self, flag: object) -> None:
        pickle_flags(PICKLEFLAGS_PRESERVE_TRACING_STATE if flag else 0, 1)


#: The module itself, as Stackless has it.
stackless = sys.modules[__name__]
stackless.__class__ = _Module


def install() -> ModuleType:
    """Let `import stackless` give this module, and put TaskletExit into builtins.

    Once done, doing it again changes nothing. Raises RuntimeError if another stackless has been
    imported. From any thread; before the first import of stackless.
    """
    present = sys.modules.get("stackless")
    if present not in (None, stackless):
        origin = getattr(present, "__file__", None) or "an unknown place"
        raise RuntimeError(
            "ringlet.compat.stackless.install() comes too late: stackless was already imported, "
            f"from {origin}; call install() before everything that imports stackless, or start "
            "the program with 'ringlet run --stackless'"
        )
    sys.modules["stackless"] = stackless
    vars(builtins)["TaskletExit"] = TaskletExit
    return stackless


def installed() -> bool:
    """Whether `import stackless` gives this module."""
    return sys.modules.get("stackless") is stackless

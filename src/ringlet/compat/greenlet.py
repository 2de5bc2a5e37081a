"""`import greenlet` that gives ringlet's greenlets, for programs and libraries made for greenlet.

    from ringlet.compat.greenlet import install

    install()  # before anything imports greenlet
    import gevent

Everything documented for greenlet 3.5.6 is there, and what libraries use besides, the C API of
compiled ones included. `ringlet run --greenlet PROGRAM` does it without changing the program.
Importing ringlet, or this module, touches nobody's greenlet; only `install()` does.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ringlet import _core
from ringlet.core import GreenletError, GreenletExit, getcurrent, gettrace, greenlet, settrace

__all__ = ("VERSION", "install", "installed")

#: The version of greenlet whose documentation and tests this follows, and which it says it is.
VERSION = "3.5.6"

#: Unit of `get_clocks_used_doing_optional_cleanup`, as C's CLOCKS_PER_SEC on POSIX systems.
_CLOCKS_PER_SEC = 1_000_000


def install() -> ModuleType:
    """Put ringlet's `greenlet` and `greenlet._greenlet` into `sys.modules`; returns the first.

    From then on the types are called `greenlet.greenlet`, `greenlet.error` and
    `greenlet.GreenletExit` in texts, and greenlets that are suspended when their thread ends are
    dropped, as greenlet does, without running their `finally` blocks.

    Once done, doing it again changes nothing. Call it before the first import of greenlet, in any
    thread. Raises RuntimeError if another greenlet has been imported: whoever did it goes on with
    that one, and two kinds of greenlets in a program cannot switch to each other.
    """
    present = sys.modules.get("greenlet")
    if present is not None:
        if installed():
            return present
        origin = getattr(present, "__file__", None) or "an unknown place"
        raise RuntimeError(
            "ringlet.compat.greenlet.install() comes too late: greenlet was already imported, from "
            f"{origin}; call install() before everything that imports greenlet, or start the "
            "program with 'ringlet run --greenlet'"
        )
    # Libraries have greenlets that catch everything, in a loop: they must not see GreenletExit
    # where greenlet would not raise it.
    _core._unwind_at_thread_end(False)
    _call_everything("greenlet", "error")
    inner = _module("greenlet._greenlet", _inner_names())
    package = _module("greenlet", {**_names(), "_greenlet": inner}, is_package=True)
    sys.modules.update({"greenlet": package, "greenlet._greenlet": inner})
    return package


def installed() -> bool:
    """Whether `import greenlet` gives ringlet's greenlets."""
    return getattr(sys.modules.get("greenlet"), "greenlet", None) is greenlet


def _call_everything(module: str, error: str) -> None:
    """Have types and texts of errors say that they are of `module`, where greenlet's would."""
    _core._call_greenlets(module == "greenlet")
    for kind, name in ((GreenletError, error), (GreenletExit, "GreenletExit")):
        kind.__module__ = module
        kind.__name__ = kind.__qualname__ = name


def _module(name: str, names: dict[str, Any], *, is_package: bool = False) -> ModuleType:
    """A module whose contents come from here."""
    module = ModuleType(name, __doc__)
    module.__file__ = __file__
    module.__spec__ = ModuleSpec(name, None, origin=__file__, is_package=is_package)
    if is_package:
        module.__path__ = []
    vars(module).update(names)
    return module


def _names() -> dict[str, Any]:
    """What greenlet's own `__init__` has, in `__all__` and beside it."""
    public = {
        "__version__": VERSION,
        "_C_API": _core._C_API,
        "GreenletExit": GreenletExit,
        "error": GreenletError,
        "getcurrent": getcurrent,
        "greenlet": greenlet,
        "gettrace": gettrace,
        "settrace": settrace,
    }
    return {
        **public,
        "__all__": list(public),
        "GREENLET_USE_CONTEXT_VARS": True,
        "GREENLET_USE_GC": True,
        "GREENLET_USE_TRACING": True,
        "CLOCKS_PER_SEC": _CLOCKS_PER_SEC,
        "enable_optional_cleanup": _enable_optional_cleanup,
        "get_clocks_used_doing_optional_cleanup": _get_clocks_used_doing_optional_cleanup,
    }


def _inner_names() -> dict[str, Any]:
    """What its extension module has: the same, and what its tests look at."""
    names = _names()
    del names["__all__"], names["__version__"]
    if sys.version_info < (3, 13):
        names["get_tstate_trash_delete_nesting"] = _core._trash_nesting
    return {
        **names,
        "get_pending_cleanup_count": _get_pending_cleanup_count,
        "get_total_main_greenlets": _core._thread_count,
        "set_thread_local": _core._set_thread_local,
    }


_cleanup_is_on = False


def _enable_optional_cleanup(flag: bool, /) -> None:
    """Greenlets of ended threads are always ended, without a search that could be turned off."""
    global _cleanup_is_on
    _cleanup_is_on = bool(flag)


def _get_clocks_used_doing_optional_cleanup() -> int | None:
    """The time that search took: none, in units of CLOCKS_PER_SEC. None while it is off."""
    return 0 if _cleanup_is_on else None


def _get_pending_cleanup_count() -> int:
    """How many ended threads are still to be cleaned up: each does it itself when it ends."""
    return 0

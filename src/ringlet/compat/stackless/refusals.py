"""What stock CPython cannot do, and the calls that say so."""

from typing import Any

__all__ = (
    "PICKLEFLAGS_PICKLE_CONTEXT",
    "PICKLEFLAGS_PRESERVE_AG_FINALIZER",
    "PICKLEFLAGS_PRESERVE_TRACING_STATE",
    "PICKLEFLAGS_RESET_AG_FINALIZER",
    "cframe",
    "cstack",
    "enable_softswitch",
    "getdebug",
    "getuncollectables",
    "pickle_flags",
    "pickle_flags_default",
)

PICKLEFLAGS_PRESERVE_TRACING_STATE = 1
PICKLEFLAGS_PRESERVE_AG_FINALIZER = 2
PICKLEFLAGS_RESET_AG_FINALIZER = 4
PICKLEFLAGS_PICKLE_CONTEXT = 8


def enable_softswitch(flag: Any = None, /) -> bool:
    """False: switches are hard, always. Raises RuntimeError for a true `flag`."""
    if flag:
        raise RuntimeError(
            "soft switching needs an interpreter made for it; ringlet switches stacks, which is "
            "what Stackless calls hard: call enable_softswitch(False), or not at all"
        )
    return False


def pickle_flags(new: int = -1, mask: int = -1) -> int:
    """0: nothing that the flags could say more about can be pickled. Raises RuntimeError to set."""
    if new != -1 and new & mask:
        raise RuntimeError(
            "pickle flags are about tasklets and frames that have begun to run, and these cannot "
            "be pickled on stock CPython"
        )
    return 0


def pickle_flags_default(new: int = -1, mask: int = -1) -> int:
    """The same for other threads."""
    return pickle_flags(new, mask)


def getdebug() -> bool:
    """False: this is no debug build."""
    return False


def getuncollectables() -> list[Any]:
    """An empty list: no tasklet is ever uncollectable."""
    return []


class _Absent:
    """A type that programs may name, and nobody can make."""

    def __new__(cls) -> "_Absent":
        raise TypeError(f"cannot create '{cls.__name__}' instances: ringlet has none")


class cframe(_Absent):  # noqa: N801 (Stackless's name)
    """Stackless's frame of C code. There are none here."""


class cstack(_Absent):  # noqa: N801 (Stackless's name)
    """Stackless's copy of a C stack. There are none here: ringlet keeps stacks elsewhere."""

"""Leak checks: a body that is run again and again must leave the process as it found it.

What is compared after each run, all garbage collected:

- how many objects of each type the collector knows: tells a leaked greenlet, tasklet, frame, cell
- references to a few objects that everything shares: tells a reference lost in C
- the allocator's live blocks: tells whatever neither of the others can see

Caches fill and settle, so one growth means nothing. A leak is what grows in every round. What was
there before the first look is frozen out of the collector meanwhile, which makes a look cheap.
"""

import functools
import gc
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

WARM_UP = 1  # runs before the first look: imports, caches, the first use of a code object
SETTLE = 3  # looks at an empty body: the last shows what looking itself adds
ROUNDS = 7  # looks at most; a body that does not leak mostly passes at the first or second


class Leak(AssertionError):
    """Something grew every time the body ran; the text says what and by how much."""


def watched() -> dict[str, object]:
    """What C code may forget to give back: the shared singletons and all that the core exports."""
    core = sys.modules.get("ringlet._core")
    exported = vars(core) if core else {}
    return {"None": None, "the empty tuple": (), "the empty string": "", **exported}


def growth(body: Callable[[], object]) -> Counter[str]:
    """Run `body` once; what there is more of afterwards, by name."""
    types = Counter(map(type, _collected()))
    references = {name: sys.getrefcount(thing) for name, thing in watched().items()}
    # A frame that outlives its call makes the interpreter create the object of its caller's: ours.
    sys._getframe()
    _collected()
    blocks = sys.getallocatedblocks()  # nothing else of ours is allocated until it is read again
    body()
    _collected()
    blocks = sys.getallocatedblocks() - blocks

    grown: Counter[str] = Counter({"allocated blocks": blocks})
    for kind, count in Counter(map(type, _collected())).items():
        grown[f"objects of type {kind.__module__}.{kind.__qualname__}"] = count - types[kind]
    del kind  # a type, and perhaps one whose references are counted next
    for name, thing in watched().items():
        grown[f"references to {name}"] = sys.getrefcount(thing) - references.get(name, 0)
    if _jit_is_on():
        # It keeps the machine code of loops that have ended; what leaks shows all the same when
        # the suite is run without it.
        del grown["allocated blocks"], grown["objects of type builtins.uop_executor"]
    return grown


def _jit_is_on() -> bool:
    jit = getattr(sys, "_jit", None)
    return jit is not None and jit.is_enabled()


_forget_lookups = (
    sys._clear_internal_caches if sys.version_info >= (3, 13) else sys._clear_type_cache
)


def _collected() -> list[object]:
    """All objects the collector knows after it has run."""
    for _ in range(2):  # a finalizer may leave garbage of its own
        gc.collect()
    # It keeps the names that were looked up, one by one until it is full.
    _forget_lookups()
    return gc.get_objects()


def check_leaks(body: Callable[[], object]) -> None:
    """Run `body` until one run leaves nothing behind; raise Leak if each of them does."""
    for _ in range(WARM_UP):
        body()
    gc.collect()
    gc.freeze()
    try:
        suspects = _what_always_grows(body)
    finally:
        gc.unfreeze()
    if suspects:
        lines = [f"  {count:+d} {name}" for name, count in suspects.most_common()]
        raise Leak(f"grew in each of {ROUNDS} runs, by at least:\n" + "\n".join(lines))


def _what_always_grows(body: Callable[[], object]) -> Counter[str]:
    """What each of ROUNDS runs adds to, and its smallest growth; nothing once one adds nothing."""
    for _ in range(SETTLE):
        looking = growth(lambda: None)
    suspects: Counter[str] | None = None
    for _ in range(ROUNDS):
        grown = growth(body)
        grown.subtract(looking)
        suspects = +grown if suspects is None else suspects & grown
        if not suspects:
            break
    return suspects or Counter()


def leak_checked(function: F) -> F:
    """Decorate a test: its body is run several times, and growth in each of them fails it."""

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> None:
        check_leaks(lambda: function(*args, **kwargs))

    checked.is_leak_checked = True  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


def wants_leak_check(function: object) -> bool:
    """Whether a collected test can be checked from outside.

    One that checks itself need not be; Hypothesis's own records grow with every run, so a
    property is checked by decorating what it calls. Interpreters that can run without the GIL free
    what others free at once some time later, under pytest also later than a run's end.
    """
    return (
        isinstance(function, FunctionType)
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and not hasattr(function, "is_leak_checked")
        and not hasattr(function, "hypothesis")
    )

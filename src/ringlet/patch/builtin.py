"""Functions that stand for functions written in C."""

from collections.abc import Callable
from typing import Any

__all__ = ("Builtin",)


class Builtin:
    """f, but as functions in C are: no method of a class that has it, and pickled by its name.

    Programs rely on that: `class Clock: sleep = time.sleep`.
    """

    def __init__(self, f: Callable[..., Any], module: str, name: str) -> None:
        self.__wrapped__ = f
        self.__doc__ = f.__doc__
        self.__module__ = module
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__name__}, patched>"

    def __reduce__(self) -> str:
        return self.__name__

"""Attributes that each tasklet has for itself."""

import weakref
from typing import Any

from ringlet import _core

__all__ = ("local",)


class _Key:
    """What a local's attributes are found by in a tasklet; it lives as long as the local."""

    __slots__ = ("__weakref__", "arguments")

    def __init__(self, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self.arguments = arguments


class local:  # noqa: N801 (as threading.local)
    """An object whose attributes are different ones in each tasklet, as threading.local's are.

    They are freed when the tasklet ends. The __init__ of a subclass is called in each tasklet that
    uses the object, with the arguments the object was made with. From any thread.
    """

    __slots__ = ("__weakref__", "_key")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> "local":
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("local() takes no arguments; a subclass with an __init__ may")
        self = object.__new__(cls)
        object.__setattr__(self, "_key", _Key((args, kwargs)))
        # Whoever makes it has its __init__ called in any case, as with any class.
        _all_attributes()[object.__getattribute__(self, "_key")] = {}
        return self

    def __getattribute__(self, name: str) -> Any:
        attributes = _attributes(self)
        if name == "__dict__":
            return attributes
        try:
            return attributes[name]
        except KeyError:
            return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(getattr(type(self), name, None), "__set__"):
            object.__setattr__(self, name, value)
        else:
            _attributes(self)[name] = value

    def __delattr__(self, name: str) -> None:
        if hasattr(getattr(type(self), name, None), "__delete__"):
            object.__delattr__(self, name)
            return
        try:
            del _attributes(self)[name]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r} in this tasklet",
                name=name,
                obj=self,
            ) from None


def _all_attributes() -> Any:
    """The attributes of all locals in the running tasklet, by their keys."""
    tasklet: _core.Tasklet[Any] = _core.current()
    kept = tasklet._locals
    if kept is None:
        kept = tasklet._locals = weakref.WeakKeyDictionary()
    return kept


def _attributes(owner: local) -> dict[str, Any]:
    """The attributes of a local in the running tasklet."""
    key: _Key = object.__getattribute__(owner, "_key")
    kept = _all_attributes()
    attributes: dict[str, Any] | None = kept.get(key)
    if attributes is None:
        attributes = kept[key] = {}
        args, kwargs = key.arguments
        try:
            type(owner).__init__(owner, *args, **kwargs)
        except BaseException:
            del kept[key]
            raise
    return attributes

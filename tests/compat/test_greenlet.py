"""`install()`: what `import greenlet` finds afterwards, and what it leaves alone."""

import ctypes
import sys

import pytest

from ringlet import _core
from ringlet.compat import greenlet as compat
from tests.support.isolated import run_isolated

PUBLIC = {
    "__version__",
    "_C_API",
    "GreenletExit",
    "error",
    "getcurrent",
    "greenlet",
    "gettrace",
    "settrace",
}


@pytest.fixture
def installed(monkeypatch):
    """The module, in sys.modules for the time of a test."""
    for name in ("greenlet", "greenlet._greenlet"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = compat.install()
    yield module
    assert _core._unwind_at_thread_end(True) is False
    compat._call_everything("ringlet", "GreenletError")
    for name in ("greenlet", "greenlet._greenlet"):
        del sys.modules[name]


def test_import_gives_ringlets(installed):
    import greenlet  # noqa: PLC0415

    assert greenlet is installed
    assert greenlet.greenlet is _core.greenlet
    assert greenlet.error is _core.GreenletError
    assert greenlet.GreenletExit is _core.GreenletExit
    assert greenlet.greenlet(lambda x: x + 1).switch(1) == 2


def test_the_inner_module_can_be_imported_too(installed):
    import greenlet._greenlet as inner  # noqa: PLC0415

    assert inner is installed._greenlet
    assert inner.greenlet is installed.greenlet
    assert inner.get_total_main_greenlets() >= 0
    assert inner.get_pending_cleanup_count() == 0


def test_star_import_gives_what_is_public(installed):
    names: dict[str, object] = {}
    exec("from greenlet import *", names)
    names.pop("__builtins__")
    assert set(names) == PUBLIC
    assert names["__version__"] == compat.VERSION == "3.5.6"


def test_types_and_errors_are_called_as_in_greenlet(installed):
    assert str(installed.greenlet) == "<class 'greenlet.greenlet'>"
    assert str(installed.error) == "<class 'greenlet.error'>"
    assert str(installed.GreenletExit) == "<class 'greenlet.GreenletExit'>"
    assert repr(installed.greenlet()).startswith("<greenlet.greenlet object at ")
    with pytest.raises(TypeError, match=r"any type of greenlet, not int"):
        installed.greenlet().parent = 1


def test_again_changes_nothing(installed):
    assert compat.installed()
    assert compat.install() is installed
    assert sys.modules["greenlet"] is installed


def test_optional_cleanup_has_nothing_to_do(installed):
    inner = installed._greenlet
    assert inner.get_clocks_used_doing_optional_cleanup() is None
    inner.enable_optional_cleanup(True)
    assert inner.get_clocks_used_doing_optional_cleanup() == 0
    inner.enable_optional_cleanup(False)
    assert inner.get_clocks_used_doing_optional_cleanup() is None


def test_another_greenlet_that_is_imported_is_left_alone(monkeypatch):
    class Other:
        __file__ = "/somewhere/greenlet/__init__.py"

    other = Other()
    monkeypatch.setitem(sys.modules, "greenlet", other)
    with pytest.raises(RuntimeError, match=r"too late.*/somewhere/greenlet.*ringlet run --greenl"):
        compat.install()
    assert sys.modules["greenlet"] is other
    assert not compat.installed()


def test_importing_ringlet_touches_nobodys_greenlet():
    program = """
import sys
import ringlet, ringlet.compat.greenlet, ringlet.tools.cli
print([name for name in sys.modules if name.partition(".")[0] == "greenlet"])
print(ringlet.compat.greenlet.installed())
"""
    assert run_isolated(program).stdout == "[]\nFalse\n"


def test_threads_with_greenlets_are_counted():
    program = """
import threading
from ringlet.compat.greenlet import install
install()
import greenlet
from greenlet._greenlet import get_total_main_greenlets as total
counts = [total()]
greenlet.getcurrent()
counts.append(total())
def work():
    greenlet.getcurrent()
    counts.append(total())
thread = threading.Thread(target=work)
thread.start()
thread.join()
counts.append(total())
print(counts)
"""
    assert run_isolated(program).stdout == "[0, 1, 2, 1]\n"


# ---- the C API, called as compiled code does


class Functions:
    """The twelve pointers behind the capsule that compiled programs look for."""

    def __init__(self) -> None:
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype = ctypes.c_void_p
        get.argtypes = [ctypes.py_object, ctypes.c_char_p]
        address = get(_core._C_API, b"greenlet._C_API")
        pointers = (ctypes.c_void_p * 12).from_address(address)
        thing, maybe = ctypes.py_object, ctypes.c_void_p
        self.types = [ctypes.cast(pointer, thing).value for pointer in pointers[:3]]
        self.new = ctypes.PYFUNCTYPE(thing, maybe, maybe)(pointers[3])
        self.getcurrent = ctypes.PYFUNCTYPE(thing)(pointers[4])
        self.throw = ctypes.PYFUNCTYPE(thing, thing, thing, maybe, maybe)(pointers[5])
        self.switch = ctypes.PYFUNCTYPE(thing, thing, maybe, maybe)(pointers[6])
        self.set_parent = ctypes.PYFUNCTYPE(ctypes.c_int, thing, maybe)(pointers[7])
        self.is_main, self.is_started, self.is_active = (
            ctypes.PYFUNCTYPE(ctypes.c_int, thing)(pointer) for pointer in pointers[8:11]
        )
        self.parent = ctypes.PYFUNCTYPE(thing, thing)(pointers[11])


@pytest.fixture(scope="module")
def c():
    return Functions()


def test_c_types(c):
    assert c.types == [_core.greenlet, _core.GreenletError, _core.GreenletExit]
    assert _core.greenlet.__basicsize__ == 40
    assert _core.greenlet.__weakrefoffset__ == 16
    assert _core.greenlet.__dictoffset__ == 24


def test_c_new_and_switch(c):
    def run(*args, **kwargs):
        return args, kwargs

    child = c.new(id(run), None)
    assert child.parent is _core.getcurrent() is c.getcurrent()
    args, kwargs = (1, 2), {"key": 3}
    assert c.switch(child, id(args), id(kwargs)) == (args, kwargs)
    bare = c.new(None, None)
    bare.run = run
    assert c.switch(bare, None, None) == ((), {})
    grandchild = c.new(id(run), id(bare))
    assert grandchild.parent is bare


def test_c_throw(c):
    child, text = _core.greenlet(lambda: None), "thrown"
    with pytest.raises(KeyError, match="thrown"):
        c.throw(child, KeyError, id(text), None)
    ended = c.throw(_core.greenlet(lambda: None), _core.GreenletExit, None, None)
    assert isinstance(ended, _core.GreenletExit)


def test_c_states(c):
    child = _core.greenlet(lambda: _core.getcurrent().parent.switch())

    def seen():
        return c.is_main(child), c.is_started(child), c.is_active(child)

    assert seen() == (0, 0, 0)
    child.switch()
    assert seen() == (0, 1, 1)
    child.switch()
    assert seen() == (0, 1, 0)
    assert c.is_main(c.getcurrent()) == 1


def test_c_parent(c):
    child, other = _core.greenlet(), _core.greenlet()
    assert c.set_parent(child, id(other)) == 0
    assert c.parent(child) is other
    with pytest.raises(ValueError, match="cyclic"):
        c.set_parent(other, id(child))
    with pytest.raises(AttributeError, match="can't delete attribute"):
        c.set_parent(other, None)


def test_c_refuses_what_is_no_greenlet(c):
    text, numbers = "text", [1]
    for call in (
        lambda: c.new(None, id(text)),
        lambda: c.switch("text", None, None),
        lambda: c.throw(7, KeyError, None, None),
        lambda: c.set_parent([], None),
        lambda: c.is_main(None),
        lambda: c.is_started(None),
        lambda: c.is_active(None),
        lambda: c.parent(None),
        lambda: c.switch(_core.greenlet(), id(numbers), None),
        lambda: c.switch(_core.greenlet(), None, id(numbers)),
    ):
        with pytest.raises(TypeError, match="bad argument"):
            call()

"""The module: its names, how it is installed, and what it refuses."""

import builtins
import sys
import types

import pytest

from ringlet.compat import stackless
from tests.support.isolated import run_isolated

STACKLESS_ALL = {
    *("atomic", "channel", "enable_softswitch", "get_channel_callback", "get_schedule_callback"),
    *("get_thread_info", "getcurrent", "getcurrentid", "getdebug", "getmain", "getruncount"),
    *("getthreads", "getuncollectables", "pickle_with_tracing_state", "run", "schedule"),
    *("schedule_remove", "set_channel_callback", "set_error_handler", "set_schedule_callback"),
    *("switch_trap", "tasklet", "stackless", "pickle_flags", "pickle_flags_default", "bomb"),
    *("cframe", "cstack", "current", "main", "runcount", "threads", "debug", "uncollectables"),
}


@pytest.fixture
def installed(monkeypatch):
    """The module, as `stackless`, for the time of a test."""
    monkeypatch.delitem(sys.modules, "stackless", raising=False)
    monkeypatch.setattr(builtins, "TaskletExit", None, raising=False)
    yield stackless.install()
    sys.modules.pop("stackless", None)


def test_every_name_of_stackless_is_there():
    assert {name for name in STACKLESS_ALL if not hasattr(stackless, name)} == set()


def test_all_names_what_is_there():
    assert {name for name in stackless.__all__ if not hasattr(stackless, name)} == set()
    names: dict[str, object] = {}
    exec("from ringlet.compat.stackless import *", names)
    assert names["tasklet"] is stackless.tasklet
    assert "install" not in names


def test_properties_of_the_module_are_its_functions():
    assert stackless.current is stackless.getcurrent()
    assert stackless.main is stackless.getmain()
    assert stackless.runcount == 1
    assert stackless.threads == stackless.getthreads()
    assert stackless.debug is False
    assert stackless.uncollectables == []
    assert stackless.stackless is stackless


def test_install_gives_import_stackless(installed):
    import stackless as found  # noqa: PLC0415

    assert found is stackless is installed
    assert stackless.installed()


def test_install_puts_tasklet_exit_into_builtins(installed):
    assert builtins.TaskletExit is stackless.TaskletExit


def test_install_twice_changes_nothing(installed):
    assert stackless.install() is installed


def test_another_stackless_that_is_imported_is_left_alone(monkeypatch):
    other = types.ModuleType("stackless")
    other.__file__ = "/somewhere/stackless.py"
    monkeypatch.setitem(sys.modules, "stackless", other)
    with pytest.raises(RuntimeError, match=r"too late.*/somewhere/.*ringlet run --stackless"):
        stackless.install()
    assert sys.modules["stackless"] is other
    assert not stackless.installed()


def test_importing_it_touches_nothing():
    program = """
import sys, builtins
import ringlet.compat.stackless, ringlet.tools.cli
print("stackless" in sys.modules, hasattr(builtins, "TaskletExit"))
print(ringlet.compat.stackless.installed())
"""
    assert run_isolated(program).stdout == "False False\nFalse\n"


def test_soft_switching_is_refused_and_the_call_says_hard():
    assert stackless.enable_softswitch(None) is False
    assert stackless.enable_softswitch(False) is False
    with pytest.raises(RuntimeError, match="soft switching needs an interpreter made for it"):
        stackless.enable_softswitch(True)


def test_pickle_flags_are_none_and_cannot_be_set():
    assert stackless.pickle_flags() == stackless.pickle_flags_default() == 0
    assert stackless.pickle_flags(0) == 0
    with pytest.raises(RuntimeError, match="cannot be pickled on stock CPython"):
        stackless.pickle_flags(stackless.PICKLEFLAGS_PRESERVE_TRACING_STATE)
    assert stackless.pickle_with_tracing_state is False
    stackless.pickle_with_tracing_state = False
    with pytest.raises(RuntimeError, match="cannot be pickled on stock CPython"):
        stackless.pickle_with_tracing_state = True


def test_types_of_the_interpreter_can_be_named_and_not_made():
    for kind in (stackless.cframe, stackless.cstack):
        with pytest.raises(TypeError, match="cannot create"):
            kind()


def test_getdebug_and_getuncollectables():
    assert stackless.getdebug() is False
    assert stackless.getuncollectables() == []

"""Interpreters that can run without the GIL: the core turns it on, and keeps no locks."""

import sysconfig

import pytest

from ringlet import getcurrent, greenlet
from tests.core.paths import push_out
from tests.support.isolated import run_isolated

child_process = pytest.mark.no_leak_check("runs in a child process")

pytestmark = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter always has a GIL"
)


@child_process
def test_importing_it_turns_the_gil_on() -> None:
    program = """
import sys, warnings
assert not sys._is_gil_enabled()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import ringlet
assert sys._is_gil_enabled()
assert ["ringlet._core" in str(one.message) for one in seen] == [True], seen
"""
    run_isolated(program, env={"PYTHON_GIL": ""})


@child_process
def test_it_is_refused_where_the_gil_is_off_for_good() -> None:
    program = """
try:
    import ringlet
except ImportError as error:
    print(error)
"""
    assert run_isolated(program, env={"PYTHON_GIL": "0"}).stdout == (
        "ringlet cannot be used without the GIL, which PYTHON_GIL=0 or -X gil=0 has turned off; "
        "leave that away, and importing ringlet turns the GIL on\n"
    )


class Key:
    """Says whether it is equal to another when it has asked outside."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        parent = getcurrent().parent
        assert parent is not None
        return bool(parent.switch("equal?"))


def store(shared: dict[object, object]) -> str:
    """C code locks a dict to store in it, and calls __eq__ with the lock held."""
    shared[Key()] = "stored"
    return "done"


def test_what_a_greenlet_has_locked_can_be_used_meanwhile() -> None:
    shared: dict[object, object] = {Key(): None, 5: 0}
    child = greenlet(store)
    assert child.switch(shared) == "equal?"
    shared[5] = 1
    assert child.switch(True) == "done"
    assert list(shared.values()) == ["stored", 1]


def test_locks_of_many_greenlets_are_let_go_and_taken_again() -> None:
    """Each holds one and waits inside, in its slot or copied out; they end in another order."""
    shared: dict[object, object] = {Key(): None, 5: 0}
    children = [greenlet(store) for _ in range(150)]
    for child in children:
        assert child.switch(shared) == "equal?"
    push_out()
    shared[5] = 1
    order = sorted(range(150), key=lambda number: number * 77 % 150)
    assert [children[number].switch(True) for number in order] == ["done"] * 150
    assert list(shared.values()) == ["stored", 1]


def test_a_dropped_greenlet_leaves_no_lock_behind() -> None:
    shared: dict[object, object] = {Key(): None, 5: 0}
    child = greenlet(store)
    child.switch(shared)
    del child
    shared[5] = 1
    assert list(shared.values()) == [None, 1]

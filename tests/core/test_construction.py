"""greenlet(): arguments, attributes, subclasses, what is refused."""

import abc
import copy
import importlib
import pickle
import sys
import weakref

import pytest

from ringlet import GreenletError, getcurrent, greenlet
from tests.core.paths import park
from tests.support.isolated import run_isolated

child_process = pytest.mark.no_leak_check("runs in a child process")


def test_run_and_parent_come_by_position_or_name() -> None:
    main = getcurrent()
    parent = greenlet()
    for child in (greenlet(len), greenlet(run=len), greenlet(len, None)):
        assert child.run is len
        assert child.parent is main
    for child in (greenlet(len, parent), greenlet(run=len, parent=parent)):
        assert (child.run, child.parent) == (len, parent)
    assert greenlet(parent=parent).parent is parent


def test_the_parent_is_the_greenlet_that_makes_it() -> None:
    maker = greenlet(lambda: (getcurrent(), greenlet().parent, greenlet(None, None).parent))
    assert maker.switch() == (maker, maker, maker)


def test_no_run_is_not_the_same_as_none() -> None:
    assert greenlet(None).run is None
    with pytest.raises(AttributeError, match="run"):
        greenlet().run  # noqa: B018


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, None, 3), {}, "at most 2 arguments"),
        ((1,), {"run": 2}, "multiple values|given by name"),
        ((), {"target": 1}, "unexpected keyword|invalid keyword"),
        ((None, 5), {}, "Expected any type of greenlet, not int"),
    ],
)
@pytest.mark.parametrize("kind", [greenlet, type("Sub", (greenlet,), {})])
def test_other_arguments_are_refused(kind, args, kwargs, message) -> None:
    with pytest.raises(TypeError, match=message):
        kind(*args, **kwargs)


def test_run_goes_away_at_the_start() -> None:
    child = greenlet(lambda: hasattr(getcurrent(), "run"))
    assert child.switch() is False
    with pytest.raises(AttributeError, match="run"):
        child.run  # noqa: B018
    with pytest.raises(AttributeError, match="run cannot be set after the start"):
        child.run = len
    suspended = greenlet(park)
    suspended.switch()
    with pytest.raises(AttributeError, match="run cannot be set after the start"):
        suspended.run = len
    suspended.switch()


def test_run_can_be_replaced_and_removed_before() -> None:
    child = greenlet(len)
    child.run = lambda: "replaced"
    del child.run
    with pytest.raises(AttributeError, match="run"):
        child.switch()
    child.run = lambda: "again"
    assert child.switch() == "again"


def test_the_main_greenlet_has_neither_run_nor_parent() -> None:
    main = getcurrent()
    assert main.parent is None
    with pytest.raises(AttributeError, match="Main greenlets do not have a run attribute"):
        main.run  # noqa: B018
    with pytest.raises(AttributeError, match="Main greenlets do not have a run attribute"):
        main.run = len


def test_attributes_are_kept_in_a_dict() -> None:
    child = greenlet()
    child.colour = "red"
    assert child.__dict__ == {"colour": "red"}
    child.__dict__ = {"size": 3}
    assert child.size == 3
    with pytest.raises(TypeError, match="__dict__ must be a dictionary"):
        child.__dict__ = 3
    with pytest.raises(TypeError, match="may not be deleted"):
        del child.__dict__
    with pytest.raises(AttributeError):
        child.colour  # noqa: B018


def test_a_weak_reference_ends_with_it() -> None:
    ended = []
    child = greenlet(park)
    reference = weakref.ref(child, ended.append)
    child.switch()
    assert reference() is child
    del child
    assert ended == [reference]
    assert reference() is None


def test_a_subclass_without_slots_adds_no_bytes() -> None:
    class Slim(greenlet):
        __slots__ = ()

    head = object.__basicsize__  # 16 bytes, more on interpreters that can run without the GIL
    assert Slim.__basicsize__ == greenlet.__basicsize__ == head + 24
    assert greenlet.__weakrefoffset__ == head
    assert greenlet.__dictoffset__ == head + 8


def test_a_subclass_may_have_arguments_and_slots_of_its_own() -> None:
    class Named(greenlet):
        __slots__ = ("name",)

        def __init__(self, name: str) -> None:
            super().__init__(lambda: name.upper())
            self.name = name

    child = Named("x")
    assert (child.name, child.switch()) == ("x", "X")


def test_init_may_be_left_out_or_repeated() -> None:
    class Bare(greenlet):
        def __init__(self) -> None:
            pass

    bare = Bare()
    assert bare.parent is getcurrent()
    bare.__init__()
    greenlet.__init__(bare, lambda: "late")
    greenlet.__init__(bare)
    assert bare.switch() == "late"
    with pytest.raises(AttributeError, match="after the start"):
        greenlet.__init__(bare, len)
    assert greenlet.__new__(greenlet).parent is getcurrent()


def test_an_abstract_subclass_cannot_be_made() -> None:
    class Abstract(greenlet, abc.ABC):
        @abc.abstractmethod
        def run(self) -> None: ...

    class Concrete(Abstract):
        def run(self) -> str:
            return "done"

    with pytest.raises(TypeError, match="abstract"):
        Abstract()
    assert Concrete().switch() == "done"


def test_it_mixes_with_other_classes() -> None:
    class Mixin:
        def __init__(self) -> None:
            super().__init__(self.body)

        def body(self) -> str:
            return type(self).__name__

    class Mixed(Mixin, greenlet):
        pass

    assert Mixed().switch() == "Mixed"


class Sub(greenlet):
    pass


@pytest.mark.parametrize("kind", [greenlet, Sub])
@pytest.mark.parametrize(
    "serialize",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda one, protocol=protocol: pickle.dumps(one, protocol) for protocol in range(6)),
    ],
)
def test_it_cannot_be_copied_or_pickled(kind, serialize) -> None:
    with pytest.raises(TypeError, match=r"cannot (serialize|pickle) '.*' object"):
        serialize(kind())


def test_repr_tells_the_state() -> None:
    child = greenlet(lambda: (repr(child), park())[0])
    assert repr(child).startswith("<ringlet.greenlet object at 0x")
    assert "pending" in repr(child)
    assert "current active started main" in repr(getcurrent())
    assert child.switch() == ()
    assert "suspended active started" in repr(child)
    inside = child.switch()
    assert "current active started" in inside
    assert "main" not in inside
    assert "dead" in repr(child)
    assert repr(Sub()).startswith("<Sub object at 0x")


@pytest.mark.no_leak_check("importing leaves the specification of a module behind")
def test_a_second_import_gives_the_same_module() -> None:
    core = sys.modules.pop("ringlet._core")
    try:
        again = importlib.import_module("ringlet._core")
        assert again.greenlet is greenlet
        assert again.GreenletError is GreenletError
    finally:
        sys.modules["ringlet._core"] = core


SUBINTERPRETER = """
import sys
if sys.argv[1] == "before":
    import ringlet
if sys.version_info < (3, 13):
    import _xxsubinterpreters as interpreters
    other, run = interpreters.create(isolated=False), interpreters.run_string
else:
    import _interpreters as interpreters
    other, run = interpreters.create("legacy"), interpreters.exec
REFUSED = '''
try:
    import ringlet._core
except ImportError as error:
    assert "cannot be used in a subinterpreter" in str(error), error
else:
    raise SystemExit("imported")
'''
failure = run(other, REFUSED)
assert failure is None, failure
interpreters.destroy(other)
import ringlet
assert ringlet.greenlet(lambda: 5).switch() == 5
"""


@child_process
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_subinterpreter_is_refused(when) -> None:
    """Whether the main interpreter has imported it before or does so afterwards."""
    run_isolated(SUBINTERPRETER, when)


@child_process
@pytest.mark.parametrize("setting", ["0", "257", "-1", "many", "1.5", "4 slots", "9" * 30])
def test_a_bad_number_of_slots_is_refused_at_import(setting) -> None:
    program = """
try:
    import ringlet
except ValueError as error:
    print(error)
"""
    said = run_isolated(program, env={"RINGLET_SLOTS": setting, "RINGLET_HARD": ""}).stdout
    assert said == f"RINGLET_SLOTS is '{setting}'; give a whole number from 1 to 256\n"


@child_process
@pytest.mark.parametrize(
    ("slots", "hard", "expected"),
    [("", "", 64), ("1", "", 1), ("256", "", 256), ("7", "0", 7), ("7", "1", 1)],
)
def test_settings_decide_the_number_of_slots(slots, hard, expected) -> None:
    program = "from ringlet.core import stack_statistics; print(stack_statistics()['slots'])"
    outcome = run_isolated(program, env={"RINGLET_SLOTS": slots, "RINGLET_HARD": hard})
    assert outcome.stdout == f"{expected}\n"


ARENAS = """
import ringlet
from tests.core.paths import nested, park
many = [ringlet.greenlet(lambda: nested(200, park)) for _ in range(100)]
for round in range(2):
    for one in many:
        one.switch()
assert all(one.dead for one in many)
"""


@child_process
@pytest.mark.parametrize("cache", ["", "0", "1"])
def test_it_works_with_and_without_cached_arenas(cache) -> None:
    run_isolated(ARENAS, env={"RINGLET_ARENA_CACHE": cache})

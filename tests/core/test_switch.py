"""switch(): what it starts, what it hands over, whom it enters."""

import sys
import traceback

import pytest

from ringlet import GreenletError, GreenletExit, getcurrent, greenlet
from tests.core.paths import nested, park

pytestmark = pytest.mark.core_subset

PACKINGS = [
    ((), {}, ()),
    ((1,), {}, 1),
    ((None,), {}, None),
    (((),), {}, ()),
    ((1, 2), {}, (1, 2)),
    ((), {"a": 1}, {"a": 1}),
    ((1,), {"a": 2}, ((1,), {"a": 2})),
    ((1, 2), {"a": 3, "b": 4}, ((1, 2), {"a": 3, "b": 4})),
]
packings = pytest.mark.parametrize(("args", "kwargs", "packed"), PACKINGS)


@packings
def test_the_first_switch_calls_run_with_all_arguments(args, kwargs, packed) -> None:
    child = greenlet(lambda *args, **kwargs: (args, kwargs))
    assert child.switch(*args, **kwargs) == (args, kwargs)


@packings
def test_a_later_switch_returns_them_packed(args, kwargs, packed) -> None:
    child = greenlet(park)
    child.switch()
    assert child.switch(*args, **kwargs) == packed


@packings
def test_a_switch_to_oneself_returns_them_packed(args, kwargs, packed) -> None:
    assert getcurrent().switch(*args, **kwargs) == packed
    assert greenlet(lambda: getcurrent().switch(*args, **kwargs)).switch() == packed


@packings
def test_a_switch_to_a_parent_that_waits_returns_them_packed(args, kwargs, packed) -> None:
    main = getcurrent()
    child = greenlet(lambda: main.switch(*args, **kwargs))
    assert child.switch() == packed
    child.switch()


def test_keywords_are_handed_over_in_a_dict_of_their_own() -> None:
    given = {"a": 1}
    child = greenlet(park)
    child.switch()
    received = child.switch(**given)
    received["b"] = 2
    assert given == {"a": 1}


def test_control_goes_to_and_fro() -> None:
    log = []
    main = getcurrent()

    def body(value):
        for _ in range(3):
            log.append(f"child has {value}")
            value = main.switch(value + 1)
        return "end"

    child = greenlet(body)
    value = 0
    for _ in range(3):
        value = child.switch(value)
        log.append(f"main has {value}")
    assert child.switch() == "end"
    assert child.dead
    assert log == [f"{who} has {n}" for n in range(3) for who, n in (("child", n), ("main", n + 1))]


def test_siblings_pass_control_without_their_parent() -> None:
    log = []
    main = getcurrent()

    def body(name, other):
        for step in range(3):
            log.append((name, step))
            other.switch()

    left = greenlet(lambda: body("left", right))
    right = greenlet(lambda: body("right", left))
    left.switch()
    assert log == [(name, step) for step in range(3) for name in ("left", "right")]
    assert getcurrent() is main
    right.throw()
    assert left.dead
    assert right.dead


def test_getcurrent_follows_every_switch() -> None:
    seen = []
    main = getcurrent()

    def body():
        seen.append(getcurrent())
        main.switch()
        seen.append(getcurrent())

    child = greenlet(body)
    child.switch()
    seen.append(getcurrent())
    child.switch()
    assert seen == [child, main, child]
    assert greenlet.getcurrent() is main


def test_a_switch_leaves_from_any_depth() -> None:
    child = greenlet(lambda: nested(50, park))
    child.switch()
    assert nested(20, lambda: child.switch("up")) == "up"
    assert child.dead


def test_a_result_goes_to_the_parent() -> None:
    inner = greenlet(lambda: "from inner")

    def body():
        inner.parent = getcurrent()
        return f"outer got {inner.switch()}"

    assert greenlet(body).switch() == "outer got from inner"


def test_an_exception_goes_to_the_parent_with_the_frames_of_both() -> None:
    def bad():
        raise KeyError("lost")

    def switcher():
        greenlet(bad).switch()

    with pytest.raises(KeyError, match="lost") as caught:
        switcher()
    functions = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert functions[-2:] == ["switcher", "bad"]


def test_an_exception_handled_outside_is_not_seen_inside() -> None:
    def body():
        assert sys.exc_info() == (None, None, None)
        try:
            raise KeyError("inner")
        except KeyError:
            park()
            assert sys.exc_info()[0] is KeyError
        return sys.exc_info()

    first, second = greenlet(body), greenlet(body)
    try:
        raise ValueError("outer")
    except ValueError:
        for _ in range(2):
            for child in (first, second):
                result = child.switch()
                assert sys.exc_info()[0] is ValueError
    assert result == (None, None, None)
    assert sys.exc_info() == (None, None, None)


def test_a_raise_inside_has_no_context_from_outside() -> None:
    def body():
        raise KeyError("inner")

    try:
        raise ValueError("outer")
    except ValueError:
        with pytest.raises(KeyError) as caught:
            greenlet(body).switch()
    # The switch itself is made while the outer one is handled, but raised inside it was not.
    assert caught.value.__context__ is None


def test_a_bare_raise_after_coming_back_raises_its_own() -> None:
    def body():
        try:
            raise KeyError("inner")
        except KeyError:
            park()
            raise

    child = greenlet(body)
    try:
        raise ValueError("outer")
    except ValueError:
        child.switch()
    with pytest.raises(KeyError, match="inner"):
        child.switch()


# ---- Dead targets


def dead_below(parent: greenlet) -> greenlet:
    child = greenlet(lambda: None, parent)
    child.parent, original = getcurrent(), child.parent
    child.switch()
    child.parent = original
    assert child.dead
    return child


def test_a_dead_greenlet_passes_values_to_the_nearest_living_ancestor() -> None:
    log = []

    def body():
        log.append(("resumed with", park()))
        return "end"

    living = greenlet(body)
    living.switch()
    dead = dead_below(dead_below(living))
    assert dead.switch(1, a=2) == "end"
    assert log == [("resumed with", ((1,), {"a": 2}))]


def test_a_dead_greenlet_starts_an_ancestor_that_was_not_started() -> None:
    ancestor = greenlet(lambda *args, **kwargs: (args, kwargs))
    assert dead_below(ancestor).switch(1, a=2) == ((1,), {"a": 2})
    assert ancestor.dead


def test_a_dead_child_of_oneself_returns_at_once() -> None:
    child = dead_below(getcurrent())
    assert child.switch("back") == "back"
    assert child.switch() == ()


def test_a_greenlet_that_ends_starts_a_parent_that_was_not_started() -> None:
    parent = greenlet(lambda value: ("parent got", value))
    child = greenlet(lambda: "child's end", parent)
    assert child.switch() == ("parent got", "child's end")
    assert parent.dead


def test_a_greenlet_that_ends_skips_dead_ancestors() -> None:
    middle = greenlet(park)
    middle.switch()
    last = greenlet(lambda: "value", middle)
    middle.throw()
    assert middle.dead
    assert last.switch() == "value"


def test_an_error_skips_a_parent_that_cannot_be_started() -> None:
    unable = greenlet()
    child = greenlet(lambda: "lost", unable)
    with pytest.raises(AttributeError, match="run"):
        child.switch()
    assert child.dead
    assert not unable.dead


def test_an_exception_ends_a_parent_that_was_not_started() -> None:
    parent = greenlet(lambda: pytest.fail("must not run"))

    def bad():
        raise KeyError("through")

    with pytest.raises(KeyError, match="through"):
        greenlet(bad, parent).switch()
    assert parent.dead


# ---- What cannot be started


def test_run_that_cannot_be_called_fails_in_the_starter() -> None:
    child = greenlet(7)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        child.switch()
    assert child.dead
    nothing = greenlet(None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        nothing.switch()
    assert nothing.dead


def test_without_run_it_stays_startable() -> None:
    child = greenlet()
    for _ in range(2):
        with pytest.raises(AttributeError, match="run"):
            child.switch(1)
    assert not child
    assert not child.dead
    child.run = lambda value: value + 1
    assert child.switch(1) == 2


def test_a_run_that_takes_other_arguments_fails_in_the_starter() -> None:
    with pytest.raises(TypeError, match="positional argument"):
        greenlet(lambda: None).switch(1)


def test_arguments_survive_until_a_late_start_and_are_given_back() -> None:
    class Value:
        pass

    value = Value()
    child = greenlet(lambda given, *, key: (given, key))
    before = sys.getrefcount(value)
    assert child.switch(value, key=value) == (value, value)
    assert sys.getrefcount(value) == before


# ---- run as an attribute of a subclass


class WithRun(greenlet):
    def run(self, *args, **kwargs):
        return self, args, kwargs


def test_a_method_run_is_what_a_subclass_runs() -> None:
    child = WithRun()
    assert child.switch(1, a=2) == (child, (1,), {"a": 2})


def test_a_property_run_is_asked_once_at_the_start() -> None:
    asked = []

    class Lazy(greenlet):
        @property
        def run(self):
            asked.append(getcurrent())
            return lambda: "ran"

    child = Lazy()
    assert asked == []
    assert child.switch() == "ran"
    assert asked == [getcurrent()]


def test_a_property_run_that_fails_leaves_it_startable() -> None:
    class Failing(greenlet):
        fail = True

        @property
        def run(self):
            if self.fail:
                raise LookupError("no run yet")
            return lambda: "ran"

    child = Failing()
    with pytest.raises(LookupError, match="no run yet"):
        child.switch()
    assert not child.dead
    child.fail = False
    assert child.switch() == "ran"


def test_a_property_run_that_starts_its_own_greenlet_is_resumed() -> None:
    log = []

    class Eager(greenlet):
        entered = False

        @property
        def run(self):
            if not self.entered:
                self.entered = True
                log.append(("inner start", self.switch("first")))
            return self.body

        def body(self, value):
            log.append(("started with", value))
            log.append(("resumed with", getcurrent().parent.switch("parked")))
            return "end"

    assert Eager().switch("second") == "end"
    assert log == [("started with", "first"), ("inner start", "parked"), ("resumed with", "second")]


def test_a_property_run_that_ends_its_own_greenlet_hands_the_value_on() -> None:
    class Suicidal(greenlet):
        entered = False

        @property
        def run(self):
            if not self.entered:
                self.entered = True
                self.throw()
            return pytest.fail

    child = Suicidal()
    assert child.switch("through") == "through"
    assert child.dead


def test_the_end_of_a_child_resumes_a_parent_that_its_property_run_has_started() -> None:
    log = []

    class Eager(greenlet):
        entered = False

        @property
        def run(self):
            if not self.entered:
                self.entered = True
                self.switch("first")
            return self.body

        def body(self, value):
            log.append(value)
            log.append(child.switch())
            return "end"

    parent = Eager()
    child = greenlet(lambda: "result", parent)
    assert child.switch() == "end"
    assert log == ["first", "result"]


# ---- Refusals


def test_switch_is_a_method_of_greenlets_only() -> None:
    child = greenlet(lambda value: value)
    assert greenlet.switch(child, 3) == 3
    with pytest.raises(TypeError):
        greenlet.switch(3)  # type: ignore[arg-type]


def test_errors_are_ordinary_and_exit_is_not() -> None:
    assert issubclass(GreenletError, Exception)
    assert issubclass(GreenletExit, BaseException)
    assert not issubclass(GreenletExit, Exception)
    assert greenlet.error is GreenletError
    assert greenlet.GreenletExit is GreenletExit

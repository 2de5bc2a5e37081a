"""throw(): what it raises, in whom, and what comes back."""

import sys
import traceback

import pytest

from ringlet import GreenletExit, getcurrent, greenlet
from tests.core.paths import every_way, park, push_out

pytestmark = pytest.mark.core_subset


def catcher() -> object:
    """Return what is thrown."""
    try:
        return park()
    except BaseException as error:
        return error.with_traceback(None)


def suspended(body=park) -> greenlet:
    child = greenlet(body)
    child.switch()
    return child


class CustomError(Exception):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)


@pytest.mark.parametrize(
    ("args", "kind", "error_args"),
    [
        ((), GreenletExit, ()),
        ((KeyError,), KeyError, ()),
        ((KeyError, None), KeyError, ()),
        ((KeyError, None, None), KeyError, ()),
        ((KeyError, "value"), KeyError, ("value",)),
        ((KeyError, ("two", "values")), KeyError, ("two", "values")),
        ((KeyError, KeyError("ready")), KeyError, ("ready",)),
        ((KeyError("instance"),), KeyError, ("instance",)),
        ((KeyError("instance"), None, None), KeyError, ("instance",)),
        ((CustomError, 3), CustomError, (3,)),
        ((KeyboardInterrupt,), KeyboardInterrupt, ()),
        ((SystemExit, 3), SystemExit, (3,)),
    ],
)
def test_what_is_raised(args, kind, error_args) -> None:
    error = suspended(catcher).throw(*args)
    assert type(error) is kind
    assert error.args == error_args


def test_an_instance_is_thrown_itself() -> None:
    error = KeyError("same")
    assert suspended(catcher).throw(error) is error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((3,), "exceptions must be classes, or instances, not int"),
        ((object,), "exceptions must be classes, or instances, not type"),
        ((None,), "exceptions must be classes, or instances, not NoneType"),
        ((KeyError("x"), "y"), "instance exception may not have a separate value"),
        ((KeyError, "x", 3), r"throw\(\) third argument must be a traceback object"),
        ((KeyError("x"), None, "y"), r"throw\(\) third argument must be a traceback object"),
        ((KeyError, 1, None, 2), "at most 3 arguments"),
    ],
)
def test_what_cannot_be_thrown_is_refused_before_anything_happens(args, message) -> None:
    child = suspended()
    fresh = greenlet(park)
    for target in (child, fresh, getcurrent()):
        with pytest.raises(TypeError, match=message):
            target.throw(*args)
    assert child
    assert not fresh.dead
    assert child.switch("unharmed") == "unharmed"


def test_a_class_whose_construction_fails_raises_that_instead() -> None:
    class BadError(Exception):
        def __init__(self) -> None:
            raise LookupError("constructor")

    with pytest.raises(LookupError, match="constructor"):
        suspended().throw(BadError)


def test_a_traceback_is_carried_along() -> None:
    def origin():
        raise KeyError("first")

    try:
        origin()
    except KeyError:
        carried = sys.exc_info()
    with pytest.raises(KeyError) as caught:
        suspended().throw(*carried)
    functions = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert functions[-3:] == ["park", functions[-2], "origin"]
    del carried


def test_an_instance_keeps_its_traceback() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        kept = error
    with pytest.raises(KeyError) as caught:
        suspended().throw(kept)
    functions = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert "park" in functions
    assert functions[-1] == "test_an_instance_keeps_its_traceback"
    del kept


def test_it_is_raised_at_the_depth_where_the_target_waits() -> None:
    log = []

    def body():
        try:
            every_way(park)
        except KeyError:
            log.append("caught outside all")
            raise

    child = suspended(body)
    push_out()
    with pytest.raises(KeyError, match="deep"):
        child.throw(KeyError("deep"))
    assert log == ["caught outside all"]
    assert child.dead


def test_greenlet_exit_comes_back_as_a_value() -> None:
    result = suspended().throw()
    assert type(result) is GreenletExit
    exit_instance = GreenletExit("mine")
    assert suspended().throw(exit_instance) is exit_instance
    assert suspended().throw(GreenletExit, "text").args == ("text",)


def test_a_subclass_of_greenlet_exit_does_too() -> None:
    class Exit(GreenletExit):
        pass

    assert type(suspended().throw(Exit)) is Exit


def test_greenlet_exit_raised_by_itself_is_a_value_for_the_parent() -> None:
    def body():
        raise GreenletExit("by itself")

    assert greenlet(body).switch().args == ("by itself",)


def test_system_exit_and_interrupts_go_on_to_the_parent() -> None:
    for kind in (SystemExit, KeyboardInterrupt):
        with pytest.raises(kind):
            suspended().throw(kind)


def test_one_who_catches_it_goes_on() -> None:
    def body():
        try:
            park()
        except KeyError:
            value = park()
            assert sys.exc_info()[0] is KeyError
        return value, sys.exc_info()

    child = suspended(body)
    assert child.throw(KeyError) == ()
    assert child.switch("later") == ("later", (None, None, None))


def test_throwing_at_oneself_raises_here() -> None:
    with pytest.raises(KeyError, match="self"):
        getcurrent().throw(KeyError("self"))
    with pytest.raises(GreenletExit):
        getcurrent().throw()

    def body():
        with pytest.raises(KeyError):
            getcurrent().throw(KeyError)
        return "went on"

    assert greenlet(body).switch() == "went on"


def test_throwing_at_the_parent_resumes_it_with_the_error() -> None:
    main = getcurrent()
    child = greenlet(lambda: main.throw(KeyError("up")))
    with pytest.raises(KeyError, match="up"):
        child.switch()
    assert child
    child.switch()


# ---- Targets that are not suspended


def test_one_that_was_not_started_ends_without_running() -> None:
    child = greenlet(lambda: pytest.fail("must not run"))
    assert type(child.throw()) is GreenletExit
    assert child.dead
    child = greenlet(lambda: pytest.fail("must not run"))
    with pytest.raises(KeyError, match="never"):
        child.throw(KeyError("never"))
    assert child.dead
    with pytest.raises(AttributeError, match="run"):
        child.run  # noqa: B018


def test_one_without_run_is_refused_and_stays_as_it_is() -> None:
    child = greenlet()
    with pytest.raises(AttributeError, match="run"):
        child.throw(KeyError)
    assert not child.dead
    child.run = lambda: "later"
    assert child.switch() == "later"


def test_a_dead_one_gives_greenlet_exit_back() -> None:
    child = greenlet(lambda: None)
    child.switch()
    assert type(child.throw()) is GreenletExit
    assert type(child.throw(GreenletExit)) is GreenletExit


def test_a_dead_one_passes_other_errors_to_its_parent() -> None:
    child = greenlet(lambda: None)
    child.switch()
    with pytest.raises(KeyError, match="dead"):
        child.throw(KeyError("dead"))

    living = suspended(catcher)
    child.parent = living
    assert type(child.throw(KeyError)) is KeyError
    assert living.dead


def test_a_dead_one_gives_greenlet_exit_to_its_living_parent() -> None:
    living = suspended(catcher)
    child = greenlet(lambda: None)
    child.switch()
    child.parent = living
    assert type(child.throw()) is GreenletExit
    assert living.dead


def test_a_dead_one_starts_a_parent_with_greenlet_exit_as_argument() -> None:
    parent = greenlet(lambda value: ("started with", type(value)))
    child = greenlet(lambda: None)
    child.switch()
    child.parent = parent
    assert child.throw() == ("started with", GreenletExit)


def test_a_dead_one_ends_a_parent_that_was_not_started_with_an_error() -> None:
    parent = greenlet(lambda: pytest.fail("must not run"))
    child = greenlet(lambda: None)
    child.switch()
    child.parent = parent
    with pytest.raises(KeyError):
        child.throw(KeyError)
    assert parent.dead


# ---- What surrounds it


def test_the_thrower_handles_another_exception_meanwhile() -> None:
    child = suspended(catcher)
    try:
        raise ValueError("outer")
    except ValueError:
        thrown = child.throw(KeyError("inner"))
        assert sys.exc_info()[0] is ValueError
    assert thrown.__context__ is None


def test_a_cause_and_context_are_kept() -> None:
    error = KeyError("with cause")
    error.__cause__ = ValueError("cause")
    with pytest.raises(KeyError) as caught:
        suspended().throw(error)
    assert repr(caught.value.__cause__) == "ValueError('cause')"


def test_no_references_are_lost_or_kept() -> None:
    error = KeyError("counted")
    before = sys.getrefcount(error)
    for child in (suspended(), greenlet(park), greenlet(lambda: None)):
        with pytest.raises(KeyError):
            child.throw(error)
    error.__traceback__ = error.__context__ = None
    assert sys.getrefcount(error) == before

"""Tracing: greenlets' own (settrace of ringlet), and the interpreter's across switches."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from ringlet import GreenletExit, getcurrent, gettrace, greenlet, settrace
from tests.core.paths import crowd, every_way, nested, park, push_out

Events = list[tuple[str, str]]


def helper() -> greenlet:
    """A greenlet that gives control back to whoever it is given to: `it.switch(getcurrent())`."""

    def body(caller: greenlet) -> None:
        while True:
            traced_outside()
            caller = caller.switch()

    return greenlet(body)


# ---- settrace() of greenlets


@contextmanager
def switches_traced(callback: Callable[..., object]) -> Iterator[None]:
    assert settrace(callback) is None
    try:
        yield
    finally:
        settrace(None)


def test_it_returns_the_previous_callback() -> None:
    def first(*_: object) -> None: ...

    def second(*_: object) -> None: ...

    assert gettrace() is None
    assert settrace(first) is None
    assert gettrace() is first
    assert greenlet.gettrace() is first
    assert settrace(second) is first
    assert greenlet.settrace(None) is second
    assert gettrace() is None


def test_every_switch_is_reported_in_its_target() -> None:
    events = []
    main = getcurrent()
    child = greenlet(park)
    with switches_traced(lambda event, ends: events.append((event, ends, getcurrent()))):
        child.switch()
        child.switch()
        with pytest.raises(KeyError):
            greenlet(park).throw(KeyError)
    there, back = ("switch", (main, child), child), ("switch", (child, main), main)
    assert events[:4] == [there, back, there, back]
    assert [(event, ends[1], seen is ends[1]) for event, ends, seen in events[4:]] == [
        ("throw", events[4][1][1], True),
        ("throw", main, True),
    ]
    events.clear()


def test_the_end_by_greenlet_exit_is_reported_as_a_switch() -> None:
    events = []
    child = greenlet(park)
    child.switch()
    with switches_traced(lambda event, _: events.append(event)):
        child.throw()
    assert events == ["throw", "switch"]


def test_ending_by_the_loss_of_all_references_is_reported() -> None:
    events = []
    child = greenlet(park)
    child.switch()
    with switches_traced(lambda event, _: events.append(event)):
        del child
    assert events == ["throw", "switch"]


def test_a_switch_to_oneself_is_one_too() -> None:
    """Also when it leads there by way of a child that has ended."""
    main, ended = getcurrent(), greenlet(lambda: None)
    ended.switch()
    events = []
    with switches_traced(lambda *event: events.append(event)):
        assert main.switch(1) == 1
        assert ended.switch(2) == 2
        with pytest.raises(KeyError):
            main.throw(KeyError)
        assert isinstance(ended.throw(), GreenletExit)
    assert events == [(event, (main, main)) for event in ("switch", "switch", "throw", "switch")]


def test_a_callback_that_fails_is_removed_and_its_error_raised_in_the_target() -> None:
    def fail(*_: object) -> None:
        raise KeyError("callback")

    def body():
        with pytest.raises(KeyError, match="callback"):
            park()
        assert gettrace() is None
        return "went on"

    child = greenlet(body)
    child.switch()
    assert settrace(fail) is None
    assert child.switch() == "went on"
    assert gettrace() is None


def test_a_callback_that_fails_prevents_the_start() -> None:
    def fail(*_: object) -> None:
        raise KeyError("callback")

    child = greenlet(lambda: pytest.fail("must not run"))
    settrace(fail)
    with pytest.raises(KeyError, match="callback"):
        child.switch()
    assert child.dead


def test_what_a_callback_cannot_be_called_with_is_its_own_error() -> None:
    settrace(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not callable"):
        greenlet(lambda: None).switch()
    assert gettrace() is None


def test_it_concerns_its_thread_only() -> None:
    events = []

    def elsewhere():
        assert gettrace() is None
        greenlet(lambda: None).switch()

    with switches_traced(lambda *event: events.append(event)):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert events == []


def test_a_callback_may_switch() -> None:
    """It is told of those switches too."""
    log = []
    other = helper()

    def callback(event, ends):
        log.append(event)
        if len(log) == 1:
            other.switch(getcurrent())

    with switches_traced(callback):
        assert greenlet(lambda: "result").switch() == "result"
    assert log == ["switch"] * 4


def test_values_and_exceptions_pass_a_callback_unharmed() -> None:
    class Value:
        pass

    def body(value):
        with pytest.raises(KeyError, match="thrown"):
            park()
        return value

    value = Value()
    child = greenlet(body)
    before = sys.getrefcount(value)
    with switches_traced(lambda *_: sys.exc_info()):
        child.switch(value)
        assert child.throw(KeyError("thrown")) is value
    assert sys.getrefcount(value) == before


# ---- sys.settrace and sys.setprofile


@contextmanager
def interpreter_traced(setter: Callable[[Any], None], events: Events) -> Iterator[None]:
    """Record the function events of this file's functions `traced_*`."""

    def callback(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_name.startswith("traced_") and event in ("call", "return"):
            events.append((event, frame.f_code.co_name[7:]))
        return callback

    setter(callback)
    try:
        yield
    finally:
        setter(None)


# From 3.12 on the interpreter rewrites the code of all frames it knows to run when tracing changes.
# It does not know those of suspended greenlets, which is harmless, but not what its assertions say.
stale_code = pytest.mark.skipif(
    hasattr(sys, "gettotalrefcount") and sys.version_info >= (3, 12),
    reason="a debug build of CPython asserts that it has rewritten the code of all running frames",
)

setters = pytest.mark.parametrize("setter", [sys.settrace, sys.setprofile])


def traced_leaf():
    return park()


def traced_body():
    traced_leaf()
    return traced_leaf()


BODY = [
    ("call", "body"),
    ("call", "leaf"),
    ("return", "leaf"),
    ("call", "leaf"),
    ("return", "leaf"),
]


@setters
def test_a_tracer_set_before_the_start_sees_all(setter) -> None:
    events: Events = []
    child = greenlet(traced_body)
    with interpreter_traced(setter, events):
        for _ in range(3):
            child.switch()
    assert events == [*BODY, ("return", "body")]


@setters
def test_a_tracer_set_while_it_is_suspended_sees_the_rest(setter) -> None:
    events: Events = []
    child = greenlet(lambda: every_way(lambda: nested(3, traced_body)))
    child.switch()
    push_out()
    with interpreter_traced(setter, events):
        child.switch()
        child.switch()
    # Frames that were entered before have no local trace function, so settrace is not told of
    # their returns; setprofile is, up to 3.11. From 3.12 on the interpreter rewrites the code of
    # frames that run when it is called, and does not see those of suspended greenlets.
    if setter is sys.settrace or sys.version_info >= (3, 12):
        assert events == [("call", "leaf"), ("return", "leaf")]
    else:
        assert events == [
            ("return", "leaf"),
            ("call", "leaf"),
            ("return", "leaf"),
            ("return", "body"),
        ]


@stale_code
@setters
def test_a_tracer_removed_while_it_is_suspended_sees_no_more(setter) -> None:
    events: Events = []
    child = greenlet(lambda: every_way(traced_body))
    with interpreter_traced(setter, events):
        child.switch()
    push_out()
    seen = list(events)
    child.switch()
    child.switch()
    assert seen == events == [("call", "body"), ("call", "leaf")]


@stale_code
@setters
def test_a_tracer_set_inside_sees_what_follows_outside(setter) -> None:
    events: Events = []
    manager = interpreter_traced(setter, events)

    def body():
        with manager:
            park()

    child, other = greenlet(body), greenlet(traced_leaf)
    child.switch()
    other.switch()
    child.switch()
    traced_outside()
    assert events == [("call", "leaf")]
    other.switch()


def traced_outside() -> None:
    pass


@setters
def test_switches_among_many_are_traced_each_in_its_own(setter) -> None:
    events: Events = []
    children = [greenlet(traced_body) for _ in range(150)]
    with interpreter_traced(setter, events):
        for _ in range(3):
            for child in children:
                child.switch()
    assert all(child.dead for child in children)
    assert len(events) == 6 * 150
    assert events.count(("return", "body")) == 150


@stale_code
@setters
def test_a_trace_function_that_switches_silences_nobody(setter) -> None:
    """Tracing is off within a trace function, but not in the greenlet it switches to."""
    events: Events = []
    other = helper()
    other.switch(getcurrent())

    def callback(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_name.startswith("traced_") and event == "call":
            events.append((event, frame.f_code.co_name[7:]))
            if frame.f_code is traced_body.__code__:
                other.switch(getcurrent())
        return callback

    child = greenlet(traced_body)
    setter(callback)
    try:
        child.switch()
    finally:
        setter(None)
    assert events == [("call", "body"), ("call", "outside"), ("call", "leaf")]
    child.throw()


@stale_code
def test_a_greenlet_started_in_a_trace_function_is_traced() -> None:
    events: Events = []
    started = []

    def callback(frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_name
        if name.startswith("traced_") and event == "call":
            events.append((event, name[7:]))
            if name == "traced_body":
                started.append(greenlet(traced_outside))
                started[-1].switch()
        return callback

    child = greenlet(traced_body)
    sys.settrace(callback)
    try:
        child.switch()
    finally:
        sys.settrace(None)
    assert events[:2] == [("call", "body"), ("call", "outside")]
    child.throw()
    started.clear()


def test_lines_are_traced_after_being_copied_out() -> None:
    lines = []

    def traced_lines():
        park()
        first = 1
        second = 2
        return first + second

    def callback(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is traced_lines.__code__ and event == "line":
            lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
        return callback

    child = greenlet(traced_lines)
    sys.settrace(callback)
    try:
        child.switch()
        with crowd():
            pass
        assert child.switch() == 3
    finally:
        sys.settrace(None)
    assert lines == [1, 2, 3, 4]


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("switching", [False, True])
    def test_monitoring_sees_every_greenlet(switching) -> None:
        """sys.monitoring, whose callbacks may switch too."""
        monitoring = sys.monitoring
        events: Events = []
        other = helper()

        def started(code, _):
            if code.co_name.startswith("traced_"):
                events.append(("call", code.co_name[7:]))
                if switching and code is not traced_outside.__code__:
                    other.switch(getcurrent())

        def returned(code, *_):
            if code.co_name.startswith("traced_"):
                events.append(("return", code.co_name[7:]))

        tool, kinds = 4, monitoring.events
        monitoring.use_tool_id(tool, "test")
        monitoring.register_callback(tool, kinds.PY_START, started)
        monitoring.register_callback(tool, kinds.PY_RETURN, returned)
        monitoring.set_events(tool, kinds.PY_START | kinds.PY_RETURN)
        try:
            children = [greenlet(traced_body) for _ in range(70)]
            for _ in range(3):
                for child in children:
                    child.switch()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, kinds.PY_START, None)
            monitoring.register_callback(tool, kinds.PY_RETURN, None)
            monitoring.free_tool_id(tool)
        assert all(child.dead for child in children)
        for event in (*BODY, ("return", "body")):
            assert events.count(event) == 70 * [*BODY, ("return", "body")].count(event)
        # Callbacks are off within a callback, but not in the greenlet it switches to.
        assert events.count(("call", "outside")) == switching * 70 * 3

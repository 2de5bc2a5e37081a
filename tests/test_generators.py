"""Generators without yield, beside what Python's own do."""

import collections.abc
import concurrent.futures
import contextlib
import contextvars
import gc
import os
import sys
import threading
import traceback
from collections.abc import Iterator

import pytest

from ringlet import (
    Channel,
    GreenletError,
    GreenletExit,
    TaskletExit,
    current,
    generator,
    greenlet,
    iterate,
    schedule,
    sleep,
    spawn,
    yield_,
    yield_from,
)
from ringlet.testing import fake_clock
from tests.support.marks import freed_where_dropped


@generator
def count_down(number: int) -> str:
    step_down(number)
    return "done"


def step_down(number: int) -> None:
    if number:
        yield_(number)
        step_down(number - 1)


def test_values_come_from_any_depth() -> None:
    assert list(count_down(500)) == list(range(500, 0, -1))
    assert list(iterate(step_down, 3)) == [3, 2, 1]


def test_the_return_value_is_the_end() -> None:
    values = count_down(1)
    assert next(values) == 1
    for expected in ("done", None):
        with pytest.raises(StopIteration) as caught:
            next(values)
        assert caught.value.value == expected


def test_sending_and_throwing() -> None:
    @generator
    def body() -> str:
        heard = [yield_("first")]
        try:
            yield_("second")
        except KeyError as error:
            heard.append(error.args[0])
        return heard

    values = body()
    with pytest.raises(TypeError, match="just-started"):
        values.send("too early")
    assert next(values) == "first"
    assert values.send("sent") == "second"
    with pytest.raises(StopIteration) as caught:
        values.throw(KeyError("thrown"))
    assert caught.value.value == ["sent", "thrown"]


def test_errors_come_out_and_end_it() -> None:
    values = iterate(lambda: (yield_(1), 1 / 0))
    assert next(values) == 1
    with pytest.raises(ZeroDivisionError):
        next(values)
    with pytest.raises(StopIteration):
        next(values)


def test_stop_iteration_in_the_body_is_a_mistake() -> None:
    def body() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        next(iterate(body))


def test_closing_and_dropping_raise_generator_exit_inside() -> None:
    ended = []

    def body(name: str) -> None:
        try:
            yield_(name)
        except GeneratorExit:
            ended.append(name)
            raise

    closed = iterate(body, "closed")
    next(closed)
    closed.close()
    closed.close()
    dropped = iterate(body, "dropped")
    next(dropped)
    del dropped
    gc.collect()
    iterate(body, "never started").close()
    assert ended == ["closed", "dropped"]


def test_a_body_that_ignores_its_end_is_told_off() -> None:
    def body() -> None:
        try:
            yield_(1)
        except GeneratorExit:
            yield_(2)

    values = iterate(body)
    next(values)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        values.close()


def test_generators_nest() -> None:
    @generator
    def outer() -> None:
        for number in count_down(3):
            for letter in iterate(lambda: (yield_("a"), yield_("b"))):
                yield_((number, letter))

    assert list(outer()) == [(n, c) for n in (3, 2, 1) for c in "ab"]


def test_yield_from_hands_everything_on() -> None:
    def plain():
        received = yield 1
        try:
            yield received
        except KeyError:
            yield "caught"
        return "result"

    results = []

    @generator
    def body() -> None:
        results.append(yield_from(plain()))

    values = body()
    assert next(values) == 1
    assert values.send("sent") == "sent"
    assert values.throw(KeyError) == "caught"
    assert list(values) == []
    assert results == ["result"]


def test_outside_of_a_body_there_is_nobody_to_yield_to() -> None:
    with pytest.raises(RuntimeError, match="outside"):
        yield_(1)
    with pytest.raises(RuntimeError, match="outside"):
        spawn(yield_, 1).result()


def test_asking_while_it_runs_is_refused() -> None:
    values = iterate(lambda: next(values))
    with pytest.raises(ValueError, match="already executing"):
        next(values)


def test_a_body_may_block_and_is_busy_meanwhile() -> None:
    channel = Channel()
    values = iterate(lambda: yield_(channel.receive()))
    consumer = spawn(next, values)
    schedule()
    with pytest.raises(ValueError, match="already executing"):
        next(values)
    channel.send("value")
    assert consumer.result() == "value"
    with fake_clock() as clock:
        assert list(iterate(lambda: (sleep(5), yield_(clock.now)))) == [5]


def test_the_body_sees_the_consumers_context_at_each_step() -> None:
    variable = contextvars.ContextVar("variable", default=0)

    @generator
    def body() -> None:
        while True:
            yield_(variable.get())

    values = body()
    seen = []
    for number in (1, 2):
        context = contextvars.copy_context()
        context.run(variable.set, number)
        seen.append(context.run(next, values))
    assert seen == [1, 2]
    values.close()


def test_several_consumers_share_one() -> None:
    values = count_down(4)
    tasklets = [spawn(next, values) for _ in range(4)]
    assert [tasklet.result() for tasklet in tasklets] == [4, 3, 2, 1]


@freed_where_dropped
def test_one_that_another_thread_drops_ends_when_its_own_thread_switches():
    ended = []

    @generator
    def body():
        try:
            yield_("first")
        finally:
            ended.append(threading.get_ident())

    values = [body()]
    assert next(values[0]) == "first"
    thread = threading.Thread(target=values.clear)
    thread.start()
    thread.join()
    assert ended == []
    greenlet(lambda: None).switch()
    assert ended == [threading.get_ident()]


def test_one_that_yields_from_a_greenlet_of_its_body_is_freed_where_it_is_dropped():
    ended = []

    @generator
    def body():
        def inside():
            try:
                yield_("from inside")
            finally:
                ended.append("inside")

        greenlet(inside).switch()

    values = body()
    assert next(values) == "from inside"
    del values
    assert ended == ["inside"]


Tree = tuple["Tree | None", int, "Tree | None"]
NODES = 100_000


def balanced(low: int, high: int) -> Tree | None:
    """A tree of the numbers from low to high - 1, as flat as can be."""
    if low >= high:
        return None
    middle = (low + high) // 2
    return balanced(low, middle), middle, balanced(middle + 1, high)


def visit(tree: Tree | None) -> None:
    if tree:
        left, number, right = tree
        visit(left)
        yield_(number)
        visit(right)


@generator
def nested(tree: Tree | None) -> None:
    """The same with a generator for each node, each of which asks those below it."""
    if tree:
        left, number, right = tree
        yield_from(nested(left))
        yield_(number)
        yield_from(nested(right))


@pytest.mark.parametrize("walk", [generator(visit), nested])
def test_a_tree_of_100_000_nodes_is_walked_in_order(walk) -> None:
    assert list(walk(balanced(0, NODES))) == list(range(NODES))


def test_calls_may_be_100_000_deep() -> None:
    # To move a stack out of its slot is to look at each frame; hard mode does at each switch.
    depth = NODES // 10 if os.environ.get("RINGLET_HARD", "0") != "0" else NODES

    def descend(number: int) -> None:
        yield_(number)
        if number:
            descend(number - 1)

    with recursion_limit(depth + 1000):
        assert list(iterate(descend, depth)) == list(range(depth, -1, -1))
        half_way = iterate(descend, depth)
        while next(half_way) > depth // 2:
            pass
        half_way.close()


@contextlib.contextmanager
def recursion_limit(depth: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def test_generators_that_ask_each_other_may_be_10_000_deep() -> None:
    ended = []

    @generator
    def level(depth: int) -> None:
        try:
            yield_from(level(depth - 1)) if depth else yield_("bottom")
        finally:
            ended.append(depth)

    values = level(10_000)
    assert next(values) == "bottom"
    with pytest.raises(KeyError):
        values.throw(KeyError)
    assert ended == list(range(10_001))
    values = level(10_000)
    assert next(values) == "bottom"
    del values
    assert ended[10_001:] == list(range(10_001))


def test_a_call_with_wrong_arguments_is_refused_at_the_first_step() -> None:
    values = count_down(1, 2)
    with pytest.raises(TypeError, match="positional argument"):
        next(values)
    assert list(values) == []


def test_methods_can_be_generators() -> None:
    class Box:
        def __init__(self, *content: str) -> None:
            self.content = content

        @generator
        def __iter__(self) -> None:
            """Each thing."""
            for each in self.content:
                yield_(each)

    assert list(Box("pen", "ink")) == ["pen", "ink"]
    assert Box.__iter__.__doc__ == "Each thing."


def test_it_passes_for_a_generator() -> None:
    values = count_down(1)
    assert isinstance(values, collections.abc.Generator)
    assert iter(values) is values
    name = count_down.__qualname__
    assert repr(values) == f"<generator {name} new>"
    next(values)
    assert repr(values) == f"<generator {name} suspended>"
    assert list(values) == []
    assert repr(values) == f"<generator {name} finished>"


def test_throwing_into_one_that_has_not_begun_ends_it() -> None:
    began = []
    values = iterate(began.append, "began")
    with pytest.raises(KeyError, match="early"):
        values.throw(KeyError, "early")
    assert list(values) == began == []
    with pytest.raises(KeyError, match="late"):
        values.throw(KeyError("late"))


@pytest.mark.parametrize(
    "error", [GreenletExit, StopAsyncIteration, KeyboardInterrupt, TaskletExit]
)
def test_what_is_thrown_and_not_caught_comes_back(error) -> None:
    values = iterate(yield_, 1)
    next(values)
    thrown = error("thrown")
    with pytest.raises(error) as caught:
        values.throw(thrown)
    assert caught.value is thrown
    assert list(values) == []


def test_the_traceback_leads_into_the_body() -> None:
    def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        next(iterate(fails))
    names = [entry.name for entry in traceback.extract_tb(caught.tb)]
    assert (names[0], names[-1]) == (
        "test_the_traceback_leads_into_the_body",
        "fails",
    )


def test_closing_gives_what_the_body_returned_for_it() -> None:
    def body() -> str:
        try:
            yield_(1)
        except GeneratorExit:
            return "last words"

    values = iterate(body)
    next(values)
    assert values.close() == "last words"
    assert values.close() is None


def test_the_handled_exception_of_the_consumer_is_not_the_bodys() -> None:
    def body() -> None:
        yield_(sys.exception())
        try:
            raise KeyError
        except KeyError:
            yield_(type(sys.exception()))

    values = iterate(body)
    try:
        raise LookupError
    except LookupError as error:
        next(values)
        assert next(values) is KeyError
        handled = sys.exception(), error
    assert handled[0] is handled[1]
    assert list(values) == []


def test_one_in_a_cycle_is_ended_by_the_collector() -> None:
    ended = []

    def body() -> None:
        try:
            yield_(1)
        finally:
            ended.append("ended")

    cycle: list[object] = [iterate(body)]
    assert next(cycle[0]) == 1
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert ended == ["ended"]


def test_a_consumer_that_is_killed_while_the_body_blocks_ends_the_body_first() -> None:
    ended = []

    @generator
    def body() -> None:
        try:
            yield_(Channel().receive())
        finally:
            ended.append("body")

    def consume() -> None:
        try:
            list(body())
        finally:
            ended.append("consumer")

    consumer = spawn(consume)
    schedule()
    consumer.kill()
    assert ended == ["body", "consumer"]


def test_the_body_is_part_of_the_tasklet_that_asks() -> None:
    values = iterate(lambda: [yield_(current()) for _ in range(2)])
    first, second = spawn(next, values), spawn(next, values)
    assert (first.result(), second.result()) == (first, second)
    values.close()


def in_a_thread(work):
    """What `work()` returns or raises in a thread of its own."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_one_begins_in_the_thread_that_takes_the_first_value() -> None:
    values = count_down(3)
    assert in_a_thread(lambda: list(values)) == [3, 2, 1]
    assert in_a_thread(lambda: list(iterate(visit, balanced(0, 100)))) == list(range(100))


def test_another_thread_is_refused_and_changes_nothing() -> None:
    values = count_down(2)
    assert next(values) == 2
    for work in (lambda: next(values), lambda: values.throw(KeyError), values.close):
        with pytest.raises((GreenletError, ValueError), match="thread"):
            in_a_thread(work)
    assert list(values) == [1]


def test_bodies_in_other_threads_block_and_are_woken_from_here() -> None:
    channel = Channel()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        heard = pool.submit(lambda: list(iterate(lambda: [yield_(word) for word in channel])))
        channel.send_sequence("abc")
        channel.close()
        assert heard.result() == ["a", "b", "c"]

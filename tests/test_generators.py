"""Generators without yield, beside what Python's own do."""

import contextvars
import gc
import threading

import pytest

from ringlet import (
    Channel,
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

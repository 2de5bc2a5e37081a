"""Python's own generators and coroutines, suspended in one greenlet and resumed in another."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from ringlet import GreenletExit, getcurrent, greenlet
from tests.core.paths import every_way, names, park, push_out


def counting() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def test_a_generator_resumed_by_turns_in_many_greenlets() -> None:
    generator = counting()
    children = [
        greenlet(lambda: [every_way(lambda: (next(generator), park())[0])]) for _ in range(70)
    ]
    for child in children:
        child.switch()
    assert next(generator) == 71
    assert [child.switch() for child in children] == [[number] for number in range(1, 71)]


def test_a_generator_made_in_a_greenlet_that_has_ended() -> None:
    generator = greenlet(lambda: (made := counting(), next(made))[0]).switch()
    push_out()
    assert next(generator) == 2
    assert greenlet(lambda: next(generator)).switch() == 3


def test_a_generator_that_is_being_executed_elsewhere_refuses() -> None:
    def generate():
        yield park()

    generator = generate()
    child = greenlet(lambda: next(generator))
    child.switch()
    push_out()
    for operation in (generator.__next__, generator.close, lambda: generator.throw(KeyError)):
        with pytest.raises(ValueError, match="generator already executing"):
            operation()
    assert child.switch("value") == "value"
    generator.close()


def test_an_exception_being_handled_travels_with_the_generator() -> None:
    def generate():
        try:
            raise KeyError("inside")
        except KeyError:
            yield sys.exc_info()[0]
            park()
            yield sys.exc_info()[0]
        yield sys.exc_info()[0]

    generator = generate()
    assert next(generator) is KeyError
    assert sys.exc_info()[0] is None
    child = greenlet(lambda: next(generator))
    try:
        raise ValueError("outside")
    except ValueError:
        child.switch()
        assert sys.exc_info()[0] is ValueError
        push_out()
        assert child.switch() is KeyError
        assert sys.exc_info()[0] is ValueError
        assert next(generator) is ValueError
    generator.close()


def test_a_generator_suspended_inside_a_dropped_greenlet_is_closed() -> None:
    log = []

    def generate():
        try:
            yield park()
        except GreenletExit:
            log.append("exit")
            raise
        finally:
            log.append("finally")

    child = greenlet(lambda: every_way(lambda: list(generate())))
    child.switch()
    del child
    assert log == ["exit", "finally"]


def test_nested_yield_from_over_greenlets() -> None:
    """Each generator is driven by a greenlet that the next one's generator drives."""

    def produce(depth):
        if depth == 0:
            yield from range(20)
            return
        child = greenlet(lambda: [park_value(item) for item in produce(depth - 1)] and None)
        while (item := child.switch()) is not None:
            yield item

    def park_value(item):
        getcurrent().parent.switch(item)

    assert list(produce(30)) == list(range(20))


def test_a_context_manager_entered_in_one_and_left_in_another() -> None:
    log = []

    @contextlib.contextmanager
    def manager():
        log.append(("enter", getcurrent()))
        try:
            yield
        finally:
            log.append(("exit", getcurrent()))

    manager_object = manager()
    first = greenlet(manager_object.__enter__)
    second = greenlet(lambda: manager_object.__exit__(None, None, None))
    first.switch()
    second.switch()
    assert log == [("enter", first), ("exit", second)]
    log.clear()


# ---- Coroutines


async def inner(value: object) -> object:
    """A coroutine that parks the greenlet it happens to run in."""
    return park(), value


def drive(coroutine) -> object:
    """Run a coroutine that awaits nothing but coroutines."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


def test_a_coroutine_parks_its_greenlet() -> None:
    async def outer(number):
        return [await inner(number), await inner(-number)]

    children = [greenlet(lambda number: drive(outer(number))) for _ in range(70)]
    for number, child in enumerate(children):
        child.switch(number)
    for child in children:
        child.switch("first")
    for number, child in enumerate(children):
        assert child.switch("second") == [("first", number), ("second", -number)]


def test_an_async_generator_parks_and_moves() -> None:
    async def generate() -> AsyncIterator[int]:
        for number in range(3):
            park()
            yield number

    async def collect(generator):
        return [number async for number in generator]

    async def first(generator):
        return await anext(generator)

    generator = generate()
    one = greenlet(lambda: drive(first(generator)))
    one.switch()
    assert one.switch() == 0
    other = greenlet(lambda: drive(collect(generator)))
    other.switch()
    push_out()
    other.switch()
    assert other.switch() == [1, 2]


def test_an_event_loop_runs_in_a_greenlet_and_sees_itself_in_others() -> None:
    async def work(number):
        await asyncio.sleep(0)
        child = greenlet(lambda: (asyncio.get_running_loop(), asyncio.current_task()))
        seen = child.switch()
        assert seen == (asyncio.get_running_loop(), asyncio.current_task())
        return number

    async def main():
        return await asyncio.gather(*(work(number) for number in range(20)))

    assert greenlet(lambda: asyncio.run(main())).switch() == list(range(20))


def test_a_blocking_call_over_an_event_loop() -> None:
    """The bridge that SQLAlchemy and others build: plain code awaits through its parent."""

    def await_(awaitable):
        return getcurrent().parent.switch(awaitable)

    async def bridge(function, *args):
        child = greenlet(function)
        result = child.switch(*args)
        while not child.dead:
            try:
                value = await result
            except BaseException as error:
                result = child.throw(error)
            else:
                result = child.switch(value)
        return result

    async def fetch(number):
        await asyncio.sleep(0)
        if number == 7:
            raise LookupError(number)
        return number * 2

    def plain(number):
        total = 0
        for step in range(5):
            try:
                total += every_way(lambda: await_(fetch(number + step)))  # noqa: B023
            except LookupError:
                total += 1000
        return total

    async def main():
        return await asyncio.gather(*(bridge(plain, number) for number in range(80)))

    expected = [
        sum(1000 if number + step == 7 else 2 * (number + step) for step in range(5))
        for number in range(80)
    ]
    assert asyncio.run(main()) == expected


def test_a_cancelled_task_is_raised_in_the_plain_code_below() -> None:
    log = []

    def plain():
        try:
            getcurrent().parent.switch(asyncio.sleep(1000))
        except asyncio.CancelledError:
            log.append(names(sys._getframe())[0])
            raise

    async def bridge():
        child = greenlet(plain)
        awaitable = child.switch()
        try:
            await awaitable
        except asyncio.CancelledError as error:
            child.throw(error)

    async def main():
        task = asyncio.ensure_future(bridge())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["plain"]

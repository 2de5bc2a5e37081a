"""asyncio's running loop and task belong to the tasklet that runs them, not to its thread."""

import asyncio
import sys

import pytest

from ringlet import current, schedule, spawn
from tests.support.isolated import run_isolated

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="up to 3.13 asyncio keeps them where only it can reach"
)


def running() -> tuple[object, object]:
    loop = asyncio._get_running_loop()
    return loop, asyncio.current_task() if loop else None


def test_a_tasklet_sees_no_loop_of_another() -> None:
    seen = []

    async def blocks():
        before = running()
        schedule()
        return before == running() and None not in before

    runner = spawn(lambda: asyncio.run(blocks()))
    spawn(lambda: seen.append(running()))
    assert runner.result() is True
    assert seen == [(None, None)]
    assert running() == (None, None)


def test_each_may_run_a_loop_of_its_own() -> None:
    async def work(number):
        mine = asyncio.get_running_loop(), asyncio.current_task()
        for _ in range(5):
            schedule()
            await asyncio.sleep(0)
            assert mine == (asyncio.get_running_loop(), asyncio.current_task())
        return number, current()

    tasklets = [spawn(lambda n=n: asyncio.run(work(n))) for n in range(10)]
    assert [tasklet.result() for tasklet in tasklets] == [*enumerate(tasklets)]


def test_a_killed_one_leaves_no_loop_behind() -> None:
    async def blocks():
        while True:
            schedule()

    tasklet = spawn(lambda: asyncio.run(blocks()))
    schedule()
    tasklet.kill()
    assert running() == (None, None)
    assert asyncio.run(asyncio.sleep(0, "again")) == "again"


def test_loops_are_freed_when_their_tasklets_are() -> None:
    program = """
import asyncio, gc, weakref
from ringlet import schedule, spawn

async def blocks():
    schedule()
    return weakref.ref(asyncio.get_running_loop()), weakref.ref(asyncio.current_task())

def work():
    return asyncio.run(blocks())

tasklets = [spawn(work) for _ in range(20)]
references = [reference for tasklet in tasklets for reference in tasklet.result()]
del tasklets
gc.collect()
print([reference() for reference in references if reference() is not None])
"""
    assert run_isolated(program).stdout == "[]\n"

"""The end of the program, of threads, and forks, each in a process of its own."""

import threading

from ringlet import Channel, schedule, spawn
from tests.support.isolated import run_isolated


def test_finally_blocks_run_at_the_end_of_the_program() -> None:
    outcome = run_isolated(
        """
from ringlet import Channel, schedule, sleep, spawn
def waiter(name, wait):
    try:
        wait()
    finally:
        print(name)
spawn(waiter, "channel", Channel().receive)
spawn(waiter, "sleep", lambda: sleep(1000))
schedule()
spawn(waiter, "never began", schedule)
"""
    )
    assert sorted(outcome.stdout.split()) == ["channel", "sleep"]
    assert outcome.stderr == ""


def test_a_tasklet_that_will_not_end_is_dropped_and_named() -> None:
    outcome = run_isolated(
        """
from ringlet import TaskletExit, schedule, sleep, spawn
from ringlet.sched import lifecycle
lifecycle.PATIENCE = 0.05
def stubborn():
    while True:
        try:
            sleep(0.01)
        except TaskletExit:
            pass
spawn(stubborn)
schedule()
"""
    )
    assert "stubborn" in outcome.stderr
    assert "did not end" in outcome.stderr


def test_a_tasklet_that_nothing_can_wake_is_dropped_at_once() -> None:
    outcome = run_isolated(
        """
from ringlet import Channel, TaskletExit, schedule, spawn
from ringlet.sched import lifecycle
lifecycle.PATIENCE = 3600
def stubborn():
    while True:
        try:
            Channel().receive()
        except TaskletExit:
            pass
spawn(stubborn)
schedule()
"""
    )
    assert "stubborn" in outcome.stderr
    assert "what can never come" in outcome.stderr


def test_a_forked_child_has_only_the_tasklet_that_forked() -> None:
    outcome = run_isolated(
        """
import os
from ringlet import Channel, schedule, sleep, spawn, tasklets, main, current
def other():
    try:
        Channel().receive()
    finally:
        print("other ended in", "parent" if os.getpid() == parent else "child", flush=True)
parent = os.getpid()
spawn(other)
schedule()
def forker():
    child = os.fork()
    if not child:
        sleep(0.01)
        print("child has", len(tasklets()), main() is current(), flush=True)
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(spawn(forker).result(), flush=True)
"""
    )
    assert outcome.stdout.splitlines() == ["child has 1 True", "7", "other ended in parent"]


def test_tasklets_of_a_thread_end_with_it() -> None:
    ended = []

    def waiter() -> None:
        try:
            Channel().receive()
        finally:
            ended.append(threading.get_ident())

    def body() -> None:
        spawn(waiter)
        schedule()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert ended == [thread.ident]

"""Functions that block, in threads of the pool."""

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import ringlet
from ringlet.io import threadpool
from ringlet.io.threadpool import to_thread
from tests.io.settling import settle
from tests.support.isolated import run_isolated


def test_result_arguments_and_thread():
    def f(a, b):
        return a, b, threading.current_thread()

    a, b, thread = to_thread(f, 1, b=2)
    assert (a, b) == (1, 2)
    assert thread is not threading.current_thread()


def test_errors_arrive():
    with pytest.raises(ZeroDivisionError):
        to_thread(lambda: 1 // 0)


def test_others_run_meanwhile():
    gate = threading.Event()
    waiting = ringlet.spawn(to_thread, gate.wait)
    settle()
    assert repr(waiting).endswith("waiting for Event.wait in a thread>")
    gate.set()
    assert waiting.result()


def test_the_context_goes_along():
    variable = contextvars.ContextVar("variable")
    variable.set("mine")
    assert to_thread(variable.get) == "mine"
    to_thread(variable.set, "theirs")
    assert variable.get() == "mine"


def test_waiting_for_a_thread_is_no_deadlock():
    gate = threading.Event()
    timer = threading.Timer(0.01, gate.set)
    timer.daemon = True
    timer.start()
    assert to_thread(gate.wait)
    timer.join()


def test_a_killed_waiter_is_not_woken_later():
    """The job ends afterwards, while its tasklet may be waiting for something else."""
    begun, gate, ended = (threading.Event() for _ in range(3))

    def job():
        begun.set()
        gate.wait()
        ended.set()

    steps = []

    def wait():
        try:
            to_thread(job)
        except ringlet.TaskletExit:
            gate.set()
            to_thread(ended.wait)
            steps.append(ringlet.Channel().receive(timeout=0.01))

    waiting = ringlet.spawn(wait)
    settle()
    begun.wait()
    waiting.throw(ringlet.TaskletExit)
    with pytest.raises(ringlet.Timeout):
        waiting.result()
    assert steps == []
    assert ringlet._core.hub().expected == 0


def test_a_job_whose_waiter_is_killed_before_a_thread_is_free_is_not_begun(monkeypatch):
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(threadpool, "_executor", pool)
        gate = threading.Event()
        steps = []
        first = ringlet.spawn(to_thread, gate.wait)
        second = ringlet.spawn(to_thread, steps.append, "second")
        settle()
        second.kill()
        gate.set()
        assert first.result()
    assert steps == []
    assert ringlet._core.hub().expected == 0


def test_from_several_threads_at_once():
    results = []

    def run(number):
        results.append([to_thread(pow, number, 2) for _ in range(5)])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[number**2] * 5 for number in range(4)]


def test_idle_threads_of_the_pool_do_not_hide_a_deadlock():
    run_isolated(
        """
import ringlet
from ringlet.io.threadpool import to_thread
to_thread(int)
try:
    ringlet.Channel().receive()
except ringlet.Deadlock:
    pass
else:
    raise AssertionError
"""
    )


def test_after_a_fork():
    run_isolated(
        """
import os, warnings
warnings.simplefilter("ignore")  # 3.12 warns of forks beside threads
from ringlet.io.threadpool import to_thread
to_thread(int)
child = os.fork()
if child == 0:
    assert to_thread(pow, 2, 3) == 8
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert to_thread(pow, 2, 3) == 8
"""
    )

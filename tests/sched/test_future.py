"""Futures: set once, from anywhere, and told to everybody who waits."""

import concurrent.futures
import signal
import threading
import traceback

import pytest

from ringlet import Cancelled, Future, TaskletError, Timeout, schedule, sleep, spawn, timeout
from ringlet.testing import fake_clock


def test_a_result_wakes_all_who_wait():
    future: Future = Future()
    waiters = [spawn(future.result) for _ in range(3)]
    schedule()
    assert not future.done()
    future.set_result(7)
    assert [waiter.result() for waiter in waiters] == [7, 7, 7]
    assert future.done()
    assert future.result() == 7
    assert future.exception() is None


@pytest.mark.parametrize("error", [KeyError("x"), KeyError])
def test_an_exception_is_raised_by_result(error):
    future: Future = Future()
    future.set_exception(error)
    with pytest.raises(KeyError):
        future.result()
    assert isinstance(future.exception(), KeyError)
    assert future.join()


def test_it_is_set_once():
    future: Future = Future()
    future.set_result(None)
    with pytest.raises(TaskletError, match="set once"):
        future.set_result(1)
    with pytest.raises(TaskletError, match="set once"):
        future.set_exception(ValueError)
    with pytest.raises(TypeError):
        future.set_exception("text")
    assert not future.cancel()
    assert future.result() is None


def test_cancel_is_an_exception_like_others():
    future: Future = Future()
    assert future.cancel()
    with pytest.raises(Cancelled):
        future.result()


def test_time_limits():
    future: Future = Future()
    with fake_clock() as clock:
        assert not future.join(2)
        with pytest.raises(Timeout, match="not done in 1 s"):
            future.result(1)
        with timeout(1, quiet=True) as scope:
            future.result()
        assert scope.expired
        assert clock.time() == 4
    waiter = spawn(future.result)
    schedule()
    waiter.kill()
    future.set_result(1)


def test_callbacks_run_in_the_hub():
    def note(done):
        seen.append((done.result(), threading.current_thread()))

    seen: list = []
    future: Future = Future()
    future.add_done_callback(note)
    future.set_result(1)
    future.add_done_callback(note)
    assert seen == []
    sleep(0.001)
    assert seen == [(1, threading.current_thread())] * 2


def test_from_another_thread():
    future: Future = Future()
    seen = []
    future.add_done_callback(lambda done: seen.append(threading.current_thread()))
    thread = threading.Thread(target=future.set_result, args=("there",))
    spawn(thread.start)
    assert future.result() == "there"
    thread.join()
    sleep(0.001)
    assert seen == [threading.current_thread()]


def test_from_a_signal_handler():
    future: Future = Future()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: future.set_result(number))
    try:
        spawn(signal.raise_signal, signal.SIGUSR1)
        assert future.result() == signal.SIGUSR1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_many_threads_set_it_and_one_does():
    future: Future = Future()
    won = []

    def compete(number):
        barrier.wait()
        try:
            future.set_result(number)
        except TaskletError:
            return
        won.append(number)

    barrier = threading.Barrier(8)
    threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert future.result() in range(8)
    for thread in threads:
        thread.join()
    assert won == [future.result()]


def test_one_of_concurrent_futures():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert Future.wrap(pool.submit(int, "3")).result() == 3
        with pytest.raises(ValueError, match="invalid literal"):
            Future.wrap(pool.submit(int, "x")).result()
    cancelled: concurrent.futures.Future = concurrent.futures.Future()
    wrapped = Future.wrap(cancelled)
    cancelled.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        wrapped.result()
    sleep(0.001)


def test_it_says_what_it_is():
    future: Future = Future()
    assert repr(future).endswith(", pending>")
    future.set_result(1)
    assert repr(future).endswith(", done>")
    failed: Future = Future()
    failed.set_exception(KeyError)
    assert repr(failed).endswith("done, with KeyError>")


def test_asking_again_makes_the_traceback_no_longer():
    def length():
        with pytest.raises(KeyError) as caught:
            future.result()
        return len(traceback.extract_tb(caught.value.__traceback__))

    future = Future()
    future.set_exception(KeyError(1))
    assert [length() for _ in range(3)] == [length()] * 3

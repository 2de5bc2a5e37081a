"""Functions that block, in threads of the pool."""

import concurrent.futures
import contextvars
import gc
import io
import threading
import weakref

import pytest

import ringlet
from ringlet.io import threadpool
from ringlet.io.threadpool import ThreadPool, to_thread
from ringlet.sched import threads
from ringlet.testing import fake_clock
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


def test_the_traceback_tells_of_both_threads_and_of_nothing_between():
    def fail():
        raise LookupError

    with pytest.raises(LookupError) as caught:
        to_thread(fail)
    names = [entry.name for entry in caught.traceback]
    assert names[0] == test_the_traceback_tells_of_both_threads_and_of_nothing_between.__name__
    assert names[-1] == "fail"
    assert "run" not in names


def test_nothing_is_kept_of_a_job_that_is_done():
    class Thing:
        pass

    thing = Thing()
    kept = weakref.ref(thing)
    gate = threading.Event()
    to_thread(lambda it: None, thing)
    with pytest.raises(ZeroDivisionError):
        to_thread(lambda it: 1 // 0, thing)
    waiting = ringlet.spawn(to_thread, lambda it: gate.wait(), thing)
    settle()
    waiting.kill()
    gate.set()
    del thing, waiting
    to_thread(int)
    while kept() is not None:
        to_thread(int)  # the thread of the abandoned job is on its way out of it


def test_a_time_limit_abandons_the_job():
    begun, gate, ended = (threading.Event() for _ in range(3))

    def job():
        begun.set()
        gate.wait()
        ended.set()

    def limited():
        with ringlet.timeout(5):
            to_thread(job)

    with fake_clock() as clock:
        waiting = ringlet.spawn(limited)
        settle()
        assert begun.wait(20)
        with pytest.raises(ringlet.Timeout):
            waiting.result()
        assert clock.now == 5
    gate.set()
    assert ended.wait(20)
    assert ringlet._core.hub().expected == 0


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
    with ThreadPool(1) as pool:
        monkeypatch.setattr(threadpool, "_pool", pool)
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


def test_a_job_that_may_still_wake_somebody_is_waited_for():
    """It is not who waits that has submitted it, nor is it the job's end that wakes him."""
    run_isolated(
        """
import threading, ringlet
from ringlet.io.threadpool import ThreadPool
channel, gate = ringlet.Channel(), threading.Event()
pool = ThreadPool(1)
pool.submit(gate.wait)
pool.submit(channel.send, 1)  # waits for the thread
threading.Timer(0.01, gate.set).start()
assert channel.receive() == 1
"""
    )


def test_threads_are_real_also_where_threading_is_patched():
    run_isolated(
        """
import ringlet.patch
ringlet.patch.install("time", "threading", "queue")
import concurrent.futures, os, threading, ringlet
from ringlet.io.threadpool import ThreadPool, to_thread
assert to_thread(threading.get_native_id) != os.getpid()
gate = threading.Event()
waiting = ringlet.spawn(to_thread, gate.wait)
thread = threading.Thread(target=gate.set)
thread.start()
assert waiting.result()
with ThreadPool(2) as pool:
    futures = [pool.submit(threading.get_native_id) for _ in range(3)]
    concurrent.futures.wait(futures)
    idents = {future.result() for future in concurrent.futures.as_completed(futures)}
    assert os.getpid() not in idents
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


# --- pools --------------------------------------------------------------------------------------


@pytest.fixture
def pool():
    """A pool of two threads."""
    with ThreadPool(2) as pool:
        yield pool


@pytest.fixture
def gate():
    """What jobs wait for; open at the end of a test."""
    gate = threading.Event()
    yield gate
    gate.set()


def fill(pool, gate):
    """Have all threads of a pool wait for `gate`."""
    begun = threading.Semaphore(0)
    futures = [pool.submit(lambda: (begun.release(), gate.wait())) for _ in range(2)]
    for _ in futures:
        assert begun.acquire(timeout=20)
    return futures


def test_a_pool_is_an_executor(pool):
    assert isinstance(pool, concurrent.futures.Executor)
    future = pool.submit(divmod, 7, 2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == (3, 1)
    assert list(pool.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
    assert isinstance(pool.submit(lambda: 1 // 0).exception(), ZeroDivisionError)


def test_keywords_of_a_job_are_the_jobs_own(pool):
    def job(**kwargs):
        return kwargs

    names = {"f": 1, "fn": 2, "timeout": 3, "self": 4, "pool": 5}
    assert pool.submit(job, **names).result() == names
    assert pool.call(job, **names) == names
    assert to_thread(job, **names) == names


def test_no_more_threads_than_asked_for(pool, gate):
    futures = fill(pool, gate)
    third = pool.submit(threading.current_thread)
    assert not third.running()
    assert repr(pool) == "<ThreadPool ringlet-pool: 2 of 2 threads, open>"
    gate.set()
    assert third.result().name.startswith("ringlet-pool_")
    assert [future.result() for future in futures] == [(None, True)] * 2


def test_a_thread_is_used_again_before_another_is_started():
    with ThreadPool(5) as pool:
        idents = {pool.call(threading.get_ident) for _ in range(5)}
        # The first may be on its way to its next job when that comes.
        assert len(idents) <= 2


def test_a_queued_job_can_be_cancelled_and_a_running_one_not(pool, gate):
    running, _ = fill(pool, gate)
    queued = pool.submit(int)
    assert queued.cancel()
    assert not running.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        queued.result()


def test_waiting_for_a_future_blocks_only_the_caller(pool, gate):
    future, _ = fill(pool, gate)
    waiting = [ringlet.spawn(future.result) for _ in range(3)]
    settle()
    assert [tasklet.state for tasklet in waiting] == ["parked"] * 3
    gate.set()
    assert [tasklet.result() for tasklet in waiting] == [(None, True)] * 3


def test_a_future_times_out_and_is_waited_for_again(pool, gate):
    future, _ = fill(pool, gate)
    with fake_clock() as clock:
        for _ in range(2):
            with pytest.raises(ringlet.Timeout, match=r"running.* was not done in 5 s"):
                future.result(5)
        with pytest.raises(TimeoutError):
            future.exception(5)
        assert clock.now == 15
    gate.set()
    assert future.result() == (None, True)
    assert ringlet._core.hub().expected == 0


def test_killing_who_waits_leaves_the_future_alone(pool, gate):
    future, _ = fill(pool, gate)
    waiting = ringlet.spawn(future.result)
    settle()
    waiting.kill()
    assert ringlet._core.hub().expected == 0
    gate.set()
    assert future.result() == (None, True)


def test_submitted_jobs_get_the_context_too(pool):
    variable = contextvars.ContextVar("variable")
    variable.set("mine")
    assert pool.submit(variable.get).result() == "mine"


def test_map_gives_up_in_time(pool, gate):
    with fake_clock(), pytest.raises(TimeoutError):
        next(pool.map(gate.wait, [None], timeout=0))


def test_shutting_down_waits_for_what_there_is(gate):
    pool = ThreadPool(2)
    futures = fill(pool, gate)
    queued = pool.submit(int)
    waiting = ringlet.spawn(pool.shutdown)
    settle()
    assert waiting.state == "parked"
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(int)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.call(int)
    assert ringlet._core.hub().expected == 1
    gate.set()
    waiting.result()
    assert all(future.done() for future in [*futures, queued])
    pool.shutdown()
    assert repr(pool) == "<ThreadPool ringlet-pool: 0 of 2 threads, shut down>"


def test_shutting_down_without_waiting_or_with_cancelling(gate):
    pool = ThreadPool(2)
    fill(pool, gate)
    queued = pool.submit(int)
    pool.shutdown(wait=False, cancel_futures=True)
    assert queued.cancelled()
    gate.set()
    pool.shutdown()


def test_an_unused_pool_is_shut_down_at_once():
    pool = ThreadPool()
    pool.shutdown()
    pool.shutdown()


def test_the_threads_of_a_dropped_pool_end(gate):
    pool = ThreadPool(2)
    fill(pool, gate)
    queued = pool.submit(int)
    gone = pool._gone
    del pool
    gc.collect()
    gate.set()
    assert queued.result() == 0
    assert gone.result(20) is None


def test_each_thread_is_initialised():
    seen = threading.local()

    def initialise(value):
        seen.value = value

    with ThreadPool(2, "mine", initialise, (5,)) as pool:
        assert pool.call(lambda: seen.value) == 5
        assert pool.call(threading.current_thread).name.startswith("mine_")


def test_a_pool_whose_initialiser_fails_is_broken():
    with ThreadPool(1, initializer=lambda: 1 // 0) as pool:
        for job in (lambda: pool.submit(int).result(), lambda: pool.call(int)):
            with pytest.raises(threadpool.BrokenThreadPool, match="initializer failed") as caught:
                job()
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert repr(pool).endswith(" of 1 threads, broken>")


def test_pools_that_cannot_be():
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="greater than 0"):
            ThreadPool(wrong)
    with pytest.raises(TypeError, match="callable"):
        ThreadPool(1, initializer=3)


def test_a_job_that_a_thread_cannot_be_started_for_is_refused(monkeypatch):
    def refuse(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start_new_thread", refuse)
    with ThreadPool(1) as pool:
        with pytest.raises(RuntimeError, match="can't start"):
            pool.call(int)
        future = None
        with pytest.raises(RuntimeError, match="can't start"):
            future = pool.submit(int)
        assert future is None
    assert ringlet._core.hub().expected == 0


# --- several futures ----------------------------------------------------------------------------


def test_wait_for_all_for_the_first_and_for_the_first_that_fails(pool, gate):
    a, b = fill(pool, gate)
    waiting = [
        ringlet.spawn(threadpool.wait, [a, b], return_when=when)
        for when in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION")
    ]
    settle()
    assert [tasklet.state for tasklet in waiting] == ["parked"] * 3
    gate.set()
    for tasklet in waiting:
        assert set().union(*tasklet.result()) == {a, b}
    assert waiting[0].result() == ({a, b}, set())
    failed = pool.submit(lambda: 1 // 0)
    done, pending = threadpool.wait([failed], return_when="FIRST_EXCEPTION")
    assert (done, pending) == ({failed}, set())
    with pytest.raises(ValueError, match="Invalid return condition"):
        threadpool.wait([a], return_when="whenever")


def test_wait_in_time(pool, gate):
    a, b = fill(pool, gate)
    c = concurrent.futures.Future()
    c.set_result(1)
    with fake_clock() as clock:
        result = threadpool.wait([a, b, c], timeout=5)
        assert clock.now == 5
    assert result == ({c}, {a, b})
    assert (result.done, result.not_done) == ({c}, {a, b})


def test_as_completed(pool, gate):
    a, b = fill(pool, gate)
    c = concurrent.futures.Future()
    c.set_result(1)
    each = threadpool.as_completed([a, b, c, c])
    assert next(each) is c
    waiting = ringlet.spawn(list, each)
    settle()
    assert waiting.state == "parked"
    gate.set()
    assert set(waiting.result()) == {a, b}


def test_as_completed_in_time(pool, gate):
    a, b = fill(pool, gate)
    with fake_clock(), pytest.raises(TimeoutError, match=r"2 \(of 2\) futures unfinished"):
        list(threadpool.as_completed([a, b], timeout=5))


# --- the process --------------------------------------------------------------------------------


def test_the_end_of_the_program_waits_for_a_job_that_runs():
    outcome = run_isolated(
        """
import threading
import ringlet
from ringlet.io.threadpool import to_thread
begun = threading.Event()
def job():
    begun.set()
    threading.main_thread().join()  # goes on when the program is at its end
    print("the job ended", flush=True)
ringlet.spawn(to_thread, job)
ringlet.schedule()
begun.wait()
print("the program ended", flush=True)
"""
    )
    assert outcome.stdout.splitlines() == ["the program ended", "the job ended"]


def test_the_end_of_the_program_does_not_wait_for_abandoned_threads():
    run_isolated(
        """
import threading
from ringlet.io.threadpool import ThreadPool
begun = threading.Event()
pool = ThreadPool(1, abandoned_at_exit=True)
pool.submit(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
"""
    )


@pytest.mark.parametrize("used_before", [True, False])
def test_tasklets_that_are_told_to_end_may_use_threads(used_before):
    outcome = run_isolated(
        f"""
import ringlet
from ringlet.io.threadpool import to_thread
if {used_before}:
    to_thread(int)
def last():
    try:
        ringlet.Channel().receive()
    finally:
        print(to_thread(pow, 2, 3), flush=True)
ringlet.spawn(last)
ringlet.schedule()
"""
    )
    assert outcome.stdout == "8\n"


def test_jobs_of_a_pool_are_not_done_in_a_forked_child_too():
    run_isolated(
        """
import os, threading, warnings
warnings.simplefilter("ignore")
import ringlet
from ringlet.io.threadpool import ThreadPool
gate, begun = threading.Event(), threading.Event()
pool = ThreadPool(1)
done = pool.submit(pow, 2, 2)
done.result()
running = pool.submit(lambda: (begun.set(), gate.wait()))
queued = pool.submit(pow, 2, 3)
begun.wait()
child = os.fork()
if child == 0:
    assert done.result() == 4
    for future in (running, queued):
        try:
            future.result()
        except RuntimeError as error:
            assert "forked child" in str(error)
        else:
            os._exit(3)
    assert pool.submit(pow, 2, 4).result() == 16
    assert not queued.done()
    pool.shutdown()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
gate.set()
assert queued.result() == 8
"""
    )


def test_dump_says_what_a_thread_of_a_pool_does(pool, gate):
    def wait_for_the_gate():
        gate.wait()

    begun = threading.Event()
    pool.submit(lambda: (begun.set(), wait_for_the_gate()))
    assert begun.wait(20)
    text = io.StringIO()
    ringlet.dump(text)
    assert "thread ringlet-pool_0" in text.getvalue()

"""One scheduler and one main tasklet for each thread; what works between threads."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator

import pytest

import ringlet
from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, schedule_remove, tasklet

SECONDS = 20


def raises(text):
    return pytest.raises(RuntimeError, match=f"^{re.escape(text)}$")


class Thread(threading.Thread):
    """A native thread that keeps what its function raised, to be raised by the test."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self.function = function
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.function()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.join(SECONDS)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def in_thread(function):
    """Call a function in a thread of its own and wait for its end."""
    thread = Thread(function)
    thread.start()
    thread.end()


@contextlib.contextmanager
def serving(function=lambda: None) -> Iterator["stackless.tasklet"]:
    """A thread that first calls function(), and then receives and calls functions until None.

    Gives the channel that these are sent through.
    """
    orders, ready = channel(), threading.Event()

    def serve():
        function()
        ready.set()
        for order in iter(orders.receive, None):
            order()
            stackless.run()

    thread = Thread(serve)
    thread.start()
    assert ready.wait(SECONDS)
    yield orders
    orders.send(None)
    thread.end()


def test_each_thread_has_a_main_tasklet_of_its_own(log):
    def body():
        log.append(stackless.getmain())
        assert stackless.getcurrent() is stackless.getmain()
        assert stackless.getmain().thread_id == threading.get_ident()

    in_thread(body)
    assert log[0] is not stackless.getmain()


def test_each_thread_runs_its_own_tasklets(log):
    tasklet(log.append)("here")

    def body():
        tasklet(lambda: log.append(threading.current_thread()))()
        assert stackless.getruncount() == 2
        stackless.run()

    thread = Thread(body)
    thread.start()
    thread.end()
    assert log == [thread]
    stackless.run()
    assert log == [thread, "here"]


def test_getthreads_begins_with_the_main_thread(log):
    in_thread(lambda: log.extend([stackless.getthreads(), threading.get_ident()]))
    assert log[0][0] == threading.main_thread().ident
    assert log[1] in log[0]


def test_get_thread_info(log):
    main = stackless.getmain()
    tasklet(schedule)()
    assert stackless.get_thread_info() == (main, main, 2)
    assert stackless.get_thread_info(-1) == (main, main, 2)
    ident = threading.get_ident()
    in_thread(lambda: log.append(stackless.get_thread_info(ident)))
    assert log == [(main, main, 2)]


def test_get_thread_info_of_a_thread_that_is_not_there():
    with raises("Thread id not found"):
        stackless.get_thread_info(1)


def test_switch_traps_are_a_threads_own(log):
    stackless.switch_trap(1)
    in_thread(lambda: (log.append(stackless.switch_trap()), schedule()))
    stackless.switch_trap(-1)
    assert log == [0]


def test_system_exit_in_another_thread_is_silent(log):
    def leave():
        raise SystemExit(7)

    def body():
        tasklet(leave)()
        stackless.run()
        log.append("goes on")

    in_thread(body)
    assert log == ["goes on"]


# ---- Channels --------------------------------------------------------------------------------


def test_channels_work_between_threads():
    there, back = channel(), channel()

    def body():
        for value in iter(there.receive, None):
            back.send(value + 1)

    thread = Thread(body)
    thread.start()
    for value in range(20):
        there.send(value)
        assert back.receive() == value + 1
    there.send(None)
    thread.end()


def test_a_receiver_in_another_thread_is_made_ready_there_and_the_sender_goes_on(log):
    with serving() as orders:
        done = threading.Event()
        tasklet(log.append)("not run by send()")
        orders.send(done.set)
        assert log == []
        assert done.wait(SECONDS)
    stackless.run()


def test_a_thread_with_nothing_to_do_blocks_while_others_may_wake_it():
    c, waits = channel(), threading.Event()

    def body():
        waits.wait(SECONDS)
        c.send("woken")

    thread = Thread(body)
    thread.start()
    waits.set()
    assert c.receive() == "woken"
    thread.end()


def test_it_is_a_deadlock_once_the_other_threads_have_ended():
    thread = Thread(lambda: None)
    thread.start()
    with raises("Deadlock: the last runnable tasklet cannot be blocked."):
        channel().receive()
    thread.end()


def test_run_returns_though_other_threads_go_on():
    with serving():
        tasklet(channel().receive)()
        assert stackless.run() is None


def test_with_threadblock_run_waits_for_other_threads(log):
    c, go = channel(), threading.Event()

    def body():
        go.wait(SECONDS)
        c.send("from the other thread")

    tasklet(lambda: log.append(c.receive()))()
    thread = Thread(body)
    thread.start()
    tasklet(go.set)()
    stackless.run(threadblock=True)
    thread.end()
    assert log == ["from the other thread"]


def test_with_threadblock_run_returns_when_there_is_no_other_thread():
    tasklet(channel().receive)()
    assert stackless.run(threadblock=True) is None


def test_the_channel_callback_is_called_for_exchanges_between_threads(log):
    with serving() as orders:
        main = stackless.getmain()
        done = threading.Event()
        stackless.set_channel_callback(lambda c, t, *flags: log.append((c, t, flags)))
        orders.send(done.set)
        assert done.wait(SECONDS)
        stackless.set_channel_callback(None)
    assert (orders, main, (1, 0)) in log


def test_a_thread_that_uses_ringlet_alone_can_wait_in_a_channel():
    c, ready = channel(), threading.Event()

    def body():
        waiter = ringlet.spawn(c.receive)
        ringlet.schedule()
        ready.set()
        waiter.join()

    thread = Thread(body)
    thread.start()
    assert ready.wait(SECONDS)
    waiter = c.queue
    assert waiter.blocked
    assert waiter.thread_id == thread.ident
    waiter.kill()
    thread.end()
    assert (c.balance, waiter.alive) == (0, False)


# ---- Tasklets of other threads ---------------------------------------------------------------


def test_insert_from_another_thread_puts_it_into_the_round_of_its_own(log):
    t = tasklet(lambda: log.append(threading.current_thread()), ())
    in_thread(t.insert)
    schedule()
    stackless.run()
    assert log == [threading.main_thread()]


def test_insert_from_another_thread_of_one_that_has_begun(log):
    def body():
        schedule_remove()
        log.append(threading.current_thread())

    t = tasklet(body)()
    stackless.run()
    in_thread(t.insert)
    assert t.scheduled
    stackless.run()
    assert log == [threading.main_thread()]


def test_run_from_another_thread_puts_it_next(log):
    def body():
        schedule_remove()
        log.append("wanted")

    t = tasklet(body)()
    stackless.run()
    tasklet(log.append)("ready before")
    in_thread(t.run)
    assert log == []
    stackless.run()
    assert log == ["wanted", "ready before"]


def test_throw_from_another_thread_makes_it_ready_there(log):
    def body():
        try:
            channel().receive()
        except KeyError:
            log.append(threading.current_thread())

    t = tasklet(body)()
    stackless.run()
    in_thread(lambda: t.throw(KeyError))
    assert log == []
    assert not t.blocked
    stackless.run()
    assert log == [threading.main_thread()]


def test_kill_from_another_thread():
    t = tasklet(channel().receive)()
    stackless.run()
    in_thread(t.kill)
    stackless.run()
    assert not t.alive


def test_remove_from_another_thread():
    t = tasklet(schedule)()
    in_thread(t.remove)
    assert t.paused


def test_switch_to_a_tasklet_of_another_thread():
    t = tasklet(schedule, ())

    def body():
        with raises("can't switch to a different thread."):
            t.switch()

    in_thread(body)


# ---- The end of a thread ---------------------------------------------------------------------


def test_tasklets_that_have_begun_end_with_their_thread(log):
    def waiting():
        try:
            schedule_remove()
        finally:
            log.append("finally")

    def body():
        log.append(tasklet(waiting)())
        stackless.run()

    in_thread(body)
    t, last = log
    assert last == "finally"
    assert not t.alive
    assert t.thread_id == -1


def test_one_that_has_not_begun_outlives_its_thread_and_can_be_bound_to_another(log):
    made = []
    in_thread(lambda: made.append(tasklet(log.append, (1,))))
    (t,) = made
    assert t.alive
    assert t.thread_id == -1
    with raises("Target thread isn't initialized"):
        t.insert()
    with raises("tasklet has no thread"):
        t.throw(KeyError)
    t.bind_thread()
    assert t.thread_id == threading.get_ident()
    t.insert()
    stackless.run()
    assert log == [1]


def test_kill_of_one_without_a_thread():
    made = []
    in_thread(lambda: made.append(tasklet(print, ())))
    made[0].kill()
    assert not made[0].alive


def test_bind_thread_to_another_thread(log):
    t = tasklet(lambda: log.append(threading.current_thread()), ())
    with serving(lambda: log.append(threading.current_thread())) as orders:
        t.bind_thread(log[0].ident)
        done = threading.Event()
        t.insert()
        orders.send(lambda: None)
        orders.send(done.set)
        assert done.wait(SECONDS)
    assert log == [log[0], log[0]]


def test_bind_thread_of_one_that_was_removed_before_it_began(log):
    made = []

    def body():
        made.append(tasklet(lambda: log.append(threading.current_thread()))().remove())
        ready.set()
        assert bound.wait(SECONDS)
        stackless.run()

    ready, bound = threading.Event(), threading.Event()
    thread = Thread(body)
    thread.start()
    assert ready.wait(SECONDS)
    made[0].bind_thread()
    bound.set()
    thread.end()
    assert log == []
    made[0].insert()
    stackless.run()
    assert log == [threading.main_thread()]


def test_bind_thread_of_one_that_is_scheduled_or_has_begun():
    t = tasklet(schedule_remove)()
    with raises("can't (re)bind a runnable tasklet"):
        t.bind_thread()
    stackless.run()
    with raises("tasklet has C state on its stack"):
        t.bind_thread()


def test_bind_thread_to_a_thread_that_is_not_there():
    with pytest.raises(ValueError, match=r"^bad thread$"):
        tasklet(print, ()).bind_thread(1)

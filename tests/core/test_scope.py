"""Cancelling a tasklet: where it is raised, when not, and what wins over what."""

import gc
import threading
import weakref

import pytest

from ringlet import (
    Cancelled,
    Channel,
    TaskletExit,
    _core,
    current,
    getcurrent,
    greenlet,
    main,
    schedule,
    shield,
    sleep,
    spawn,
    spawn_later,
    timeout,
)
from ringlet.testing import fake_clock
from tests.support.leaks import leak_checked


def outcome(tasklet):
    """The type of what it ended with, or its value."""
    tasklet.join()
    return tasklet._value if tasklet._error is None else type(tasklet._error)


def catch(kinds, f, *args):
    """What f raises, of these kinds."""
    try:
        f(*args)
    except kinds as error:
        return type(error)
    return None


@leak_checked
def test_it_is_raised_in_the_call_that_blocks():
    channel = Channel()
    tasklet = spawn(channel.receive)
    schedule()
    tasklet.cancel()
    assert channel.balance == 0
    assert outcome(tasklet) is Cancelled
    assert tasklet._error.scope is None


@leak_checked
def test_it_is_raised_once():
    def body():
        first = catch(Cancelled, sleep, 1000)
        schedule()
        channel.receive()
        return first

    channel = Channel()
    tasklet = spawn(body)
    schedule()
    tasklet.cancel()
    tasklet.cancel()
    schedule()
    channel.send(None)
    assert outcome(tasklet) is Cancelled


def test_it_can_be_done_again():
    def body():
        return [catch(Cancelled, sleep, 1000) for _ in range(3)]

    tasklet = spawn(body)
    for _ in range(3):
        schedule()
        tasklet.cancel()
    assert outcome(tasklet) == [Cancelled] * 3


def test_one_that_has_not_run_ends():
    ran = []
    tasklet = spawn(ran.append, 1)
    tasklet.cancel()
    assert outcome(tasklet) is Cancelled
    later = spawn_later(1000, ran.append, 1)
    later.cancel()
    assert outcome(later) is Cancelled
    assert ran == []


def test_one_that_has_ended_does_not_care():
    tasklet = spawn(int, 3)
    tasklet.join()
    tasklet.cancel()
    assert tasklet.result() == 3


def test_the_running_one_gets_it_where_it_blocks_next():
    def body():
        current().cancel()
        ringing.send_nowait("no blocking")
        ringing.receive()
        return catch(Cancelled, schedule)

    ringing = Channel(buffer=1)
    assert outcome(spawn(body)) is Cancelled


def test_who_gives_way_is_cancelled_there():
    def body():
        while True:
            schedule()

    tasklet = spawn(body)
    schedule()
    assert tasklet.state == "ready"
    tasklet.cancel()
    assert outcome(tasklet) is Cancelled


def test_giving_way_alone_is_cancelled_too():
    current().cancel()
    with pytest.raises(Cancelled):
        sleep(0)
    schedule()


@leak_checked
def test_who_has_got_a_value_keeps_it():
    def body():
        got.append(channel.receive())
        got.append(channel.receive())

    got = []
    channel = Channel(preference=0)
    tasklet = spawn(body)
    schedule()
    channel.send("first")
    tasklet.cancel()
    assert outcome(tasklet) is Cancelled
    assert got == ["first"]
    assert channel.balance == 0


def test_who_has_sent_a_value_has_sent_it():
    def body():
        channel.send("sent")
        done.append("sent")
        schedule()

    done = []
    channel = Channel(preference=0)
    tasklet = spawn(body)
    schedule()
    assert channel.receive() == "sent"
    tasklet.cancel()
    assert outcome(tasklet) is Cancelled
    assert done == ["sent"]


@pytest.mark.parametrize("preference", [-1, 1])
def test_who_makes_way_in_an_exchange_keeps_what_it_got(preference):
    def taker():
        got.append(channel.receive())
        got.append(catch(Cancelled, schedule))

    def giver():
        channel.send("value")
        tasklet.cancel()

    got = []
    channel = Channel(preference=preference)
    spawn(giver)
    tasklet = spawn(taker)
    tasklet.join()
    assert got == ["value", Cancelled]


def test_a_result_that_has_come_is_kept():
    def body():
        return source.result(), catch(Cancelled, schedule)

    source = spawn(schedule)
    tasklet = spawn(body)
    source.join()
    tasklet.cancel()
    assert outcome(tasklet) == (None, Cancelled)


def test_the_next_in_a_queue_gets_what_a_cancelled_one_does_not():
    channel = Channel()
    first, second = spawn(channel.receive), spawn(channel.receive)
    schedule()
    first.cancel()
    channel.send("value")
    assert outcome(first) is Cancelled
    assert outcome(second) == "value"


def test_a_shield_puts_it_off():
    def body():
        with shield():
            with shield():
                order.append(channel.receive())
            order.append(channel.receive())
        order.append("no blocking")
        schedule()

    order = []
    channel = Channel()
    tasklet = spawn(body)
    schedule()
    tasklet.cancel()
    channel.send(1)
    schedule()
    channel.send(2)
    assert outcome(tasklet) is Cancelled
    assert order == [1, 2, "no blocking"]


def test_a_shield_is_no_help_against_kill():
    def body():
        with shield():
            sleep(1000)

    tasklet = spawn(body)
    schedule()
    tasklet.kill()
    assert outcome(tasklet) is TaskletExit


@pytest.mark.parametrize("order", ["cancel kill", "kill cancel", "cancel kill cancel"])
@pytest.mark.parametrize("started", [True, False])
def test_kill_wins_over_cancel(order, started):
    def body():
        try:
            sleep(1000)
        finally:
            schedule()
            cleaned.append(True)

    cleaned = []
    tasklet = spawn(body)
    if started:
        schedule()
    for how in order.split():
        tasklet.kill(wait=False) if how == "kill" else tasklet.cancel()
    assert outcome(tasklet) is TaskletExit
    assert cleaned == [True] * started


def test_kill_wins_over_what_a_shield_put_off():
    def body():
        try:
            with shield():
                sleep(1000)
        finally:
            schedule()

    tasklet = spawn(body)
    schedule()
    tasklet.cancel()
    tasklet.kill()
    assert outcome(tasklet) is TaskletExit


def test_kill_wins_over_a_time_limit():
    def body():
        try:
            with timeout(1):
                sleep(1000)
        finally:
            schedule()

    with fake_clock() as clock:
        tasklet = spawn(body)
        schedule()
        tasklet.kill(wait=False)
        clock.advance(2)
        assert outcome(tasklet) is TaskletExit


def test_an_error_thrown_puts_cancel_off():
    def body():
        return catch(LookupError, sleep, 1000), catch(Cancelled, schedule)

    tasklet = spawn(body)
    schedule()
    tasklet.cancel()
    tasklet.throw(LookupError())
    assert outcome(tasklet) == (LookupError, Cancelled)


def test_an_error_thrown_puts_a_time_limit_off():
    def body():
        with timeout(1, quiet=True) as scope:
            first = catch(LookupError, sleep, 1000)
            before = scope.expired
            schedule()
        return first, before, scope.expired

    with fake_clock():
        tasklet = spawn(body)
        schedule()
        _core.hub().call_at(1, tasklet.throw, LookupError())
        assert outcome(tasklet) == (LookupError, False, True)


def test_cancel_does_not_undo_an_error_thrown():
    def body():
        return catch(LookupError, sleep, 1000), catch(Cancelled, schedule)

    tasklet = spawn(body)
    schedule()
    tasklet.throw(LookupError())
    tasklet.cancel()
    assert outcome(tasklet) == (LookupError, Cancelled)


def test_it_is_raised_in_the_greenlet_that_blocks():
    def inner():
        where.append(catch(Cancelled, sleep, 1000))
        where.append(getcurrent())

    def body():
        side.append(greenlet(inner))
        side[0].switch()
        schedule()

    side, where = [], []
    tasklet = spawn(body)
    schedule()
    tasklet.cancel()
    assert outcome(tasklet) is None
    assert where == [Cancelled, side[0]]


def test_the_main_program_can_be_cancelled():
    spawn(main().cancel)
    with pytest.raises(Cancelled):
        sleep(1000)


def test_from_another_thread():
    def body():
        started.set()
        try:
            sleep(1000)
        except Cancelled:
            return threading.current_thread() is thread
        return None

    def run():
        tasklets.append(spawn(body))
        tasklets[0].join()

    tasklets = []
    started = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    tasklets[0].cancel()
    thread.join()
    assert tasklets[0].result() is True


def test_one_that_runs_in_another_thread_gets_it_where_it_blocks_next():
    def body():
        tasklets.append(current())
        started.set()
        cancelled.wait()
        return catch(Cancelled, schedule)

    tasklets = []
    started, cancelled = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: spawn(body).join())
    thread.start()
    started.wait()
    tasklets[0].cancel()
    cancelled.set()
    thread.join()
    assert tasklets[0].result() is Cancelled


def test_what_it_never_got_to_is_forgotten():
    class Thing:
        pass

    def body():
        scope = timeout(1000)
        scope.__enter__()
        scopes.append(weakref.ref(scope))
        current().cancel()

    scopes: list = []
    tasklet = spawn(body)
    tasklet.join()
    schedule()
    gc.collect()
    assert scopes[0]() is None
    assert len(_core.hub().timers) == 0


def test_scopes_may_be_left_in_any_order():
    first, second = timeout(None), timeout(None)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (first.active, second.active) == (False, True)
    second.__exit__(None, None, None)
    second.__exit__(None, None, None)
    schedule()


class BrokenClock:
    def time(self):
        raise LookupError


@leak_checked
def test_an_error_in_setting_the_limit_leaves_nothing_entered():
    hub = _core.hub()
    before = hub.clock
    hub.clock = BrokenClock()
    try:
        with pytest.raises(LookupError):
            timeout(5).__enter__()
    finally:
        hub.clock = before
    current().cancel()
    with pytest.raises(Cancelled):
        schedule()


def test_cancelled_takes_what_exceptions_take():
    error = Cancelled("why")
    assert error.args == ("why",)
    assert error.scope is None
    assert not issubclass(Cancelled, Exception)

"""run(timeout): turns of limited length, counted in calls and jumps backwards."""

import gc
import sys

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, tasklet

PLENTY = 10_000


def endless(count):
    while True:
        count[0] += 1


def function(count):
    count[0] += 1
    return 0


def calling(count):
    while True:
        function(count)


def calling_builtin(count):
    while True:
        count.count(0)
        count[0] += 1


def working(count, rounds):
    for _ in range(rounds):
        count[0] += 1


@pytest.fixture
def count():
    """How far a tasklet has come."""
    return [0]


# ---- What is counted -------------------------------------------------------------------------


def test_a_jump_backwards_is_one_unit(count):
    tasklet(endless)(count)
    stackless.run(PLENTY)
    # Entering the function is one, too.
    assert count == [PLENTY - 1]


def test_a_call_of_a_python_function_is_one_unit(count):
    tasklet(calling)(count)
    stackless.run(PLENTY)
    assert PLENTY / 2 - 1 <= count[0] <= PLENTY / 2


def test_a_call_of_a_builtin_function_is_one_unit(count):
    tasklet(calling_builtin)(count)
    stackless.run(PLENTY)
    assert PLENTY / 2 - 1 <= count[0] <= PLENTY / 2


def test_the_loop_may_be_on_one_line(count):
    program = "def body():\n while True: count[0] += 1\n"
    names = {"count": count}
    exec(program, names)
    tasklet(names["body"])()
    assert stackless.run(PLENTY) is not None
    assert count == [PLENTY - 1]


def test_a_generator_in_a_loop_is_interrupted_too(count):
    def numbers():
        while True:
            yield count[0]

    def body():
        for _ in numbers():
            count[0] += 1

    t = tasklet(body)()
    assert stackless.run(PLENTY) is t
    assert PLENTY / 4 - 1 <= count[0] <= PLENTY / 2


def test_ringlets_own_code_is_not_counted(count):
    c = channel()

    def receiving():
        while True:
            c.receive()

    def sending():
        for number in range(100):
            c.send(number)

    t = tasklet(receiving)()
    tasklet(sending)()
    assert stackless.run(100) is None
    assert t.blocked


# ---- Interruption ----------------------------------------------------------------------------


def test_run_returns_the_interrupted_tasklet_which_is_out_of_the_round(count):
    t = tasklet(endless)(count)
    assert stackless.run(PLENTY) is t
    assert t.alive
    assert t.paused
    assert stackless.getruncount() == 1


def test_run_returns_none_when_all_end_in_time(count):
    tasklet(working)(count, 10)
    assert stackless.run(PLENTY) is None
    assert count == [10]


def test_an_interrupted_tasklet_goes_on_once_it_is_inserted(count):
    t = tasklet(endless)(count)
    stackless.run(PLENTY)
    before = count[0]
    t.insert()
    assert stackless.run(PLENTY) is t
    assert count[0] == before + PLENTY


def test_an_interrupted_tasklet_can_be_run_without_a_limit(count):
    t = tasklet(working)(count, PLENTY)
    assert stackless.run(100) is t
    t.insert()
    assert stackless.run() is None
    assert count == [PLENTY]


def test_an_interrupted_tasklet_can_be_killed(count):
    t = tasklet(endless)(count)
    stackless.run(100)
    t.kill()
    assert not t.alive


def test_the_others_stay_in_the_round(count, log):
    t = tasklet(endless)(count)
    tasklet(log.append)("other")
    assert stackless.run(100) is t
    assert log == []
    assert stackless.run(100) is None
    assert log == ["other"]


def test_the_timeout_is_for_each_turn(count):
    def body():
        for _ in range(100):
            working(count, 50)
            schedule()

    tasklet(body)()
    tasklet(body)()
    assert stackless.run(100) is None
    assert count == [2 * 100 * 50]


def test_totaltimeout_is_for_the_whole_run(count):
    def body():
        for _ in range(100):
            working(count, 50)
            schedule()

    first, second = tasklet(body)(), tasklet(body)()
    assert stackless.run(1000, totaltimeout=True) in (first, second)
    assert count[0] < 1000


def test_one_that_was_suspended_in_a_loop_before_is_interrupted_too(count):
    def body():
        while True:
            count[0] += 1
            if count[0] == 10:
                schedule()

    t = tasklet(body)()
    schedule()
    assert count == [10]
    assert stackless.run(PLENTY) is t
    assert count[0] >= PLENTY / 2


def test_without_a_timeout_nothing_is_counted(count):
    before = sys.gettrace()
    t = tasklet(working)(count, PLENTY)
    stackless.run(100)
    assert sys.gettrace() is before
    t.insert()
    stackless.run()
    if sys.version_info >= (3, 12):
        assert sys.monitoring.get_tool(3) is None


def test_the_programs_own_trace_function_goes_on_seeing_what_it_saw(count):
    events = []

    def trace(frame, event, arg):
        if frame.f_code is function.__code__:
            events.append(event)
        return trace

    t = tasklet(calling)(count)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        stackless.run(1000)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert {"call", "line", "return"} <= set(events)
    t.kill()


def test_run_with_a_timeout_may_be_called_again_and_again(count):
    t = tasklet(endless)(count)
    for _ in range(50):
        assert stackless.run(10) is t
        t.insert()
    assert count[0] == 50 * 10 - 1


# ---- Where a tasklet is left alone -----------------------------------------------------------


def test_an_atomic_tasklet_is_left_alone_until_it_is_not_any_more(count):
    def body():
        with stackless.atomic():
            working(count, 1000)
        endless(count)

    t = tasklet(body)()
    assert stackless.run(100) is t
    assert 1000 <= count[0] <= 1001


def test_set_atomic_is_the_same(count):
    def body():
        before = stackless.getcurrent().set_atomic(True)
        working(count, 1000)
        stackless.getcurrent().set_atomic(before)
        endless(count)

    t = tasklet(body)()
    assert stackless.run(100) is t
    assert 1000 <= count[0] <= 1001


def test_what_an_atomic_tasklet_has_missed_is_remembered_beyond_its_turn(count):
    def body():
        with stackless.atomic():
            working(count, 1000)
            schedule()
        count[0] += 1

    t = tasklet(body)()
    assert stackless.run(100) is t
    assert count == [1000]
    t.insert()
    assert stackless.run(100) is None
    assert count == [1001]


def test_under_a_switch_trap_it_is_left_alone(count):
    def body():
        stackless.switch_trap(1)
        working(count, 1000)
        stackless.switch_trap(-1)
        endless(count)

    t = tasklet(body)()
    assert stackless.run(100) is t
    assert 1000 <= count[0] <= 1001


def test_inside_of_a_call_from_c_it_is_left_alone(count):
    def body():
        sorted([count] * 500, key=function)
        endless(count)

    t = tasklet(body)()
    assert stackless.run(100) is t
    assert 500 <= count[0] <= 501


def test_with_ignore_nesting_it_is_interrupted_there_too(count):
    t = tasklet(lambda: sorted([count] * 500, key=function))()
    assert stackless.run(100, ignore_nesting=True) is t
    assert 90 <= count[0] <= 100


def test_a_tasklet_can_ignore_nesting_by_itself(count):
    t = tasklet(lambda: sorted([count] * 500, key=function))
    t.set_ignore_nesting(True)
    t()
    assert stackless.run(100) is t
    assert 90 <= count[0] <= 100


def test_one_interrupted_inside_of_a_call_from_c_can_go_on(log, count):
    t = tasklet(lambda: log.append(sorted([count] * 500, key=function)))()
    assert stackless.run(100, ignore_nesting=True) is t
    t.insert()
    stackless.run()
    assert count == [500]
    assert len(log[0]) == 500


def test_in_a_garbage_collection_it_is_left_alone(count, log):
    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            working(count, 1000)

    def body():
        Garbage()
        gc.collect()
        log.append("collected")
        endless(count)

    gc.collect()
    t = tasklet(body)()
    assert stackless.run(100, ignore_nesting=True) is t
    assert count[0] >= 1000


# ---- Soft ------------------------------------------------------------------------------------


def test_soft_does_not_interrupt_and_run_returns_none_at_the_next_switch(count, log):
    def body():
        working(count, 1000)
        log.append("not interrupted")
        schedule()
        log.append("later")

    t = tasklet(body)()
    assert stackless.run(100, soft=True) is None
    assert log == ["not interrupted"]
    assert t.scheduled
    stackless.run()
    assert log == ["not interrupted", "later"]


def test_soft_with_all_done_in_time(count):
    tasklet(working)(count, 10)
    assert stackless.run(PLENTY, soft=True) is None
    assert count == [10]


# ---- Nested runs -----------------------------------------------------------------------------


def test_only_the_outermost_timeout_counts(count, log):
    def inner():
        t = tasklet(endless)(count)
        stackless.run(10)
        log.append(t)

    tasklet(inner)()
    victim = stackless.run(PLENTY)
    assert victim is not None
    assert log == []
    assert count[0] > PLENTY / 2


def test_after_the_outermost_run_a_timeout_counts_again(count):
    t = tasklet(endless)(count)
    assert stackless.run(10) is t
    t.insert()
    assert stackless.run(10) is t


def test_run_without_a_timeout_inside_of_one_with(count, log):
    def inner():
        tasklet(working)(count, 10)
        assert stackless.run() is None
        log.append("inner")

    tasklet(inner)()
    assert stackless.run(PLENTY) is None
    assert log == ["inner"]


def test_an_exception_of_a_tasklet_ends_the_limit(count):
    def body():
        raise KeyError

    tasklet(body)()
    with pytest.raises(KeyError):
        stackless.run(100)
    t = tasklet(working)(count, PLENTY)
    assert stackless.run() is None
    assert not t.alive

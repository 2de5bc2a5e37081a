"""Groups: nobody outlives the block, failures cancel, and nothing that went wrong gets lost."""

# ruff: noqa: PT012 (the blocks are what is tested)

import gc
import signal
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ringlet
from ringlet import (
    Cancelled,
    Channel,
    Group,
    TaskletError,
    TaskletExit,
    Timeout,
    current,
    generator,
    schedule,
    shield,
    sleep,
    spawn,
    tasklets,
    timeout,
    yield_,
)
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated


@pytest.fixture(autouse=True)
def clock():
    with fake_clock() as clock:
        yield clock


@pytest.fixture(autouse=True)
def printed(monkeypatch):
    """What goes through ringlet.excepthook: nothing, for a group tells it all."""
    seen: list = []
    monkeypatch.setattr(ringlet, "excepthook", lambda tasklet, error: seen.append(error))
    yield seen
    assert seen == []


def fail(seconds, error):
    sleep(seconds)
    raise error


def test_the_block_ends_when_all_have_ended(clock):
    with Group() as group:
        work = [group.spawn(sleep, seconds) for seconds in (3, 1, 2)]
        assert len(group) == 3
        assert group.tasklets == work
    assert all(tasklet.finished for tasklet in work)
    assert clock.time() == 3
    assert len(group) == 0


def test_a_group_may_be_empty():
    with Group() as group:
        assert group


def test_tasklets_may_start_others_while_the_block_ends(clock):
    def work(depth):
        sleep(1)
        if depth:
            group.spawn(work, depth - 1)

    with Group() as group:
        group.spawn(work, 3)
    assert clock.time() == 4


def test_the_first_failure_cancels_the_others_and_the_block(clock):
    error = ValueError("first")
    with pytest.raises(ExceptionGroup) as caught:
        with Group() as group:
            failing = group.spawn(fail, 1, error)
            other = group.spawn(sleep, 100)
            with pytest.raises(Cancelled) as inside:
                sleep(100)
            assert inside.value.scope is group
            raise inside.value
    assert caught.value.exceptions == (error,)
    assert isinstance(other._error, Cancelled)
    assert other._error.scope is group
    assert clock.time() == 1
    with pytest.raises(ValueError, match="first"):
        failing.result()


def test_the_block_may_have_ended_when_one_fails(clock):
    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        group.spawn(fail, 1, ValueError())
        other = group.spawn(sleep, 100)
    assert len(caught.value.exceptions) == 1
    assert isinstance(other._error, Cancelled)


def test_all_failures_are_told():
    def clean_up():
        try:
            sleep(100)
        finally:
            raise KeyError

    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        group.spawn(clean_up)
        group.spawn(fail, 1, ValueError())
        group.spawn(fail, 1, TypeError())
    assert {type(error) for error in caught.value.exceptions} == {KeyError, ValueError, TypeError}


def test_clean_up_of_the_others_is_cancelled_once(clock):
    def clean_up(seconds):
        try:
            sleep(100)
        finally:
            sleep(seconds)
            done.append(seconds)
            raise LookupError

    done = []
    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        group.spawn(clean_up, 3)
        group.spawn(clean_up, 5)
        group.spawn(fail, 1, ValueError())
    assert done == [3, 5]
    assert len(caught.value.exceptions) == 3
    assert clock.time() == 6


def test_an_error_in_the_block_cancels_the_tasklets():
    error = ValueError()
    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        other = group.spawn(sleep, 100)
        schedule()
        raise error
    assert caught.value.exceptions == (error,)
    assert isinstance(other._error, Cancelled)


def test_an_error_that_the_block_has_from_a_tasklet_is_told_once():
    error = ValueError()
    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        group.spawn(fail, 1, error).result()
    assert caught.value.exceptions == (error,)


def test_one_that_is_killed_or_cancelled_has_not_failed():
    with Group() as group:
        group.spawn(sleep, 100).cancel()
        killed = group.spawn(sleep, 100)
        schedule()
        killed.kill()
        last = group.spawn(sleep, 1)
    assert last._error is None


def test_cancel_leaves_the_block(clock):
    with Group() as group:
        other = group.spawn(sleep, 100)
        schedule()
        group.cancel()
        group.cancel()
        sleep(100)
        raise AssertionError("not reached")
    assert group.cancelled
    assert isinstance(other._error, Cancelled)
    assert clock.time() == 0


def test_a_tasklet_may_cancel_its_group(clock):
    def work():
        group.cancel()
        sleep(100)

    with Group() as group:
        group.spawn(work)
        group.spawn(sleep, 100)
    assert clock.time() == 0
    schedule()


def test_cancel_from_another_thread():
    def elsewhere():
        started.wait()
        group.cancel()

    def work():
        started.set()
        Channel().receive()

    started = threading.Event()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    with Group() as group:
        group.spawn(work)
    thread.join()
    assert group.cancelled


def test_in_a_cancelled_group_nothing_starts_any_more():
    ran = []
    with Group() as group:
        group.cancel()
        tasklet = group.spawn(ran.append, 1)
        assert tasklet.finished
        with pytest.raises(Cancelled):
            tasklet.result()
    assert ran == []


def test_kill_ends_the_tasklets_and_not_the_block(clock):
    def stubborn():
        with shield():
            sleep(100)

    with Group() as group:
        work = [group.spawn(stubborn), group.spawn(sleep, 100)]
        schedule()
        group.kill()
        assert all(isinstance(tasklet._error, TaskletExit) for tasklet in work)
        sleep(1)
        group.spawn(sleep, 1)
    assert clock.time() == 2


def test_a_tasklet_that_kills_its_group_is_the_last():
    def work():
        try:
            group.kill()
        finally:
            left.extend(group.tasklets)

    left = []
    with Group() as group:
        group.spawn(sleep, 100)
        last = group.spawn(work)
    assert left == [last]
    assert isinstance(last._error, TaskletExit)


def test_a_time_limit_around_a_group_ends_its_tasklets(clock):
    with pytest.raises(Timeout) as caught:
        with timeout(2) as scope:
            with Group() as group:
                work = group.spawn(sleep, 100)
    assert caught.value.scope is scope
    assert isinstance(work._error, Cancelled)
    assert clock.time() == 2


def test_a_time_limit_that_ends_the_block_of_a_group(clock):
    with timeout(2, quiet=True) as scope, Group() as group:
        work = group.spawn(sleep, 100)
        sleep(50)
    assert scope.expired
    assert work.finished


def test_a_failure_while_a_time_limit_cleans_up_is_told():
    def clean_up():
        try:
            sleep(100)
        finally:
            raise KeyError

    with pytest.raises(ExceptionGroup):
        with timeout(2), Group() as group:
            group.spawn(clean_up)


def test_time_limits_around_it_do_not_shorten_clean_up_for_good(clock):
    def clean_up():
        try:
            sleep(100)
        finally:
            with shield():
                sleep(10)
                done.append(clock.time())

    done = []
    with timeout(1, quiet=True) as outer, timeout(2, quiet=True), Group() as group:
        group.spawn(clean_up)
    assert done == [11]
    assert outer.expired


def test_a_limit_inside_a_tasklet_is_its_own():
    def work():
        with timeout(1, quiet=True) as scope:
            sleep(100)
        return scope.expired

    with Group() as group:
        tasklet = group.spawn(work)
    assert tasklet.result() is True


def test_groups_nest(clock):
    def inner():
        with Group() as group:
            group.spawn(sleep, 100)
            group.spawn(fail, 1, ValueError())

    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        group.spawn(inner)
        other = group.spawn(sleep, 100)
    (inside,) = caught.value.exceptions
    assert isinstance(inside, ExceptionGroup)
    assert [type(error) for error in inside.exceptions] == [ValueError]
    assert isinstance(other._error, Cancelled)
    assert clock.time() == 1


def test_cancelling_the_outer_group_ends_the_inner_one():
    def inner():
        with Group() as group:
            innermost.append(group.spawn(sleep, 100))

    innermost: list = []
    with Group() as group:
        group.spawn(inner)
        schedule()
        group.cancel()
    assert isinstance(innermost[0]._error, Cancelled)


def test_killing_who_waits_at_the_end_kills_the_tasklets():
    def parent():
        with Group() as group:
            children.append(group.spawn(stubborn))

    def stubborn():
        with shield():
            sleep(100)

    children: list = []
    tasklet = spawn(parent)
    schedule()
    schedule()
    tasklet.kill()
    assert isinstance(tasklet._error, TaskletExit)
    assert isinstance(children[0]._error, TaskletExit)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_tasklet_is_raised_by_itself(kind):
    with pytest.raises(kind) as caught, Group() as group:
        group.spawn(fail, 1, kind())
        other = group.spawn(sleep, 100)
    assert isinstance(other._error, Cancelled)
    assert caught.value.__cause__ is None


def test_an_interrupt_does_not_hide_failures():
    with pytest.raises(KeyboardInterrupt) as caught, Group() as group:
        group.spawn(fail, 1, ValueError())
        group.spawn(fail, 1, KeyboardInterrupt())
    assert isinstance(caught.value.__cause__, ExceptionGroup)


def test_an_interrupt_while_it_waits_cancels_and_is_raised():
    def interrupt():
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), Group() as group:
        group.spawn(interrupt)
        other = group.spawn(sleep, 100)
    assert isinstance(other._error, Cancelled)


DEADLOCK = """from ringlet import Cancelled, Channel, Deadlock, Group

try:
    with Group() as group:
        work = group.spawn(Channel().receive)
except* Deadlock as caught:
    (error,) = caught.exceptions
    assert "<group" in str(error), error
assert isinstance(work._error, Cancelled)
"""


def test_a_deadlock_in_a_group_is_told_and_leaves_nobody_behind():
    run_isolated(DEADLOCK)


def test_a_body_that_cleans_up_while_an_outer_limit_comes(clock):
    with pytest.raises(Timeout) as caught:
        with timeout(2) as outer, Group() as group:
            group.spawn(sleep, 100)
            try:
                sleep(100)
            finally:
                group.cancel()
                sleep(1)
    assert caught.value.scope is outer


def test_a_group_in_a_generator():
    @generator
    def numbers():
        with Group() as group:
            for number in range(3):
                yield_(group.spawn(int, number).result())
            children.append(group.spawn(sleep, 1))

    children: list = []
    assert list(numbers()) == [0, 1, 2]
    assert children[0].finished


def test_a_generator_that_is_dropped_ends_its_group():
    @generator
    def numbers():
        with Group() as group:
            children.append(group.spawn(sleep, 100))
            yield_(1)

    children: list = []
    for _ in numbers():
        break
    gc.collect()
    schedule()
    assert children[0].finished


def test_the_limit_holds_spawn_up(clock):
    def work():
        running.append(1)
        most.append(len(running))
        sleep(1)
        running.pop()

    running: list = []
    most: list = []
    with Group(limit=2) as group:
        for _ in range(5):
            group.spawn(work)
            assert len(group) <= 2
    assert max(most) == 2
    assert clock.time() == 3


def test_who_waits_in_spawn_can_be_cancelled():
    with Group(limit=1) as group:
        group.spawn(sleep, 100)
        with timeout(1, quiet=True) as scope:
            group.spawn(sleep, 1)
        assert scope.expired
        group.cancel()


def test_who_is_cancelled_as_there_is_room_lets_the_next_one_in(clock):
    def start(name):
        group.spawn(done.append, name)

    done = []
    with Group(limit=1) as group:
        blocker = group.spawn(Channel().receive)
        first, second = spawn(start, "first"), spawn(start, "second")
        schedule()
        blocker.kill(wait=False)
        schedule()
        assert first.state == "ready"
        first.throw(LookupError())
        with pytest.raises(LookupError):
            first.result()
        second.join()
    assert done == ["second"]


def strangers(group, function, count):
    """Tasklets of no group that wait for room in this one, and what became of them."""

    def start():
        try:
            ends.append(group.spawn(function).state)
        except (TypeError, TaskletError) as error:
            ends.append(type(error))

    ends: list = []
    return [spawn(start) for _ in range(count)], ends


def test_all_who_wait_for_room_go_on_when_the_group_is_cancelled():
    with Group(limit=1) as group:
        group.spawn(sleep, 100)
        waiting, ends = strangers(group, schedule, 3)
        schedule()
        group.cancel()
    ringlet.wait(waiting)
    assert ends == ["finished"] * 3


def test_all_who_wait_for_room_are_refused_when_the_block_is_left():
    with Group(limit=1) as group:
        member = group.spawn(schedule)
        waiting, ends = strangers(group, schedule, 3)
        while not member.finished:
            schedule()
    ringlet.wait(waiting)
    assert ends == [TaskletError] * 3


def test_who_cannot_use_the_room_leaves_it_to_the_next_one():
    with Group(limit=1) as group:
        group.spawn(schedule)
        waiting, ends = strangers(group, None, 3)
        ringlet.wait(waiting)
    assert ends == [TypeError] * 3


@pytest.mark.parametrize("limit", [0, -1, 1.5, "2"])
def test_what_is_no_limit_is_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        Group(limit)


def test_outside_of_its_block_nothing_can_be_spawned():
    group = Group()
    with pytest.raises(TaskletError, match="outside"):
        group.spawn(int)
    with group:
        pass
    with pytest.raises(TaskletError, match="outside"):
        group.spawn(int)
    with pytest.raises(TaskletError, match="twice"), group:
        pass


def test_other_threads_cannot_spawn():
    def elsewhere():
        with pytest.raises(TaskletError, match="thread"):
            group.spawn(int)
        refused.append(True)

    refused = []
    with Group() as group:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert refused == [True]


def double(x):
    sleep(10 - x)
    return 2 * x


@pytest.mark.parametrize("limit", [None, 1, 3])
def test_map_and_its_kind(limit):
    with Group(limit) as group:
        assert group.map(double, range(5)) == [0, 2, 4, 6, 8]
        assert group.map(lambda x, y: x + y, [1, 2], [10, 20, 30]) == [11, 22]
        assert list(group.imap(double, range(5))) == [0, 2, 4, 6, 8]
        assert sorted(group.imap_unordered(double, range(5))) == [0, 2, 4, 6, 8]
        assert list(group.imap(double, [])) == []


def test_unordered_results_come_as_they_are_there():
    with Group() as group:
        assert list(group.imap_unordered(double, range(5))) == [8, 6, 4, 2, 0]


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_inputs_are_taken_as_results_are_asked_for(method):
    def numbers():
        for number in range(1000):
            taken.append(number)
            yield number

    taken: list = []
    with Group(limit=3) as group:
        results = getattr(group, method)(double, numbers())
        assert taken == []
        next(results)
        assert len(taken) == 3
        next(results)
        assert len(taken) == 4
        group.cancel()
        results.close()


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_those_killed_before_they_began_have_ended_too(method):
    with Group() as group:
        spawn(group.kill)
        with pytest.raises(TaskletExit):
            list(getattr(group, method)(double, range(3)))


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_in_a_cancelled_group_they_have_ended_too(method):
    with Group() as group:
        group.cancel()
        with shield(), pytest.raises(Cancelled):
            list(getattr(group, method)(double, range(3)))


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_a_failure_in_one_of_them(method):
    def work(x):
        sleep(x)
        return 1 // (x - 2)

    with pytest.raises(ExceptionGroup) as caught, Group() as group:
        list(getattr(group, method)(work, range(5)))
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
    assert len(tasklets()) == 1


def test_it_says_what_it_is():
    group = Group(limit=4)
    assert "0 tasklets, limit 4>" in repr(group)
    with group:
        group.spawn(int)
        assert "1 tasklets" in repr(group)
        group.cancel()
    assert "cancelled" in repr(group)


def test_nothing_holds_on_to_what_has_ended():
    with Group() as group:
        tasklet = group.spawn(int)
    gone = weakref.ref(group)
    del group
    gc.collect()
    assert gone() is None
    assert tasklet.result() == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(0, 3)), max_size=6),
    st.integers(1, 9),
    st.sampled_from([None, 1, 2]),
)
def test_whatever_happens_nobody_is_left_and_the_end_is_what_it_should_be(work, seconds, limit):
    def run(seconds, fails, clean_up):
        try:
            sleep(seconds)
            if fails:
                raise LookupError
        finally:
            sleep(clean_up)

    outcome = None
    began: list = []
    with timeout(seconds, quiet=True) as scope:
        try:
            with Group(limit) as group:
                began.extend(group.spawn(run, *each) for each in work)
        except ExceptionGroup as errors:
            outcome = errors
    assert all(tasklet.finished for tasklet in began)
    assert len(tasklets()) == 1
    failed = [tasklet for tasklet in began if isinstance(tasklet._error, LookupError)]
    assert (outcome is not None) == bool(failed)
    if outcome is not None:
        assert set(outcome.exceptions) == {tasklet._error for tasklet in failed}
    if not failed and not scope.expired:
        assert all(tasklet._error is None for tasklet in began)
    assert current().state == "running"
    sleep(20)

"""What may run in the middle of the scheduler's work: finalizers, hooks, tracers, raw greenlets."""

import weakref

import pytest

import ringlet
from ringlet import GreenletError, TaskletError, _core, getcurrent, greenlet
from ringlet._core import park, schedule, spawn, throw, wake


class Fault(Exception):
    """What these tests throw."""


def logging(log, name, rounds):
    for number in range(rounds):
        log.append(f"{name}{number}")
        schedule()


def parker(log, name, waiting_on=None, unlink=None):
    """Park once, and write down how that ended."""
    try:
        log.append((name, park(waiting_on, unlink)))
    except BaseException as error:
        log.append((name, type(error).__name__))


def settle():
    """Let everybody ready run until nobody is."""
    for _ in range(4):
        schedule()


def test_nobody_starves_beside_one_that_wakes_itself_again_and_again():
    log = []

    def spawner(left):
        log.append(left)
        if left:
            spawn(spawner, left - 1)

    spawn(spawner, 3)
    spawn(logging, log, "other", 3)
    settle()
    assert log == [3, "other0", 2, "other1", 1, "other2", 0]


def test_unlink_may_wake_kill_and_spawn():
    log = []

    def unlink():
        assert wake(tasklet, "again") is False
        wake(other, "by unlink")
        spawn(log.append, "spawned")

    other = spawn(parker, log, "other")
    tasklet = spawn(parker, log, "t", "queue", unlink)
    schedule()
    throw(tasklet, Fault())
    schedule()
    assert sorted(map(str, log)) == ["('other', 'by unlink')", "('t', 'Fault')", "spawned"]


def test_unlink_may_let_others_run():
    log = []

    def unlink():
        schedule()
        schedule()
        log.append("unlinked")

    tasklet = spawn(parker, log, "t", "queue", unlink)
    schedule()
    throw(tasklet, Fault())
    assert log == [("t", "Fault"), "unlinked"]
    assert tasklet.finished


def test_an_exception_is_raised_in_the_raw_greenlet_that_parked():
    log = []

    def inner():
        try:
            park()
        except Fault:
            log.append("inner")
            raise

    def body():
        try:
            greenlet(inner).switch()
        except Fault:
            log.append("outer")

    tasklet = spawn(body)
    schedule()
    throw(tasklet, Fault())
    schedule()
    assert log == ["inner", "outer"]


def test_a_raw_greenlet_whose_parent_is_parked_comes_back_to_the_tasklet_that_entered_it():
    log = []
    raw = greenlet(lambda: "lost")  # its parent is the main greenlet

    def body():
        with pytest.raises(GreenletError, match="parked in a blocking call"):
            raw.switch()
        log.append(True)

    tasklet = spawn(body)
    tasklet.join()  # parks main, so that the parent cannot be switched to
    assert log == [True]
    assert raw.dead


def test_a_suspended_raw_greenlet_of_a_tasklet_can_be_gone_on_with_in_another_one():
    log = []

    def inner():
        log.append(_core.current().name)
        getcurrent().parent.switch()
        log.append(_core.current().name)

    raw = greenlet(inner)

    def body():
        raw.parent = getcurrent()
        raw.switch()

    for name in ("one", "two"):
        ringlet.Tasklet(body, name=name).start()
    settle()
    assert log == ["one", "two"]
    assert raw.dead


def test_weak_reference_callbacks_may_let_others_run():
    log = []
    tasklet = spawn(schedule)
    watch = weakref.ref(tasklet, lambda _: (schedule(), log.append("gone")))
    del tasklet
    other = spawn(logging, log, "other", 4)
    other.join()
    assert sorted(log) == ["gone", "other0", "other1", "other2", "other3"]
    assert watch() is None


def test_finalizers_may_park():
    log = []

    class Parking:
        def __del__(self):
            log.append(park("in a finalizer"))

    tasklet = spawn(lambda: Parking() and None)
    schedule()
    assert tasklet.waiting_on == "in a finalizer"
    wake(tasklet, 1)
    schedule()
    assert log == [1]


def in_hub(f):
    """Call f in the hub; what it returned or raised."""
    outcome = []

    def call():
        try:
            outcome.append(f())
        except BaseException as error:
            outcome.append(error)
        wake(me)

    me = _core.current()
    _core.hub().call_soon(call)
    park("the hub")
    return outcome[0]


def test_nothing_blocks_in_the_hub():
    unlinked = []
    error = in_hub(lambda: park("what", lambda: unlinked.append(1)))
    assert isinstance(error, TaskletError)
    assert str(error).startswith("cannot wait for 'what' in the hub: ")
    assert unlinked == [1]
    error = in_hub(park)
    assert isinstance(error, TaskletError)
    assert str(error).startswith("cannot block in the hub: ")


def test_spawning_and_waking_in_the_hub_is_allowed():
    log = []
    sleeper = spawn(parker, log, "sleeper")
    schedule()
    spawned = in_hub(lambda: (wake(sleeper, 1), spawn(log.append, "spawned"))[1])
    spawned.join()
    assert log == [("sleeper", 1), "spawned"]


def test_the_hub_cannot_be_thrown_at_or_woken():
    hub = in_hub(_core.current)
    assert throw(hub, Fault()) is False
    assert wake(hub) is False


def test_a_raw_greenlet_made_in_the_hub_does_not_come_back_to_it_from_a_tasklet():
    raw = in_hub(lambda: greenlet(lambda: 1 / 0))
    with pytest.raises((ZeroDivisionError, GreenletError)):
        raw.switch()
    assert in_hub(lambda: 1) == 1


@pytest.mark.parametrize("kind", [ringlet.GreenletExit, SystemExit, KeyboardInterrupt])
def test_what_ends_programs_does_not_end_the_hub(kind):
    calls = []

    def call():
        calls.append(1)
        raise kind

    _core.hub().call_soon(call)
    with pytest.raises(kind):
        park("the end")
    assert in_hub(lambda: 1) == 1
    assert calls == [1]


def test_the_greenlet_tracer_sees_tasklets_switch():
    events = []
    tasklet = spawn(schedule)
    before = ringlet.settrace(lambda event, args: events.append((event, args)))
    try:
        schedule()
    finally:
        ringlet.settrace(before)
    main, own = getcurrent(), tasklet.greenlet
    assert events[:2] == [("switch", (main, own)), ("switch", (own, main))]
    settle()


def test_a_tracer_that_raises_breaks_only_the_switch_it_saw():
    tasklet = spawn(schedule)

    def tracer(_event, args):
        if args[1] is main:
            raise Fault

    main = getcurrent()
    ringlet.settrace(tracer)
    with pytest.raises(Fault):
        schedule()
    assert ringlet.gettrace() is None
    settle()
    assert tasklet.finished
    assert in_hub(lambda: 1) == 1


def test_a_tracer_that_raises_in_the_hub_or_a_new_tasklet_does_not_end_the_scheduler():
    in_hub(lambda: 1)
    log = []

    def tracer(_event, args):
        if args[1] is not main:
            raise Fault

    main = getcurrent()
    sleeper = spawn(parker, log, "sleeper")
    schedule()
    ringlet.settrace(tracer)
    wake(sleeper, 1)
    settle()
    assert log == [("sleeper", "Fault")]
    assert in_hub(lambda: 1) == 1

"""The scheduler model: one round, `current` a member of it, who runs when."""

import gc

import pytest

from ringlet import sleep, spawn
from ringlet.compat import stackless
from ringlet.compat.stackless import schedule, schedule_remove, tasklet


def noting(log, word, turns=1):
    for turn in range(turns):
        log.append((word, turn))
        schedule()


def test_a_called_tasklet_does_not_run_until_the_caller_gives_way(log):
    tasklet(log.append)(1)
    assert log == []
    schedule()
    assert log == [1]


def test_tasklets_run_in_the_order_they_were_inserted(log):
    for number in range(4):
        tasklet(log.append)(number)
    stackless.run()
    assert log == [0, 1, 2, 3]


def test_insert_puts_at_the_end_of_the_round(log):
    def inserting():
        log.append("inserting")
        tasklet(log.append)("inserted")

    tasklet(inserting)()
    tasklet(log.append)("second")
    stackless.run()
    assert log == ["inserting", "second", "inserted"]


def test_schedule_puts_the_current_one_at_the_end_of_the_round(log):
    tasklet(noting)(log, "a", 2)
    tasklet(noting)(log, "b", 2)
    stackless.run()
    assert log == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_schedule_returns_its_argument():
    assert schedule("value") == "value"
    assert schedule(retval=None) is None


def test_schedule_returns_the_current_tasklet_without_an_argument():
    assert schedule() is stackless.getcurrent()


def test_schedule_returns_what_others_have_put_into_tempval():
    main = stackless.getcurrent()
    tasklet(setattr)(main, "tempval", 5)
    assert schedule(1) == 5


def test_a_bomb_in_tempval_explodes():
    main = stackless.getcurrent()
    tasklet(setattr)(main, "tempval", stackless.bomb(KeyError, KeyError("x"), None))
    with pytest.raises(KeyError, match="x"):
        schedule()


def test_schedule_remove_leaves_the_round_until_somebody_inserts(log):
    def body():
        log.append("leaves")
        log.append(schedule_remove("value"))

    t = tasklet(body)()
    stackless.run()
    assert log == ["leaves"]
    assert t.paused
    t.insert()
    stackless.run()
    assert log == ["leaves", "value"]
    assert not t.alive


def test_schedule_remove_returns_tempval_which_others_may_overwrite(log):
    t = tasklet(lambda: log.append(schedule_remove(retval=1)))()
    stackless.run()
    assert t.tempval == 1
    t.tempval = 2
    t.insert()
    stackless.run()
    assert log == [2]


def test_schedule_remove_returns_the_current_tasklet_without_an_argument(log):
    t = tasklet(lambda: log.append(schedule_remove()))()
    stackless.run()
    t.insert()
    stackless.run()
    assert log == [t]


def test_runcount_includes_the_current_one():
    assert stackless.getruncount() == 1
    tasklet(schedule)()
    tasklet(schedule)()
    assert stackless.getruncount() == 3
    stackless.run()
    assert stackless.getruncount() == 1


def test_runcount_leaves_out_the_paused_and_the_blocked():
    tasklet(schedule_remove)()
    tasklet(stackless.channel().receive)()
    tasklet().bind(print, ())
    assert stackless.getruncount() == 3
    schedule()
    assert stackless.getruncount() == 1


def test_current_is_a_member_of_the_round():
    main = stackless.getcurrent()
    assert main.next is main
    assert main.prev is main
    a, b = tasklet(schedule)(), tasklet(schedule)()
    assert (main.next, a.next, b.next) == (a, b, main)
    assert (main.prev, a.prev, b.prev) == (b, main, a)
    stackless.run()
    assert a.next is a.prev is None


def test_getmain_is_the_ordinary_program(log):
    main = stackless.getcurrent()
    assert main is stackless.getmain()
    assert main.is_main
    tasklet(lambda: log.append((stackless.getmain(), stackless.getcurrent())))()
    stackless.run()
    assert log[0][0] is main
    assert log[0][1] is not main


def test_getcurrentid_is_the_threads_for_main_and_the_objects_otherwise(log):
    assert stackless.getcurrentid() == stackless.getmain().thread_id
    t = tasklet(lambda: log.append(stackless.getcurrentid()))()
    stackless.run()
    assert log == [id(t)]


def test_discarding_a_tasklet_is_fine_for_the_round_holds_it(log):
    tasklet(log.append)(1)
    gc.collect()
    stackless.run()
    assert log == [1]


# ---- run() ---------------------------------------------------------------------------------


def test_run_returns_none_once_nothing_is_left_to_run(log):
    tasklet(noting)(log, "a", 3)
    assert stackless.run() is None
    assert len(log) == 3


def test_run_with_nothing_to_run_returns_at_once():
    assert stackless.run() is None


def test_the_caller_of_run_is_out_of_the_round_and_paused(log):
    main = stackless.getmain()
    tasklet(lambda: log.append((main.paused, main.scheduled, stackless.getruncount())))()
    stackless.run()
    assert log == [(True, False, 1)]


def test_run_does_not_wait_for_the_blocked():
    t = tasklet(stackless.channel().receive)()
    stackless.run()
    assert t.blocked


def test_run_may_be_called_from_any_tasklet_and_the_innermost_returns_when_the_round_is_empty(log):
    def inner():
        tasklet(noting)(log, "inner", 2)
        stackless.run()
        log.append("inner run() returned")

    tasklet(inner)()
    stackless.run()
    log.append("outer run() returned")
    assert log == [
        ("inner", 0),
        ("inner", 1),
        "inner run() returned",
        "outer run() returned",
    ]


def test_run_waits_for_timers_for_they_make_something_ready(log):
    def body():
        sleep(0.001)
        log.append("slept")

    tasklet(body)()
    stackless.run()
    assert log == ["slept"]


def test_inserting_the_caller_of_run_ends_it(log):
    main = stackless.getmain()

    def body():
        main.insert()
        schedule()
        log.append("goes on")

    t = tasklet(body)()
    stackless.run()
    assert t.alive
    assert log == []
    stackless.run()
    assert log == ["goes on"]


def test_ringlets_own_tasklets_are_in_the_same_round(log):
    tasklet(log.append)("stackless")
    native = spawn(lambda: log.append(stackless.getcurrent()))
    tasklet(log.append)("stackless")
    assert stackless.getruncount() == 4
    stackless.run()
    assert log[0] == log[2] == "stackless"
    assert native.finished
    assert isinstance(log[1], tasklet)
    assert not log[1].alive


def test_one_tasklet_stands_for_one_of_ringlets(log):
    def body():
        log.append(stackless.getcurrent())
        schedule()
        log.append(stackless.getcurrent())

    spawn(body)
    stackless.run()
    assert log[0] is log[1]

"""What a tasklet's methods do: bind, setup, insert, remove, run, switch."""

import re
import weakref

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, schedule_remove, tasklet


def raises(text):
    return pytest.raises(RuntimeError, match=f"^{re.escape(text)}$")


# ---- bind ------------------------------------------------------------------------------------


def test_a_tasklet_without_arguments_is_not_runnable():
    t = tasklet(print)
    assert not t.alive
    assert not t.scheduled
    with raises("You cannot run an unbound(dead) tasklet"):
        t.insert()


def test_bind_returns_the_tasklet():
    t = tasklet()
    assert t.bind(print) is t


def test_bind_with_arguments_makes_it_alive_and_paused_and_not_inserted(log):
    t = tasklet().bind(log.append, (1,))
    assert t.alive
    assert t.paused
    assert not t.scheduled
    stackless.run()
    assert log == []
    t.insert()
    stackless.run()
    assert log == [1]


def test_the_constructor_binds(log):
    tasklet(log.append, (1,)).insert()
    tasklet(lambda **kwargs: log.append(kwargs), (), {"x": 2}).insert()
    tasklet(func=lambda: log.append(3), kwargs={}).insert()
    stackless.run()
    assert log == [1, {"x": 2}, 3]


def test_bind_of_nothing_unbinds():
    t = tasklet(print, ())
    assert t.alive
    t.bind(None)
    assert not t.alive
    with raises("the tasklet was not bound to a function"):
        t()


def test_only_callables_can_be_bound():
    with pytest.raises(TypeError, match=r"^tasklet function must be a callable or None$"):
        tasklet(1)


def test_arguments_without_a_function_need_one_bound_before(log):
    t = tasklet(log.append)
    t.bind(None, (1,))
    t.insert()
    stackless.run()
    assert log == [1]
    with raises("the tasklet was not bound to a function"):
        tasklet().bind(None, ())


def test_the_current_tasklet_cannot_be_bound(log):
    def body():
        with raises("can't (re)bind the current tasklet"):
            stackless.getcurrent().bind(print)
        log.append("refused")

    tasklet(body)()
    stackless.run()
    assert log == ["refused"]


def test_a_scheduled_tasklet_cannot_be_bound():
    t = tasklet(schedule)()
    with raises("tasklet is scheduled"):
        t.bind(print)


def test_a_blocked_tasklet_cannot_be_bound():
    t = tasklet(channel().receive)()
    stackless.run()
    with raises("tasklet is scheduled"):
        t.bind(print)


def test_one_that_has_begun_cannot_be_bound_for_its_stack_is_cs():
    t = tasklet(schedule_remove)()
    stackless.run()
    with raises("tasklet has C state on its stack"):
        t.bind(print)
    with raises("tasklet has C state on its stack"):
        t.bind(None)


def test_the_main_tasklet_cannot_be_unbound():
    with raises("can't unbind the main tasklet"):
        stackless.getmain().bind(None)


def test_one_that_was_removed_before_it_ran_can_be_bound_again(log):
    t = tasklet(log.append)(1)
    t.remove()
    t.bind(log.append, (2,))
    assert t.paused
    t.insert()
    stackless.run()
    assert log == [2]


def test_a_dead_tasklet_can_be_bound_again(log):
    t = tasklet(log.append)(1)
    stackless.run()
    t.bind(log.append)(2)
    stackless.run()
    assert log == [1, 2]


# ---- setup -----------------------------------------------------------------------------------


def test_calling_gives_the_arguments_inserts_and_returns_the_tasklet(log):
    t = tasklet(lambda *args, **kwargs: log.append((args, kwargs)))
    assert t(1, x=2) is t
    assert t.scheduled
    stackless.run()
    assert log == [((1,), {"x": 2})]


def test_setup_is_the_same_as_calling(log):
    assert tasklet(log.append).setup(1).scheduled
    stackless.run()
    assert log == [1]


def test_setup_of_one_that_is_alive():
    with raises("tasklet is alive"):
        tasklet(print, ())()


def test_setup_of_one_that_is_not_bound():
    with raises("the tasklet was not bound to a function"):
        tasklet()()


# ---- insert, remove --------------------------------------------------------------------------


def test_insert_does_nothing_if_it_is_scheduled(log):
    t = tasklet(log.append)(1)
    other = tasklet(log.append)(2)
    assert t.insert() is t
    assert stackless.getmain().insert() is stackless.getmain()
    assert (t.next, stackless.getruncount()) == (other, 3)
    stackless.run()


def test_insert_of_a_blocked_tasklet():
    t = tasklet(channel().receive)()
    stackless.run()
    with raises("You cannot run a blocked tasklet"):
        t.insert()


def test_insert_of_a_dead_tasklet():
    t = tasklet(int)()
    stackless.run()
    with raises("You cannot run an unbound(dead) tasklet"):
        t.insert()


def test_remove_pauses_until_insert(log):
    t = tasklet(log.append)(1)
    assert t.remove() is t
    assert t.paused
    stackless.run()
    assert log == []
    t.insert()
    stackless.run()
    assert log == [1]


def test_remove_of_one_that_has_begun_pauses_it_where_it_is(log):
    def body():
        log.append("before")
        log.append(schedule("value"))

    t = tasklet(body)()
    schedule()
    t.remove()
    stackless.run()
    assert log == ["before"]
    assert t.paused
    t.insert()
    stackless.run()
    assert log == ["before", "value"]


def test_remove_keeps_what_the_tasklet_was_given_meanwhile(log):
    c = channel()
    c.preference = 0
    t = tasklet(lambda: log.append(c.receive()))()
    stackless.run()
    c.send("parcel")
    t.remove()
    stackless.run()
    assert log == []
    t.insert()
    stackless.run()
    assert log == ["parcel"]


def test_remove_does_nothing_if_it_is_not_scheduled():
    t = tasklet(print, ())
    assert t.remove() is t
    assert tasklet().remove().alive is False


def test_remove_of_a_blocked_tasklet():
    t = tasklet(channel().receive)()
    stackless.run()
    with raises("You cannot remove a blocked tasklet."):
        t.remove()


def test_remove_of_the_current_tasklet():
    with raises("The current tasklet cannot be removed."):
        stackless.getcurrent().remove()


# ---- run, switch -----------------------------------------------------------------------------


def test_run_runs_it_at_once_and_the_caller_after_the_rest_of_the_round(log):
    tasklet(log.append)("second")
    t = tasklet(log.append)("first")
    t.run()
    log.append("caller")
    assert log == ["first", "second", "caller"]


def test_run_inserts_a_paused_tasklet(log):
    t = tasklet(log.append, (1,))
    t.run()
    assert log == [1]


def test_run_of_the_current_tasklet_does_nothing(log):
    tasklet(log.append)(1)
    stackless.getcurrent().run()
    assert log == []
    stackless.run()


def test_run_of_a_blocked_tasklet():
    t = tasklet(channel().receive)()
    stackless.run()
    with raises("You cannot run a blocked tasklet"):
        t.run()


def test_run_of_a_dead_tasklet():
    with raises("You cannot run an unbound(dead) tasklet"):
        tasklet().run()


def test_switch_runs_it_at_once_and_pauses_the_caller(log):
    main = stackless.getmain()

    def body():
        log.append(main.paused)
        main.insert()

    t = tasklet(body, ())
    t.switch()
    assert log == [True]


def test_two_tasklets_can_switch_to_each_other(log):
    main = stackless.getmain()

    def body():
        for number in range(3):
            log.append(number)
            main.switch()

    t = tasklet(body, ())
    for _ in range(3):
        t.switch()
        log.append("main")
        assert stackless.getruncount() == 1
        assert t.paused
    assert log == [0, "main", 1, "main", 2, "main"]


def test_switch_to_a_blocked_tasklet():
    t = tasklet(channel().receive)()
    stackless.run()
    with raises("You cannot run a blocked tasklet"):
        t.switch()
    assert stackless.getmain().scheduled


def test_switch_to_the_current_tasklet_does_nothing():
    stackless.getcurrent().switch()
    assert stackless.getcurrent().scheduled


# ---- The object ------------------------------------------------------------------------------


def test_tasklets_can_be_subclassed(log):
    class Actor(tasklet):
        def __init__(self, name):
            super().__init__(self.act)
            self.name = name

        def act(self, word):
            log.append((self.name, word, stackless.getcurrent() is self))

    Actor("ada")("hello")
    stackless.run()
    assert log == [("ada", "hello", True)]


def test_a_subclass_may_leave_the_constructor_out(log):
    class Plain(tasklet):
        def __init__(self):
            pass

    Plain().bind(log.append)(1)
    stackless.run()
    assert log == [1]


def test_tasklets_can_be_weakly_referenced(log):
    t = tasklet(log.append)(1)
    reference = weakref.ref(t)
    assert reference() is t
    stackless.run()
    del t
    assert reference() is None


def test_the_round_keeps_a_tasklet_alive(log):
    reference = weakref.ref(tasklet(log.append)(1))
    assert reference() is not None
    stackless.run()
    assert reference() is None

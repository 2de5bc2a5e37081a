"""What can be seen of a tasklet in each of its states."""

import contextvars
import copy
import pickle
import sys
import threading

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, schedule_remove, tasklet

NAMES = ("alive", "paused", "blocked", "scheduled", "restorable", "is_current", "is_main")


def traits(t):
    return {name for name in NAMES if getattr(t, name)}


def test_unbound():
    assert traits(tasklet()) == {"restorable"}


def test_bound_with_arguments():
    assert traits(tasklet(print, ())) == {"alive", "paused", "restorable"}


def test_inserted():
    assert traits(tasklet(schedule)()) == {"alive", "scheduled", "restorable"}


def test_begun_and_waiting_for_its_turn():
    t = tasklet(schedule)()
    schedule()
    assert traits(t) == {"alive", "scheduled"}


def test_blocked_is_scheduled_too():
    t = tasklet(channel().receive)()
    stackless.run()
    assert traits(t) == {"alive", "scheduled", "blocked"}


def test_removed_by_itself():
    t = tasklet(schedule_remove)()
    stackless.run()
    assert traits(t) == {"alive", "paused"}


def test_dead():
    t = tasklet(int)()
    stackless.run()
    assert traits(t) == {"restorable"}


def test_running(log):
    t = tasklet(lambda: log.append(traits(stackless.getcurrent())))()
    stackless.run()
    assert log == [{"alive", "scheduled", "is_current"}]
    assert not t.is_current


def test_main():
    assert traits(stackless.getmain()) == {"alive", "scheduled", "is_current", "is_main"}


def test_nesting_level_is_zero_as_long_as_nothing_of_it_is_on_a_stack():
    t = tasklet(schedule)()
    assert t.nesting_level == 0
    schedule()
    assert t.nesting_level > 0
    stackless.run()
    assert t.nesting_level == 0


def test_frame_is_the_programs_innermost():
    def body():
        schedule_remove()

    t = tasklet(body)()
    assert t.frame is None
    stackless.run()
    assert t.frame.f_code is body.__code__
    assert t.recursion_depth == 1
    assert stackless.getcurrent().frame is sys._getframe()
    t.kill()
    assert t.frame is None
    assert t.recursion_depth == 0


def test_recursion_depth_counts_frames(log):
    def body(depth):
        if depth:
            body(depth - 1)
        else:
            log.append(stackless.getcurrent().recursion_depth)

    tasklet(body)(9)
    stackless.run()
    assert log == [10]


def test_thread_id_is_that_of_its_thread():
    assert tasklet().thread_id == stackless.getmain().thread_id == threading.get_ident()


def test_channel_is_what_it_is_blocked_on():
    c = channel()
    t = tasklet(c.receive)()
    assert t._channel is None
    stackless.run()
    assert t._channel is c


def test_next_and_prev_of_blocked_ones_are_in_the_queue_of_the_channel():
    c = channel()
    a, b = tasklet(c.receive)(), tasklet(c.receive)()
    stackless.run()
    assert (a.next, b.next) == (b, None)
    assert (a.prev, b.prev) == (None, a)


def test_tempval_of_a_blocked_sender_is_what_it_sends():
    c = channel()
    t = tasklet(c.send)("value")
    stackless.run()
    assert t.tempval == "value"


def test_flags_can_be_set_and_the_setters_return_the_old_ones():
    t = tasklet()
    assert (t.atomic, t.ignore_nesting, t.block_trap) == (False, False, False)
    assert t.set_atomic(1) is False
    assert t.set_atomic(1) is True
    assert t.set_ignore_nesting(1) is False
    t.block_trap = 1
    assert (t.atomic, t.ignore_nesting, t.block_trap) == (True, True, True)


def test_atomic_is_not_inherited(log):
    with stackless.atomic():
        t = tasklet(print)
    assert not t.atomic


def test_the_block_with_atomic_puts_back_what_was():
    me = stackless.getcurrent()
    with stackless.atomic():
        assert me.atomic
        with stackless.atomic():
            assert me.atomic
        assert me.atomic
    assert not me.atomic


def test_the_trace_function_of_the_current_tasklet_is_the_threads():
    me = stackless.getcurrent()
    before = sys.gettrace()
    assert me.trace_function is before
    me.trace_function = before
    with pytest.raises(RuntimeError, match="trace_function can be set for the current tasklet"):
        tasklet().trace_function = None
    with pytest.raises(RuntimeError, match="profile_function can be set for the current tasklet"):
        tasklet().profile_function = None


# ---- Contexts --------------------------------------------------------------------------------

variable = contextvars.ContextVar("variable", default="nothing")


def test_a_tasklet_shares_the_context_of_its_creator():
    def set_it():
        variable.set("from the tasklet")

    def program():
        tasklet(set_it)()
        stackless.run()
        assert variable.get() == "from the tasklet"

    contextvars.Context().run(program)
    assert variable.get() == "nothing"


def test_set_context_gives_it_another_one(log):
    mine = contextvars.copy_context()
    mine.run(variable.set, "mine")
    t = tasklet(lambda: log.append(variable.get()))
    assert t.set_context(mine) is t
    assert t.context_id == id(mine)
    t()
    stackless.run()
    assert log == ["mine"]
    assert variable.get() == "nothing"


def test_set_context_of_one_that_has_begun(log):
    mine = contextvars.copy_context()
    mine.run(variable.set, "mine")

    def body():
        schedule_remove()
        log.append(variable.get())

    t = tasklet(body)()
    stackless.run()
    t.set_context(mine)
    t.insert()
    stackless.run()
    assert log == ["mine"]


def test_set_context_wants_a_context():
    with pytest.raises(TypeError, match=r"must be contextvars.Context"):
        tasklet().set_context({})


def test_context_run_calls_a_function_in_the_context_of_the_tasklet():
    t = tasklet(schedule_remove).set_context(contextvars.copy_context())
    t.context_run(variable.set, "its own")
    assert variable.get() == "nothing"
    assert t.context_run(variable.get) == "its own"
    assert stackless.getcurrent().context_run(variable.get) == "nothing"


# ---- Pickling --------------------------------------------------------------------------------


def test_one_that_has_not_begun_can_be_pickled():
    t = pickle.loads(pickle.dumps(tasklet(int, ("7",))))
    assert t.paused
    t.insert()
    stackless.run()
    assert not t.alive
    assert copy.copy(tasklet()).alive is False


def test_the_current_one_cannot_be_pickled():
    with pytest.raises(RuntimeError, match="You cannot __reduce__ the tasklet which is current"):
        pickle.dumps(stackless.getcurrent())


def test_one_that_has_begun_cannot_be_pickled():
    t = tasklet(schedule_remove)()
    stackless.run()
    with pytest.raises(RuntimeError, match=r"cannot pickle <tasklet at .*, paused>: it has begun"):
        pickle.dumps(t)


def test_setstate_of_one_that_is_alive():
    with pytest.raises(RuntimeError, match=r"^tasklet is alive$"):
        tasklet(print, ()).__setstate__((None, None, None))

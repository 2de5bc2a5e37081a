"""The ring itself: whose turn it is, parking, waking, and what must not break it."""

import contextvars
import gc
import sys
import threading
import weakref

import pytest

from ringlet import _core, greenlet
from ringlet.errors import GreenletError, GreenletExit, TaskletError

spawn, schedule, park, wake = _core.spawn, _core.schedule, _core.park, _core.wake


def settle():
    """Let all that is ready run until nothing is."""
    while any(t.state == "ready" for t in _core.living()):
        schedule()


class TestOrder:
    def test_spawning_never_switches(self):
        seen = []
        spawn(seen.append, 1)
        assert seen == []
        schedule()
        assert seen == [1]

    def test_tasklets_run_in_the_order_they_were_made(self):
        seen = []
        for name in "abc":
            spawn(seen.append, name)
        schedule()
        assert seen == ["a", "b", "c"]

    def test_each_gets_one_turn_a_round(self):
        seen = []

        def body(name):
            for step in range(3):
                seen.append(f"{name}{step}")
                schedule()

        for name in "abc":
            spawn(body, name)
        settle()
        assert seen == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]

    def test_what_is_spawned_in_a_turn_runs_in_the_next(self):
        seen = []

        def parent():
            spawn(seen.append, "child")
            seen.append("parent")
            schedule()
            seen.append("parent again")

        spawn(parent)
        spawn(seen.append, "other")
        settle()
        assert seen == ["parent", "other", "child", "parent again"]

    def test_what_is_woken_runs_at_the_end_of_the_round(self):
        seen = []

        def sleeper():
            seen.append(park("a test"))

        tasklet = spawn(sleeper)
        schedule()
        spawn(seen.append, "before")
        wake(tasklet, "woken")
        spawn(seen.append, "after")
        schedule()
        assert seen == ["before", "woken", "after"]

    def test_schedule_with_nobody_else_returns(self):
        for _ in range(2000):
            schedule()

    def test_many_at_once(self):
        count = 0

        def body():
            nonlocal count
            schedule()
            count += 1

        for _ in range(3000):
            spawn(body)
        settle()
        assert count == 3000


class TestParking:
    def test_a_wake_gives_the_value(self):
        seen = []
        tasklet = spawn(lambda: seen.append(park("something")))
        schedule()
        assert tasklet.state == "parked"
        assert tasklet.waiting_on == "something"
        assert wake(tasklet, 42)
        assert tasklet.state == "ready"
        assert tasklet.waiting_on is None
        schedule()
        assert seen == [42]
        assert tasklet.state == "finished"

    def test_the_first_wake_wins(self):
        seen = []
        tasklet = spawn(lambda: seen.append(park()))
        schedule()
        assert wake(tasklet, 1)
        assert not wake(tasklet, 2)
        schedule()
        assert seen == [1]
        assert not wake(tasklet, 3)

    def test_an_interrupt_after_a_wake_does_nothing(self):
        seen = []
        tasklet = spawn(lambda: seen.append(park()))
        schedule()
        assert wake(tasklet, 1)
        assert not _core.interrupt(tasklet, ValueError())
        schedule()
        assert seen == [1]

    def test_an_exception_unlinks_at_once(self):
        seen = []

        def body():
            try:
                park("a queue", lambda: seen.append("unlinked"))
            except ValueError:
                seen.append("raised")

        tasklet = spawn(body)
        schedule()
        assert _core.throw(tasklet, ValueError())
        assert seen == ["unlinked"]
        assert not wake(tasklet, 1)
        schedule()
        assert seen == ["unlinked", "raised"]

    def test_a_wake_does_not_unlink(self):
        seen = []
        tasklet = spawn(park, "a queue", lambda: seen.append("unlinked"))
        schedule()
        wake(tasklet)
        schedule()
        assert seen == []

    def test_an_unlink_that_fails_is_reported_and_nothing_more(self):
        reports = []
        seen = []

        def body():
            try:
                park("a queue", lambda: 1 / 0)
            except ValueError:
                seen.append("raised")

        tasklet = spawn(body)
        schedule()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_type))
            _core.throw(tasklet, ValueError())
        schedule()
        assert reports == [ZeroDivisionError]
        assert seen == ["raised"]

    def test_new_and_finished_tasklets_are_not_woken(self):
        tasklet = _core.Tasklet(int)
        assert not wake(tasklet)
        assert not _core.throw(tasklet, ValueError())
        tasklet.start()
        assert not wake(tasklet)
        schedule()
        assert not wake(tasklet)
        assert not _core.throw(tasklet, ValueError())

    def test_the_running_one_is_neither_woken_nor_thrown_at(self):
        me = _core.current()
        assert not wake(me)
        assert not _core.throw(me, ValueError())

    @pytest.mark.parametrize("function", [wake, _core.throw, _core.interrupt])
    def test_only_tasklets_are_moved(self, function):
        with pytest.raises(TypeError, match="wants a tasklet first, not int"):
            function(3, ValueError())
        with pytest.raises(TypeError, match="arguments"):
            function()

    def test_only_exceptions_are_thrown(self):
        tasklet = _core.Tasklet(int)
        with pytest.raises(TypeError, match="wants an exception instance, not type"):
            _core.throw(tasklet, ValueError)
        with pytest.raises(TypeError, match="wants an exception instance, not int"):
            _core.throw_main(3)

    def test_a_wake_cannot_cut_into_the_queue_of_a_channel(self):
        channel = _core.Channel()
        tasklet = spawn(channel.receive)
        schedule()
        with pytest.raises(TaskletError, match="only what it waits for"):
            wake(tasklet, 1)
        assert channel.balance == -1
        channel.send(1)
        schedule()

    def test_dropping_what_was_waited_for_may_run_anything(self):
        seen = []

        class Reason:
            def __del__(self):
                spawn(seen.append, "from a finalizer")
                schedule()

        tasklet = spawn(lambda: seen.append(park(Reason())))
        schedule()
        wake(tasklet, "woken")
        settle()
        assert sorted(seen) == ["from a finalizer", "woken"]


class TestThrowing:
    def test_a_ready_tasklet_raises_when_its_turn_comes(self):
        seen = []

        def body():
            try:
                schedule()
            except ValueError:
                seen.append("raised")

        tasklet = spawn(body)
        schedule()
        assert tasklet.state == "ready"
        assert _core.throw(tasklet, ValueError())
        assert seen == []
        schedule()
        assert seen == ["raised"]

    def test_one_that_never_ran_ends_without_running(self, monkeypatch):
        seen = []
        tasklet = spawn(seen.append, 1)
        assert _core.throw(tasklet, GreenletExit())
        schedule()
        assert seen == []
        assert tasklet.state == "finished"

    def test_of_two_the_one_that_ends_it_wins(self):
        seen = []

        def body():
            try:
                park()
            except BaseException as error:
                seen.append(type(error))

        for first, second in [(ValueError, KeyError), (ValueError, GreenletExit)]:
            tasklet = spawn(body)
            schedule()
            _core.throw(tasklet, first())
            assert _core.throw(tasklet, second())
            schedule()
        assert seen == [KeyError, GreenletExit]
        seen.clear()
        tasklet = spawn(body)
        schedule()
        _core.throw(tasklet, GreenletExit())
        assert _core.throw(tasklet, ValueError())
        schedule()
        assert seen == [GreenletExit]

    def test_a_thrown_exception_takes_the_place_of_a_value_on_its_way(self):
        seen = []

        def body():
            try:
                park()
            except GreenletExit:
                seen.append("raised")

        tasklet = spawn(body)
        schedule()
        wake(tasklet, object())
        _core.throw(tasklet, GreenletExit())
        schedule()
        assert seen == ["raised"]

    def test_the_main_program_can_be_thrown_at(self):
        def body(main):
            _core.throw(main, ValueError("from a tasklet"))

        spawn(body, _core.current())
        with pytest.raises(ValueError, match="from a tasklet"):
            park()


class TestHandMadeSwitches:
    """Raw greenlets run as part of the tasklet that switches to them."""

    def test_the_greenlet_that_called_is_the_one_that_is_resumed(self):
        seen = []

        def inner():
            seen.append(park("inner"))
            return "inner ended"

        def outer():
            seen.append(greenlet(inner).switch())

        tasklet = spawn(outer)
        schedule()
        wake(tasklet, "woken")
        schedule()
        assert seen == ["woken", "inner ended"]

    def test_current_does_not_change(self):
        seen = []

        def outer():
            greenlet(lambda: seen.append(_core.current())).switch()
            seen.append(_core.current())

        tasklet = spawn(outer)
        schedule()
        assert seen == [tasklet, tasklet]
        seen.clear()

    def test_a_parked_greenlet_refuses_a_switch_and_says_what_it_waits_for(self):
        tasklet = spawn(park, "Godot")
        schedule()
        with pytest.raises(GreenletError, match="waits for 'Godot'"):
            tasklet.greenlet.switch()
        assert tasklet.state == "parked"
        wake(tasklet)
        schedule()

    def test_a_ready_greenlet_refuses_a_switch(self):
        tasklet = spawn(schedule)
        schedule()
        with pytest.raises(GreenletError, match="has left its turn"):
            tasklet.greenlet.switch()
        schedule()

    def test_a_throw_by_hand_unlinks_first_and_ends_where_it_was_done(self):
        seen = []

        def body():
            try:
                park("a queue", lambda: seen.append("unlinked"))
            finally:
                seen.append(_core.current())

        tasklet = spawn(body)
        schedule()
        assert tasklet.greenlet.throw(GreenletExit) is None
        assert seen == ["unlinked", _core.current()]
        assert tasklet.state == "finished"
        seen.clear()

    def test_a_throw_by_hand_from_another_tasklet_comes_back_to_it(self):
        seen = []
        target = spawn(park)
        schedule()

        def thrower():
            target.greenlet.throw(GreenletExit)
            seen.append(_core.current())

        tasklet = spawn(thrower)
        schedule()
        assert seen == [tasklet]
        seen.clear()

    def test_a_throw_by_hand_at_a_ready_one(self):
        target = spawn(schedule)
        schedule()
        target.greenlet.throw(GreenletExit)
        assert target.state == "finished"
        schedule()

    def test_what_survives_a_throw_by_hand_goes_on_as_part_of_the_thrower(self):
        seen = []

        def stubborn():
            try:
                park("first")
            except ValueError:
                seen.append(park("second"))
                return "over"

        target = spawn(stubborn)
        schedule()

        def thrower():
            seen.append(target.greenlet.throw(ValueError()))

        tasklet = spawn(thrower)
        schedule()
        assert (tasklet.state, tasklet.waiting_on) == ("parked", "second")
        assert not wake(target, "no")
        assert not _core.throw(target, ValueError())
        wake(tasklet, "go on")
        schedule()
        assert seen == ["go on", None]
        assert [target.state, target._value, tasklet.state] == ["finished", "over", "finished"]

    def test_a_throw_by_hand_at_the_main_program(self):
        main = _core.current()
        here = greenlet.getcurrent()

        def thrower():
            here.throw(ValueError("by hand"))

        tasklet = spawn(thrower)
        with pytest.raises(ValueError, match="by hand"):
            park("a tasklet")
        # From here on the main program is part of that tasklet.
        assert _core.current() is tasklet
        spawn(wake, tasklet, "still alive")
        assert park() == "still alive"
        spawn(_core.throw_main, KeyError("finds the main program"))
        with pytest.raises(KeyError, match="finds the main program"):
            park()
        assert [tasklet.state, main.state] == ["running", "running"]
        # When nothing else is left to do, the main program gets its own turn back.
        _core.hub().call_soon(_core.throw_main, ValueError("later"))
        assert tasklet.greenlet.switch() is None
        assert _core.current() is main
        assert tasklet.finished
        with pytest.raises(ValueError, match="later"):
            park()

    def test_switching_into_a_tasklets_own_greenlet_past_its_parked_child(self):
        seen = []

        def child():
            try:
                park("in a child", lambda: seen.append("unlinked"))
            except GreenletExit:
                seen.append("child killed")

        def outer():
            held.append(greenlet(child))
            seen.append(held[0].switch())
            return "outer"

        held = []
        tasklet = spawn(outer)
        schedule()
        assert tasklet.state == "parked"
        tasklet.greenlet.switch("by hand")
        assert seen == ["by hand", "unlinked"]
        assert [tasklet.state, tasklet._value] == ["finished", "outer"]
        held.clear()
        gc.collect()
        assert seen == ["by hand", "unlinked", "child killed"]
        schedule()

    def test_a_child_of_a_parked_greenlet_that_dies_finds_it_parked(self):
        """Its value cannot go to its parent, so who switched to it gets the refusal."""
        seen = []

        def body():
            park("long")

        tasklet = spawn(body)
        schedule()
        child = greenlet(lambda: "value", tasklet.greenlet)
        with pytest.raises(GreenletError, match="waits for 'long'"):
            child.switch()
        assert seen == []
        assert tasklet.state == "parked"
        wake(tasklet)
        schedule()

    def test_the_hub_is_nobodys_to_throw_at(self):
        held = []

        def look():
            held.append(greenlet.getcurrent())

        _core.hub().call_soon(look)
        while not held:
            spawn(_core.wake, _core.current())
            park()
            _core.hub().timers.add(0, _core.wake, _core.current())
            park()
        with pytest.raises(GreenletError, match="the hub"):
            held[0].throw(ValueError)
        with pytest.raises(GreenletError, match="the hub"):
            held[0].switch()
        held.clear()
        schedule()


class TestTracing:
    """A callback of settrace() runs on arrival, and may do what it likes."""

    def test_one_that_raises(self):
        calls = 0

        def tracer(event, where):
            nonlocal calls
            calls += 1
            if calls == 3:
                raise ValueError("from the tracer")

        def body():
            for _ in range(10):
                schedule()

        tasklets = [spawn(body) for _ in range(3)]
        raised = 0
        greenlet.settrace(tracer)
        try:
            while any(not t.finished for t in tasklets):
                try:
                    schedule()
                except ValueError:
                    raised += 1
        finally:
            greenlet.settrace(None)
        assert raised + sum(t._error is not None for t in tasklets) == 1

    def test_one_that_schedules(self):
        seen = []

        def tracer(event, where):
            if len(seen) < 50 and not _core.in_hub():
                seen.append(event)
                schedule()

        def body():
            for _ in range(3):
                schedule()

        tasklets = [spawn(body) for _ in range(3)]
        greenlet.settrace(tracer)
        try:
            settle()
        finally:
            greenlet.settrace(None)
        settle()
        assert all(t.finished for t in tasklets)
        assert seen


class TestEnding:
    def test_the_result_stays(self):
        tasklet = spawn(lambda: "result")
        schedule()
        assert tasklet._value == "result"
        assert tasklet._error is None
        assert tasklet.greenlet is None

    def test_a_finished_tasklet_lets_go_of_what_it_ran(self):
        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)
        tasklet = spawn(lambda _: None, thing)
        del thing
        assert gone() is not None
        schedule()
        assert gone() is None
        assert tasklet.name.endswith("<lambda>")

    def test_a_forgotten_tasklet_is_freed_once_it_has_ended(self):
        gone = weakref.ref(spawn(schedule))
        assert gone() is not None
        schedule()
        assert gone() is not None
        schedule()
        assert gone() is None

    def test_a_result_whose_finalizer_blocks(self):
        seen = []

        class Result:
            def __del__(self):
                schedule()
                seen.append(_core.current())

        def body():
            return Result()

        others = [spawn(schedule) for _ in range(3)]
        spawn(body)
        others += [spawn(schedule) for _ in range(3)]
        settle()
        assert len(seen) == 1
        assert all(t.finished for t in others)
        seen.clear()

    def test_an_argument_whose_finalizer_blocks(self):
        seen = []

        class Argument:
            def __del__(self):
                seen.append(park("the finalizer"))

        tasklet = spawn(lambda argument: None, Argument())
        schedule()
        assert (tasklet.state, tasklet.waiting_on) == ("parked", "the finalizer")
        wake(tasklet, "go on")
        schedule()
        assert seen == ["go on"]
        assert tasklet.finished

    def test_a_context_whose_finalizer_blocks(self):
        variable = contextvars.ContextVar("variable")

        class Value:
            def __del__(self):
                schedule()

        context = contextvars.Context()
        context.run(variable.set, Value())
        tasklet = _core.Tasklet(lambda: None, context=context)
        del context
        tasklet.start()
        others = [spawn(schedule) for _ in range(3)]
        settle()
        assert tasklet.finished
        assert all(t.finished for t in others)

    def test_a_greenlet_of_a_tasklet_may_outlive_it(self):
        tasklet = spawn(schedule)
        schedule()
        own = tasklet.greenlet
        schedule()
        del tasklet
        assert own.dead
        schedule()

    def test_collecting_while_greenlets_are_made(self):
        """A first run makes objects, and so may collect garbage whose finalizers block."""

        class Garbage:
            def __init__(self):
                self.me = self

            def __del__(self):
                schedule()

        before = gc.get_threshold()
        gc.set_threshold(1)
        try:
            tasklets = []
            for _ in range(60):
                Garbage()
                tasklets.append(spawn(schedule))
                schedule()
        finally:
            gc.set_threshold(*before)
        gc.collect()
        settle()
        assert all(t.finished for t in tasklets)


class TestJoining:
    def test_several_wait_for_one(self):
        seen = []
        target = spawn(park)
        for name in "abc":
            spawn(lambda name=name: (target._await_end(), seen.append(name)))
        schedule()
        assert seen == []
        wake(target)
        settle()
        assert seen == ["a", "b", "c"]

    def test_leaving_the_queue(self):
        target = spawn(park)
        waiters = [spawn(target._await_end) for _ in range(3)]
        schedule()
        _core.throw(waiters[1], GreenletExit())
        wake(target)
        settle()
        assert [w._error is None for w in waiters] == [True, False, True]

    def test_its_own_end_cannot_be_waited_for(self):
        with pytest.raises(TaskletError, match="its own end"):
            _core.current()._await_end()

    def test_a_discarded_one_wakes_who_waits_for_it(self):
        target = _core.Tasklet(int)
        waiter = spawn(target._await_end)
        schedule()
        target._discard(GreenletExit())
        assert target.state == "finished"
        schedule()
        assert waiter.finished
        with pytest.raises(TaskletError, match="has been started"):
            target._discard(GreenletExit())


class TestThreads:
    def run_thread(self, body):
        thread = threading.Thread(target=body)
        thread.start()
        return thread

    def run_once_parked(self, body):
        """Runs body() in a thread that begins when this one's hub does."""
        parked = threading.Event()
        _core.hub().call_soon(parked.set)
        return self.run_thread(lambda: (parked.wait(), body()))

    def test_waking_from_another_thread(self):
        me = _core.current()
        thread = self.run_once_parked(lambda: wake(me, "from a thread"))
        assert park("a thread") == "from a thread"
        thread.join()

    def test_throwing_from_another_thread(self):
        me = _core.current()
        thread = self.run_once_parked(lambda: _core.throw(me, ValueError("from a thread")))
        with pytest.raises(ValueError, match="from a thread"):
            park("a thread")
        thread.join()

    def test_one_that_runs_elsewhere_is_thrown_at_when_it_waits_next(self):
        me = _core.current()
        thread = self.run_thread(lambda: _core.throw(me, ValueError("later")))
        thread.join()
        seen = []
        with pytest.raises(ValueError, match="later"):
            park("never", lambda: seen.append("unlinked"))
        assert seen == ["unlinked"]

    def test_tasklets_of_a_thread_that_ends_get_greenlet_exit(self):
        seen = []

        def waits():
            try:
                park("for ever")
            except GreenletExit:
                seen.append("killed")
                with pytest.raises(TaskletError, match="its thread is ending"):
                    park("once more")
                with pytest.raises(TaskletError, match="its thread is ending"):
                    schedule()
                raise

        def body():
            spawn(waits)
            schedule()
            spawn(seen.append, "never ran")

        self.run_thread(body).join()
        assert seen == ["killed"]

    def test_who_waits_elsewhere_for_a_tasklet_of_a_thread_that_ends_is_woken(self):
        tasklets = []
        go = threading.Event()

        def body():
            tasklets.extend([spawn(park), _core.Tasklet(int).start(), _core.main()])
            go.wait()

        thread = self.run_thread(body)
        while len(tasklets) < 3:
            _core.hub().timers.add(_core.hub().clock.time() + 0.001, wake, _core.current())
            park()
        waiters = [spawn(t._await_end) for t in tasklets]
        schedule()
        go.set()
        for waiter in waiters:
            waiter._await_end()
        thread.join()
        assert [t.state for t in tasklets] == ["finished"] * 3
        assert all(isinstance(t._error, GreenletExit) for t in tasklets[:2])

    def test_a_dying_tasklet_may_spawn(self):
        def waits():
            try:
                park("for ever")
            finally:
                spawn(waits)

        def body():
            spawn(waits)
            schedule()

        self.run_thread(body).join()

    @pytest.mark.parametrize("used", [False, True])
    def test_a_dying_raw_greenlet_cannot_use_the_scheduler(self, used):
        seen = []

        def raw():
            try:
                greenlet.getcurrent().parent.switch()
            finally:
                with pytest.raises(TaskletError, match="thread is ending"):
                    spawn(int)
                seen.append("refused")

        def body():
            if used:
                spawn(int)
                schedule()
            held.append(greenlet(raw))
            held[0].switch()

        held = []
        self.run_thread(body).join()
        held.clear()
        assert seen == ["refused"]


class TestConstruction:
    @pytest.mark.parametrize(
        ("args", "kwargs", "message"),
        [
            ((3,), {}, "runs a callable, not 3"),
            ((int, (), 3), {}, "kwargs must be a dict or None, not int"),
            ((int,), {"name": 3}, "name must be a str or None, not int"),
            ((int,), {"context": 3}, "context must be a contextvars.Context or None, not int"),
        ],
    )
    def test_refuses(self, args, kwargs, message):
        with pytest.raises(TypeError, match=message):
            _core.Tasklet(*args, **kwargs)

    def test_spawn_refuses(self):
        with pytest.raises(TypeError, match="needs a callable"):
            spawn()
        with pytest.raises(TypeError, match="runs a callable, not 3"):
            spawn(3)

    def test_arguments(self):
        seen = []
        spawn(lambda *a, **k: seen.append((a, k)), 1, 2, x=3)
        _core.Tasklet(lambda *a, **k: seen.append((a, k)), [1], {"y": 2}).start()
        schedule()
        assert seen == [((1, 2), {"x": 3}), ((1,), {"y": 2})]

    def test_starting_twice(self):
        tasklet = _core.Tasklet(int).start()
        with pytest.raises(TaskletError, match="has been started already"):
            tasklet.start()
        schedule()

    def test_an_unstarted_one_in_a_cycle_is_collected(self):
        tasklet = _core.Tasklet(int)
        tasklet._callbacks = [tasklet]
        gone = weakref.ref(tasklet)
        del tasklet
        gc.collect()
        assert gone() is None

    def test_a_finished_one_in_a_cycle_is_collected(self):
        def body():
            raise GreenletExit(_core.current())

        tasklet = spawn(body)
        schedule()
        gone = weakref.ref(tasklet)
        del tasklet
        gc.collect()
        assert gone() is None

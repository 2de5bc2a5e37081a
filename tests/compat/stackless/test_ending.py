"""How tasklets end, and who hears of it."""

import sys

import pytest

import ringlet
from ringlet.compat import stackless
from ringlet.compat.stackless import TaskletExit, channel, schedule, tasklet
from tests.support.isolated import run_isolated


def failing(error=ZeroDivisionError):
    raise error


def test_tasklet_exit_is_silent(log, capsys):
    stackless.set_error_handler(lambda *exc_info: log.append(exc_info))
    tasklet(failing)(TaskletExit)
    stackless.run()
    assert log == []
    assert capsys.readouterr().err == ""


def test_tasklet_exit_is_a_system_exit_and_ringlets_tasklet_exit():
    assert issubclass(TaskletExit, SystemExit)
    assert issubclass(TaskletExit, ringlet.TaskletExit)


def test_an_uncaught_exception_is_raised_out_of_run():
    tasklet(failing)()
    with pytest.raises(ZeroDivisionError):
        stackless.run()


def test_run_raises_it_at_once_and_the_others_stay_in_the_round(log):
    tasklet(failing)()
    tasklet(log.append)(1)
    with pytest.raises(ZeroDivisionError):
        stackless.run()
    assert log == []
    assert stackless.getruncount() == 2
    stackless.run()
    assert log == [1]


def test_it_is_raised_in_the_innermost_run(log):
    def inner():
        tasklet(failing)()
        try:
            stackless.run()
        except ZeroDivisionError:
            log.append("inner")

    tasklet(inner)()
    stackless.run()
    assert log == ["inner"]


def test_without_a_run_it_is_raised_in_main():
    tasklet(failing)()
    with pytest.raises(ZeroDivisionError):
        schedule()


def test_it_wakes_a_blocked_main():
    c = channel()
    tasklet(failing)()
    with pytest.raises(ZeroDivisionError):
        c.receive()
    assert c.balance == 0


def test_its_traceback_has_the_frames_of_the_tasklet():
    tasklet(failing)()
    with pytest.raises(ZeroDivisionError) as caught:
        stackless.run()
    assert caught.traceback[-1].name == "failing"


def test_system_exit_of_the_main_thread_ends_the_program():
    program = """
from ringlet.compat import stackless
def leave():
    raise SystemExit(7)
stackless.tasklet(leave)()
stackless.run()
print("not reached")
"""
    assert run_isolated(program, exit=7).stdout == ""


def test_keyboard_interrupt_goes_the_way_of_other_exceptions():
    tasklet(failing)(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        stackless.run()


def test_tempval_of_a_dead_tasklet_is_passed_to_nobody():
    t = tasklet(lambda: setattr(stackless.getcurrent(), "tempval", 5))()
    assert schedule(1) == 1
    assert t.tempval is None


def test_an_error_handler_gets_what_is_not_caught(log):
    assert stackless.set_error_handler(lambda *exc_info: log.append(exc_info)) is None
    tasklet(failing)()
    stackless.run()
    ((kind, error, traceback),) = log
    assert kind is ZeroDivisionError
    assert isinstance(error, ZeroDivisionError)
    assert traceback is error.__traceback__


def test_the_error_handler_runs_in_the_tasklet_and_its_value_is_ignored(log):
    def handler(*exc_info):
        log.append(stackless.getcurrent())
        return 1 / 2

    stackless.set_error_handler(handler)
    t = tasklet(failing)()
    stackless.run()
    assert log == [t]


def test_what_the_error_handler_raises_goes_to_run():
    def handler(*exc_info):
        raise KeyError

    stackless.set_error_handler(handler)
    tasklet(failing)()
    with pytest.raises(KeyError):
        stackless.run()


def test_the_error_handler_does_not_get_what_main_raises(log):
    stackless.set_error_handler(lambda *exc_info: log.append(exc_info))
    with pytest.raises(ZeroDivisionError):
        failing()
    assert log == []


def test_set_error_handler_returns_the_old_one():
    handler = sys.excepthook
    assert stackless.set_error_handler(handler) is None
    assert stackless.set_error_handler(None) is handler


def test_only_callables_can_be_error_handlers():
    with pytest.raises(TypeError, match="error handler must be callable"):
        stackless.set_error_handler(1)


def test_in_a_forked_child_the_tasklet_that_forked_is_the_main_one_and_alone():
    program = """
import os
from ringlet.compat import stackless
def fork():
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    stackless.tasklet(print)("in the child")
    stackless.run()
    me = stackless.getcurrent()
    print(me is stackless.getmain(), me.is_main, stackless.getruncount(), flush=True)
stackless.tasklet(fork)()
stackless.tasklet(print)("in the parent", flush=True)
stackless.run()
"""
    assert run_isolated(program).stdout == "in the child\nTrue True 1\nin the parent\n"


def test_the_program_ends_by_itself_when_tasklets_are_left():
    program = """
from ringlet.compat import stackless
def body():
    try:
        stackless.channel().receive()
    except stackless.TaskletExit as error:
        print("ends by", type(error).__name__)
        raise
stackless.tasklet(body)()
stackless.run()
"""
    outcome = run_isolated(program)
    assert (outcome.stdout, outcome.stderr) == ("ends by TaskletExit\n", "")

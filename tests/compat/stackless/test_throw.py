"""throw(), raise_exception(), kill(): exceptions raised in other tasklets."""

import re

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import TaskletExit, channel, schedule, schedule_remove, tasklet


def raises(text):
    return pytest.raises(RuntimeError, match=f"^{re.escape(text)}$")


def catching(log, wait=schedule_remove):
    try:
        wait()
    except BaseException as error:
        log.append(error)
    log.append("goes on")


@pytest.fixture
def paused(log):
    t = tasklet(catching)(log)
    stackless.run()
    assert t.paused
    return t


def test_throw_runs_the_target_at_once_and_the_caller_after_the_round(log, paused):
    tasklet(log.append)("the rest of the round")
    error = KeyError("x")
    paused.throw(error)
    assert log == [error, "goes on", "the rest of the round"]


def test_throw_of_a_class_makes_an_instance(log, paused):
    paused.throw(KeyError)
    assert isinstance(log[0], KeyError)
    assert log[0].args == ()


def test_throw_of_a_class_and_a_value(log, paused):
    paused.throw(KeyError, "x")
    assert repr(log[0]) == "KeyError('x')"


def test_throw_of_a_class_and_arguments(log, paused):
    paused.throw(OSError, (2, "none"))
    assert repr(log[0]) == "FileNotFoundError(2, 'none')"


def test_throw_of_a_class_and_its_instance(log, paused):
    error = KeyError()
    paused.throw(KeyError, error)
    assert log[0] is error


def test_throw_with_a_traceback(log, paused):
    try:
        raise KeyError
    except KeyError as error:
        traceback = error.__traceback__
    paused.throw(KeyError, None, traceback)
    frames = []
    entry = log[0].__traceback__
    while entry is not None:
        frames.append(entry)
        entry = entry.tb_next
    assert traceback in frames


def test_throw_of_what_is_no_exception(log, paused):
    for thing in (1, int, "text", None):
        with pytest.raises(TypeError, match=r"^exceptions must be classes, or instances, not"):
            paused.throw(thing)
    with pytest.raises(TypeError, match=r"^instance exception may not have a separate value$"):
        paused.throw(KeyError(), 1)
    with pytest.raises(TypeError, match=r"third argument must be a traceback"):
        paused.throw(KeyError, None, 1)
    assert log == []
    assert paused.paused


def test_throw_at_the_current_tasklet_raises_here():
    with pytest.raises(KeyError):
        stackless.getcurrent().throw(KeyError)


def test_a_blocked_target_is_unblocked_and_the_balance_is_right(log):
    c = channel()
    t = tasklet(catching)(log, c.receive)
    stackless.run()
    assert c.balance == -1
    t.throw(KeyError)
    assert c.balance == 0
    assert isinstance(log[0], KeyError)


def test_what_a_killed_sender_would_have_sent_is_not_received(log):
    c = channel()
    tasklet(c.send)(1)
    second = tasklet(c.send)(2)
    stackless.run()
    second.kill()
    assert (c.balance, c.receive(), c.balance) == (1, 1, 0)


def test_a_pending_throw_makes_the_target_ready_and_the_caller_goes_on(log, paused):
    paused.throw(KeyError, pending=True)
    assert log == []
    assert paused.scheduled
    schedule()
    assert isinstance(log[0], KeyError)


def test_a_ready_target_gets_it_at_once(log):
    t = tasklet(catching)(log, schedule)
    schedule()
    t.throw(KeyError)
    assert isinstance(log[0], KeyError)


def test_a_dead_tasklet_cannot_be_thrown_at():
    for t in (tasklet(), tasklet(int)()):
        stackless.run()
        with raises("You cannot throw to a dead tasklet"):
            t.throw(KeyError)
        with raises("You cannot throw to a dead tasklet"):
            t.raise_exception(KeyError)


def test_tasklet_exit_does_nothing_to_a_dead_one():
    t = tasklet(int)()
    stackless.run()
    t.throw(TaskletExit)
    t.kill()
    assert not t.alive


def test_one_that_never_started_ends_with_the_exception(log):
    t = tasklet(log.append, (1,))
    with pytest.raises(KeyError):
        t.throw(KeyError)
    assert not t.alive
    assert log == []


def test_one_that_is_ready_and_never_started_ends_with_it(log):
    t = tasklet(log.append)(1)
    t.throw(KeyError, pending=True)
    with pytest.raises(KeyError):
        stackless.run()
    assert not t.alive
    assert log == []


def test_raise_exception_makes_the_exception_of_its_arguments(log, paused):
    paused.raise_exception(OSError, 2, "none")
    assert repr(log[0]) == "FileNotFoundError(2, 'none')"


def test_raise_exception_wants_a_class(paused):
    for thing in (KeyError(), 1, int):
        with pytest.raises(
            TypeError,
            match=r"^tasklet\.raise_exception needs Exception or string subclass as first",
        ):
            paused.raise_exception(thing)


def test_raise_exception_in_the_current_tasklet_raises_here():
    with pytest.raises(KeyError):
        stackless.getcurrent().raise_exception(KeyError)


def test_kill_ends_it_at_once_in_silence(log):
    def body():
        try:
            schedule_remove()
        finally:
            log.append("finally")

    t = tasklet(body)()
    stackless.run()
    t.kill()
    assert log == ["finally"]
    assert not t.alive


def test_kill_can_be_caught(log, paused):
    paused.kill()
    assert isinstance(log[0], TaskletExit)
    assert log[1] == "goes on"


def test_kill_with_pending(log, paused):
    paused.kill(pending=True)
    assert log == []
    stackless.run()
    assert not paused.alive


def test_kill_of_one_that_never_started(log):
    for t in (tasklet(log.append)(1), tasklet(log.append, (2,))):
        t.kill()
        assert not t.alive
    stackless.run()
    assert log == []


def test_kill_of_the_current_tasklet_raises_tasklet_exit(log):
    tasklet(catching)(log, lambda: stackless.getcurrent().kill())
    stackless.run()
    assert isinstance(log[0], TaskletExit)


def test_a_killed_tasklet_can_be_bound_again(log, paused):
    paused.kill()
    paused.bind(log.append)("again")
    stackless.run()
    assert log[-1] == "again"

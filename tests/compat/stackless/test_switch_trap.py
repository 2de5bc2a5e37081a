"""switch_trap(): while its level is not 0, nothing switches."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule, schedule_remove, tasklet


@contextmanager
def trapped() -> Iterator[None]:
    stackless.switch_trap(1)
    try:
        yield
    finally:
        stackless.switch_trap(-1)


def refused():
    return pytest.raises(RuntimeError, match=r"^switch_trap$")


def test_it_returns_the_old_level():
    assert stackless.switch_trap() == 0
    assert stackless.switch_trap(1) == 0
    assert stackless.switch_trap(2) == 1
    assert stackless.switch_trap(-3) == 3
    assert stackless.switch_trap(0) == 0


@pytest.mark.parametrize("switch", [schedule, schedule_remove, stackless.run])
def test_functions_that_switch_are_refused(switch, log):
    tasklet(log.append)(1)
    with trapped(), refused():
        switch()
    assert log == []
    stackless.run()
    assert log == [1]


def test_a_switch_to_oneself_is_no_switch():
    with trapped():
        assert schedule(1) == 1
        stackless.run()
        stackless.getcurrent().run()


@pytest.mark.parametrize("method", ["run", "switch", "kill"])
def test_methods_that_switch_are_refused_and_change_nothing(method, log):
    t = tasklet(schedule_remove)()
    stackless.run()
    with trapped(), refused():
        getattr(t, method)()
    assert t.paused


def test_throw_is_refused_unless_it_is_pending():
    t = tasklet(schedule_remove)()
    stackless.run()
    with trapped():
        with refused():
            t.throw(KeyError)
        with refused():
            t.raise_exception(KeyError)
        t.throw(stackless.TaskletExit, pending=True)
    stackless.run()
    assert not t.alive


def test_blocking_on_a_channel_is_refused():
    c = channel()
    with trapped():
        with refused():
            c.send(1)
        with refused():
            c.receive()
    assert c.balance == 0


def test_an_exchange_that_would_switch_is_refused_and_transfers_nothing(log):
    c, d = channel(), channel()
    d.preference = 1
    tasklet(lambda: log.append(c.receive()))()
    tasklet(d.send)("value")
    stackless.run()
    with trapped():
        with refused():
            c.send(1)
        with refused():
            d.receive()
    assert (c.balance, d.balance, log) == (-1, 1, [])


def test_an_exchange_that_does_not_switch_is_allowed(log):
    c, d = channel(), channel()
    c.preference = 1
    tasklet(lambda: log.append(c.receive()))()
    tasklet(d.send)("value")
    stackless.run()
    with trapped():
        c.send(1)
        assert d.receive() == "value"
    stackless.run()
    assert log == [1]


def test_an_exchange_with_schedule_all_is_refused():
    c = channel()
    c.schedule_all = True
    tasklet(c.receive)()
    stackless.run()
    with trapped(), refused():
        c.send(1)
    assert c.balance == -1


def test_inserting_and_removing_are_allowed(log):
    t = tasklet(log.append, (1,))
    with trapped():
        t.insert()
        t.remove()
        t.insert()
    stackless.run()
    assert log == [1]

"""What happens when the last one that could run blocks, or ends."""

import pytest

from ringlet import spawn_later
from ringlet.compat import stackless
from ringlet.compat.stackless import channel, schedule_remove, tasklet

LAST = "Deadlock: the last runnable tasklet cannot be blocked."


def test_the_last_one_blocks_while_run_waits_then_run_returns():
    t = tasklet(channel().receive)()
    assert stackless.run() is None
    assert t.blocked


def test_main_alone_cannot_receive():
    c = channel()
    with pytest.raises(RuntimeError, match=LAST):
        c.receive()
    assert c.balance == 0


def test_main_alone_cannot_send():
    c = channel()
    with pytest.raises(RuntimeError, match=LAST):
        c.send(1)
    assert c.balance == 0


def test_main_alone_cannot_be_removed():
    with pytest.raises(RuntimeError, match=LAST):
        schedule_remove()


def test_the_blocking_tasklet_gets_the_error_when_main_is_blocked(log):
    c, other = channel(), channel()

    def body():
        try:
            other.receive()
        except RuntimeError as error:
            log.append(str(error))
        c.send("woken")

    tasklet(body)()
    assert c.receive() == "woken"
    assert log == [LAST]


def test_what_the_blocking_tasklet_does_not_catch_goes_to_the_blocked_main():
    tasklet(channel().receive)()
    with pytest.raises(RuntimeError, match=LAST):
        channel().receive()


def test_the_last_one_ends_while_main_receives():
    tasklet(int)()
    with pytest.raises(
        RuntimeError, match=r"the main tasklet is receiving without a sender available."
    ):
        channel().receive()


def test_the_last_one_ends_while_main_sends():
    tasklet(int)()
    with pytest.raises(
        RuntimeError, match=r"the main tasklet is sending without a receiver available."
    ):
        channel().send(1)


def test_it_is_no_deadlock_while_a_timer_may_wake_somebody():
    c = channel()
    spawn_later(0.001, c.send, "in time")
    assert c.receive() == "in time"


def test_an_error_of_a_deadlock_can_be_caught_and_work_goes_on():
    c = channel()
    with pytest.raises(RuntimeError, match=LAST):
        c.receive()
    tasklet(c.send)(1)
    assert c.receive() == 1


def test_block_trap_forbids_to_block():
    main = stackless.getmain()
    main.block_trap = True
    c = channel()
    c.close()
    with pytest.raises(RuntimeError, match=r"^this tasklet does not like to be blocked\.$"):
        c.receive()
    with pytest.raises(RuntimeError, match=r"^this tasklet does not like to be blocked\.$"):
        c.send(1)


def test_block_trap_does_not_forbid_what_does_not_block(log):
    c = channel()
    stackless.getmain().block_trap = True
    tasklet(lambda: log.append(c.receive()))()
    stackless.run()
    c.send(1)
    assert log == [1]

"""select(): which arm is taken, that nothing else is transferred, and how waiting ends."""

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from ringlet import (
    Channel,
    ChannelClosed,
    Selection,
    Tasklet,
    TaskletError,
    Timeout,
    _core,
    schedule,
    select,
    spawn,
)
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated


def selecting(*arms: Any, **options: Any) -> tuple[Tasklet[None], list[Any]]:
    """Have a tasklet wait in select(); with it, where its outcome will be."""
    outcome: list[Any] = []

    def body() -> None:
        try:
            outcome.append(tuple(select(*arms, **options)))
        except BaseException as error:
            outcome.append(error)

    tasklet = spawn(body)
    schedule()
    return tasklet, outcome


def attempt(f: Callable[[], Any]) -> Any:
    """What f() returns, or the exception it raises."""
    try:
        return f()
    except Exception as error:
        return error


# --- Which arm ------------------------------------------------------------------------------------


def test_the_first_ready_arm_in_the_order_given_is_taken() -> None:
    a, b = Channel[int](1), Channel[int](1)
    a.send(1)
    b.send(2)
    assert select(b.receiving(), a.receiving()) == (0, b, 2)
    assert select(b.receiving(), a.receiving()) == (1, a, 1)


def test_an_arm_that_sends_takes_place_when_somebody_receives() -> None:
    a, b = Channel[int](), Channel[int]()
    received: list[int] = []
    spawn(lambda: received.append(b.receive()))
    schedule()
    assert select(a.receiving(), b.sending(7)) == (1, b, None)
    assert received == [7]


def test_waiting_ends_with_whoever_comes_first() -> None:
    a, b = Channel[int](), Channel[str]()
    _, outcome = selecting(a.receiving(), b.sending("out"))
    assert (a.balance, b.balance) == (-1, 1)
    assert b.receive() == "out"
    schedule()
    assert outcome == [(1, b, None)]
    assert (a.balance, b.balance) == (0, 0)
    _, outcome = selecting(a.receiving(), b.sending("out"))
    a.send(3)
    schedule()
    assert outcome == [(0, a, 3)]
    assert (a.balance, b.balance) == (0, 0)


def test_it_stands_in_line_behind_those_who_came_before() -> None:
    a, b, log = Channel[int](preference=0), Channel[int](), list[tuple[str, int]]()
    spawn(lambda: log.append(("plain", a.receive())))
    schedule()
    _, outcome = selecting(b.receiving(), a.receiving())
    later = spawn(lambda: log.append(("later", a.receive())))
    schedule()
    a.send_sequence([1, 2, 3])
    later.join()
    assert log == [("plain", 1), ("later", 3)]
    assert outcome == [(1, a, 2)]


@pytest.mark.parametrize(
    ("preference", "order"), [(-1, ["selected", "sent"]), (1, ["sent", "selected"])]
)
def test_the_preference_says_who_goes_on_first(preference: int, order: list[str]) -> None:
    channel, log = Channel[int](preference=preference), list[str]()
    spawn(lambda: (select(channel.receiving()), log.append("selected")))
    schedule()
    channel.send(1)
    log.append("sent")
    schedule()
    assert log == order


def test_arms_may_be_used_again_even_at_the_same_time() -> None:
    channel = Channel[int](preference=0)
    arm = channel.receiving()
    outcomes = [selecting(arm, arm)[1] for _ in range(2)]
    assert channel.balance == -4
    channel.send_sequence([1, 2])
    schedule()
    assert outcomes == [[(0, channel, 1)], [(0, channel, 2)]]
    assert channel.balance == 0


def test_one_channel_may_be_in_several_arms() -> None:
    channel = Channel[int]()
    _, outcome = selecting(channel.sending(1), channel.sending(2))
    assert channel.balance == 2
    assert channel.receive() == 1
    assert channel.balance == 0
    schedule()
    assert outcome == [(0, channel, None)]


def test_it_does_not_meet_itself() -> None:
    channel = Channel[str]()
    both = channel.sending("mine"), channel.receiving()
    with pytest.raises(Timeout):
        select(*both, timeout=0)
    tasklet, outcome = selecting(*both)
    assert tasklet.state == "parked"
    assert channel.balance == 0
    channel.send("yours")
    schedule()
    assert outcome == [(1, channel, "yours")]
    _, outcome = selecting(*both)
    assert channel.receive() == "mine"
    schedule()
    assert outcome == [(0, channel, None)]


def test_two_of_them_meet() -> None:
    a, b = Channel[str](), Channel[str]()
    _, first = selecting(a.receiving(), b.sending("from first"))
    _, second = selecting(b.receiving(), a.sending("from second"))
    schedule()
    assert (first, second) == ([(1, b, None)], [(0, b, "from first")])
    assert (a.balance, b.balance) == (0, 0)


def test_two_that_both_send_and_receive_on_one_channel_meet() -> None:
    channel = Channel[int]()
    _, first = selecting(channel.sending(1), channel.receiving())
    _, second = selecting(channel.sending(2), channel.receiving())
    schedule()
    assert (first, second) == ([(1, channel, 2)], [(0, channel, None)])


def test_each_of_many_arms_is_told_apart() -> None:
    channels = [Channel[int]() for _ in range(300)]
    arms = [channel.receiving() for channel in channels]
    for number in (0, 1, 255, 299):
        _, outcome = selecting(*arms)
        channels[number].send(number)
        schedule()
        assert outcome == [(number, channels[number], number)]


# --- Buffers --------------------------------------------------------------------------------------


def test_a_buffer_with_room_takes_what_an_arm_sends() -> None:
    full, roomy = Channel[int](1), Channel[int](1)
    full.send(0)
    assert select(full.sending(1), roomy.sending(2)) == (1, roomy, None)
    assert (list(full._waiters()), len(full), len(roomy)) == ([], 1, 1)


def test_a_full_buffer_takes_it_when_somebody_receives() -> None:
    full, other = Channel[int](1), Channel[int]()
    full.send(1)
    _, outcome = selecting(other.receiving(), full.sending(2))
    assert full.receive() == 1
    schedule()
    assert outcome == [(1, full, None)]
    assert (len(full), full.receive(), other.balance) == (1, 2, 0)


# --- Defaults and time limits ---------------------------------------------------------------------


def test_with_a_default_it_never_waits() -> None:
    channel = Channel[int](1)
    assert select(channel.receiving(), default="nothing") == (-1, None, "nothing")
    assert select(channel.receiving(), default=None, timeout=10) == (-1, None, None)
    channel.send(1)
    assert select(channel.receiving(), default=None) == (0, channel, 1)
    assert channel.balance == 0


def test_when_its_time_is_over_nothing_was_transferred() -> None:
    a, b = Channel[int](), Channel[int]()
    with fake_clock(), pytest.raises(Timeout, match=r"no arm of .* was ready within 2\.5 s"):
        select(a.receiving(), b.sending(1), timeout=2.5)
    assert (a.balance, b.balance) == (0, 0)


def test_what_is_ready_in_time_is_taken() -> None:
    a, b = Channel[int](), Channel[int]()
    with fake_clock():
        _, outcome = selecting(a.receiving(), b.receiving(), timeout=5)
        b.send(1)
        assert outcome == [(1, b, 1)]
        a.send_nowait  # noqa: B018 (who waited there is gone)
        assert a.balance == 0
    b = Channel(1)
    b.send(2)
    assert select(a.receiving(), b.receiving(), timeout=0) == (1, b, 2)
    assert select(a.receiving(), b.sending(3), timeout=float("inf")) == (1, b, None)


@pytest.mark.parametrize(("timeout", "error"), [("1", TypeError), (float("nan"), ValueError)])
def test_a_time_limit_must_be_one(timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        select(Channel[int]().receiving(), timeout=timeout)


def test_without_arms_nothing_is_ever_ready() -> None:
    assert select(default=1) == (-1, None, 1)
    with pytest.raises(Timeout):
        select(timeout=0)
    run_isolated("""if True:
        import ringlet
        try:
            ringlet.select()
        except ringlet.Deadlock as error:
            assert "select()" in str(error)
        else:
            assert False
    """)


# --- Errors ---------------------------------------------------------------------------------------


def test_a_closed_channel_says_which_arm_it_was() -> None:
    a, b = Channel[int](), Channel[int]()
    b.close()
    for arm in (b.receiving(), b.sending(1)):
        with pytest.raises(ChannelClosed) as caught:
            select(a.receiving(), arm)
        assert (caught.value.index, caught.value.channel) == (1, b)
    with pytest.raises(ChannelClosed) as caught:
        b.receive()
    assert (caught.value.index, caught.value.channel) == (None, None)


def test_a_ready_arm_before_the_closed_one_is_taken() -> None:
    a, b = Channel[int](1), Channel[int]()
    a.send(1)
    b.close()
    assert select(a.receiving(), b.receiving()) == (0, a, 1)


def test_closing_ends_the_wait_of_receiving_arms_only() -> None:
    a, b = Channel[int](), Channel[int]()
    sender, sent = selecting(a.receiving(), b.sending(1))
    _, received = selecting(b.receiving(), a.receiving())
    schedule()
    assert (sent, received) == ([(1, b, None)], [(0, b, 1)])
    sender, sent = selecting(a.receiving(), b.sending(2))
    b.close()
    schedule()
    assert (sent, sender.state) == ([], "parked")
    a.close()
    schedule()
    assert isinstance(sent[0], ChannelClosed)
    assert (sent[0].index, sent[0].channel) == (0, a)
    assert (a.balance, b.balance) == (0, 0)


def test_what_was_closed_with_a_sending_arm_waiting_can_be_drained() -> None:
    channel = Channel[int]()
    _, outcome = selecting(channel.sending(5))
    channel.close()
    assert channel.receive() == 5
    schedule()
    assert outcome == [(0, channel, None)]


def test_exceptions_that_are_sent_are_raised() -> None:
    a, b = Channel[int](1), Channel[int]()
    a.send_exception(KeyError("k"))
    with pytest.raises(KeyError, match="k"):
        select(b.receiving(), a.receiving())
    _, outcome = selecting(a.receiving(), b.receiving())
    b.send_exception(ChannelClosed("sent by hand"))
    schedule()
    assert str(outcome[0]) == "sent by hand"
    assert outcome[0].index is None
    assert (a.balance, b.balance) == (0, 0)


@pytest.mark.parametrize("wrong", [1, Channel[int](), None])
def test_only_arms_are_taken(wrong: Any) -> None:
    channel = Channel[int](1)
    with pytest.raises(TypeError, match=r"takes arms, channel\.receiving\(\)"):
        select(channel.sending(1), wrong)
    assert len(channel) == 0
    with pytest.raises(TypeError, match="unexpected keyword argument 'timeot'"):
        select(channel.sending(1), timeot=1)  # type: ignore[call-arg]


def test_in_the_hub_it_does_what_needs_no_waiting() -> None:
    a, b, log = Channel[int](1), Channel[int](), list[Any]()
    a.send(1)
    me = _core.current()

    def in_hub() -> None:
        log.append(attempt(lambda: select(b.receiving(), a.receiving())))
        log.append(attempt(lambda: select(b.receiving(), a.receiving())))
        _core.wake(me)

    _core.hub().call_soon(in_hub)
    _core.park()
    assert log[0] == (1, a, 1)
    assert isinstance(log[1], TaskletError)
    assert (a.balance, b.balance) == (0, 0)


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_whoever_is_killed_leaves_all_queues(leaver: int) -> None:
    a, b = Channel[int](preference=0), Channel[int](preference=0)
    waiting = [selecting(a.receiving(), b.receiving()) for _ in range(3)]
    waiting[leaver][0].kill()
    assert (a.balance, b.balance) == (-2, -2)
    a.send(1)
    b.send(2)
    schedule()
    left = [outcome for number, (_, outcome) in enumerate(waiting) if number != leaver]
    assert left == [[(0, a, 1)], [(1, b, 2)]]
    assert (a.balance, b.balance) == (0, 0)


# --- What can be seen of it -----------------------------------------------------------------------


def test_a_tasklet_says_what_it_selects_from() -> None:
    a, b = Channel[int](), Channel[int]()
    arms = a.receiving(), b.sending(1)
    tasklet, _ = selecting(*arms)
    waiting_on = tasklet.waiting_on
    assert waiting_on.arms == arms
    assert repr(waiting_on) == f"select({a!r}.receiving(), {b!r}.sending(...))"
    assert repr(waiting_on) in repr(tasklet)
    assert a._waiters() == b._waiters() == [tasklet]
    tasklet.kill()
    tasklet, _ = selecting(arms[0])
    assert repr(tasklet.waiting_on) == f"select({a!r}.receiving())"
    tasklet.kill()


def test_a_selection_is_a_tuple_with_names() -> None:
    channel = Channel[int](1)
    channel.send(1)
    selection = select(channel.receiving())
    index, where, value = selection
    assert (index, where, value) == (selection.index, selection.channel, selection.value)
    assert isinstance(selection, Selection)
    assert hash(selection) == hash((index, where, value)) == hash(Selection(*selection))
    assert selection == (0, channel, 1) != Selection(1, channel, 1) > selection
    match selection:
        case Selection(0, other, 1):
            assert other is channel
        case _:
            pytest.fail("does not match")
    default = select(default=5)
    assert repr(default) == "Selection(index=-1, channel=None, value=5)"
    copies = [Selection(-1, None, 5), pickle.loads(pickle.dumps(default)), copy.copy(default)]
    assert [(type(one), one) for one in copies] == [(Selection, default)] * 3
    with pytest.raises(TypeError):
        Selection(1)  # type: ignore[call-arg]


def test_arms_and_selects_are_made_by_calls_only() -> None:
    for kind in (_core.Arm, _core.Select):
        with pytest.raises(TypeError, match="cannot create"):
            kind()


def test_anything_with_a_callback_can_be_waited_for_through_a_buffer() -> None:
    ended, other = Channel[Any](None), Channel[int]()
    tasklet = spawn(schedule)
    tasklet.add_done_callback(ended.send_nowait)
    assert select(other.receiving(), ended.receiving()) == (1, ended, tasklet)


# --- What is kept ---------------------------------------------------------------------------------


class Marker:
    """Something that can be watched as it goes."""


def test_a_waiting_select_keeps_its_channels_and_values() -> None:
    channel, marker = Channel[Marker](), Marker()
    gone = weakref.ref(channel), weakref.ref(marker)
    tasklet, outcome = selecting(channel.sending(marker))
    del channel, marker
    gc.collect()
    channel_again = gone[0]()
    assert channel_again is not None
    assert channel_again.receive() is gone[1]()
    schedule()
    outcome.clear()
    del channel_again, tasklet
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_cycles_through_arms_and_selections_are_collected() -> None:
    channel, marker = Channel[Any](None), Marker()
    gone = weakref.ref(marker)
    channel.send(channel.sending([channel.receiving(), marker]))
    channel.send([])
    kept = select(Channel[Any]().receiving(), channel.receiving())
    kept.value.channel.send(kept)
    del channel, marker, kept
    gc.collect()
    assert gone() is None


def test_what_an_arm_would_have_sent_may_use_the_channels_as_it_goes() -> None:
    a, b, log = Channel[Any](), Channel[Any](None), list[Any]()

    class Late:
        def __del__(self) -> None:
            b.send("last words")
            log.append(attempt(a.receive_nowait))

    _, outcome = selecting(a.sending(Late()), b.receiving())
    b.send("value")
    schedule()
    assert outcome == [(1, b, "value")]
    assert len(log) == 1
    assert (a.balance, b.balance, b.receive()) == (0, 0, "last words")


def test_what_is_not_complete_yet_cannot_be_seen() -> None:
    channel = Channel[int]()
    tasklet, _ = selecting(channel.receiving())
    assert not [one for one in gc.get_objects() if type(one) is Selection]
    assert tasklet.waiting_on in gc.get_objects()
    channel.send(1)
    selection = select(default=1)
    assert [one for one in gc.get_objects() if type(one) is Selection] == [selection]
    schedule()


# --- Threads --------------------------------------------------------------------------------------


def test_threads_meet_in_it() -> None:
    ask, answer, end = Channel[int](), Channel[int](), Channel[None]()

    def serve() -> None:
        while select(end.receiving(), ask.receiving()).channel is ask:
            answer.send(1)

    thread = threading.Thread(target=serve)
    thread.start()
    for _ in range(50):
        assert select(ask.sending(1), answer.receiving()) == (0, ask, None)
        assert select(ask.sending(1), answer.receiving()) == (1, answer, 1)
    end.send(None)
    thread.join()
    assert (ask.balance, answer.balance, end.balance) == (0, 0, 0)


def test_a_thread_that_ends_leaves_all_queues() -> None:
    a, b = Channel[int](), Channel[int]()
    outcomes: list[list[Any]] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(selecting(a.receiving(), b.sending(1))[1])
    )
    thread.start()
    thread.join()
    assert (a.balance, b.balance) == (0, 0)
    assert [type(error).__name__ for error in outcomes[0]] == ["GreenletExit"]

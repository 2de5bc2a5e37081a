"""Tasklets: their states, their ends, and who learns of them."""

import contextvars
import sys

import pytest

import ringlet
from ringlet import (
    Channel,
    Tasklet,
    TaskletError,
    TaskletExit,
    Timeout,
    current,
    main,
    run,
    schedule,
    sleep,
    spawn,
    spawn_later,
    tasklets,
)
from ringlet.testing import fake_clock


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list:
    """What goes through ringlet.excepthook."""
    seen: list = []
    monkeypatch.setattr(ringlet, "excepthook", lambda tasklet, error: seen.append(error))
    return seen


def test_the_states_of_a_life() -> None:
    channel = Channel()
    states = []

    def body() -> str:
        states.append(current().state)
        return channel.receive()

    tasklet = Tasklet(body)
    states.append(tasklet.state)
    assert tasklet.start() is tasklet
    states.append(tasklet.state)
    schedule()
    states.append(tasklet.state)
    channel.send("end")
    assert tasklet.result() == "end"
    states.append(tasklet.state)
    assert states == ["new", "ready", "running", "parked", "finished"]
    assert tasklet.join(timeout=0)
    with pytest.raises(TaskletError, match="started already"):
        tasklet.start()


def test_arguments_names_and_contexts() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("spawner's")

    def body(*args: object, **kwargs: object) -> tuple:
        seen = variable.get()
        variable.set("own")
        return args, kwargs, seen

    tasklet = spawn(body, 1, key=2)
    assert tasklet.result() == ((1,), {"key": 2}, "spawner's")
    assert variable.get() == "spawner's"
    named = Tasklet(body, [1], {"key": 2}, name="Ada", context=contextvars.Context())
    named.start()
    assert named.result() == ((1,), {"key": 2}, "unset")
    assert "Ada" in repr(named)
    named.name = "Grace"
    assert named.name == "Grace"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1,), {}), ((print, 3), {}), ((print, (), 3), {}), ((print,), {"name": 3})],
)
def test_a_tasklet_refuses_what_it_cannot_run(args: tuple, kwargs: dict) -> None:
    with pytest.raises(TypeError):
        Tasklet(*args, **kwargs)


def test_an_error_nobody_waits_for_is_shown_once(printed: list) -> None:
    tasklet = spawn(lambda: 1 / 0)
    tasklet.join()
    assert [type(error) for error in printed] == [ZeroDivisionError]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            tasklet.result()
    assert len(printed) == 1


def test_an_error_somebody_waits_for_is_not_shown(printed: list) -> None:
    tasklet = spawn(lambda: 1 / 0)
    lengths = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as caught:
            tasklet.result()
        lengths.append(len(caught.traceback))
    assert printed == []
    assert lengths[1] == lengths[2], "the traceback grows with each call"


def test_the_default_hook_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def careless() -> None:
        raise ValueError("seen by nobody")

    spawn(careless).join()
    shown = capsys.readouterr().err
    assert "careless" in shown
    assert "ValueError: seen by nobody" in shown


def test_killing_in_every_state(printed: list) -> None:
    def body() -> None:
        ended.append("began")
        try:
            sleep(1000)
        finally:
            ended.append("finally")

    with fake_clock() as clock:
        ended: list[str] = []
        unstarted = Tasklet(body)
        unstarted.kill()
        never_ran = spawn(body)
        never_ran.kill()
        assert ended == []
        parked = spawn(body)
        schedule()
        parked.kill()
        assert ended == ["began", "finally"]
        for tasklet in (unstarted, never_ran, parked):
            assert tasklet.finished
            tasklet.kill()
            assert tasklet.join()
        with pytest.raises(TaskletExit):
            parked.result()
        with pytest.raises(TaskletExit):
            current().kill()
        schedule()
        assert clock.now == 0
    assert printed == []


def test_killing_without_waiting() -> None:
    tasklet = spawn(sleep, 1000)
    schedule()
    tasklet.kill(wait=False)
    assert not tasklet.finished
    assert tasklet.join()


def test_a_thrown_exception_arrives_where_it_waits() -> None:
    def body() -> str:
        try:
            Channel().receive()
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    tasklet = spawn(body)
    schedule()
    tasklet.throw(KeyError("this"))
    assert tasklet.result() == "caught 'this'"
    with pytest.raises(TaskletError, match="cannot throw"):
        tasklet.throw(KeyError)
    with pytest.raises(TypeError):
        tasklet.throw("text")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="here"):
        current().throw(KeyError("here"))


def test_joining_with_a_limit() -> None:
    with fake_clock() as clock:
        tasklet = spawn(sleep, 10)
        assert tasklet.join(timeout=4) is False
        assert clock.now == 4
        with pytest.raises(Timeout, match="has not ended"):
            tasklet.result(timeout=1)
        assert tasklet.join(timeout=100) is True
        assert clock.now == 10


@pytest.mark.parametrize("limit", ["soon", object()])
def test_a_limit_must_be_a_number(limit: object) -> None:
    tasklet = spawn(schedule)
    with pytest.raises(TypeError, match="number of seconds"):
        tasklet.join(limit)  # type: ignore[arg-type]
    tasklet.join()


def test_nobody_waits_for_its_own_end() -> None:
    with pytest.raises(TaskletError, match="its own end"):
        current().join()


def test_several_wait_for_one() -> None:
    order = []

    def waiter(name: str, target: Tasklet) -> None:
        target.join()
        order.append(name)

    target = spawn(schedule)
    waiters = [spawn(waiter, name, target) for name in "abc"]
    for tasklet in waiters:
        tasklet.join()
    assert order == ["a", "b", "c"]


def test_done_callbacks_run_in_the_hub_with_the_tasklet() -> None:
    seen = []
    channel = Channel()
    tasklet = spawn(channel.receive)
    tasklet.add_done_callback(lambda done: seen.append((done, ringlet._core.in_hub())))
    schedule()
    channel.send("value")
    tasklet.join()
    with fake_clock():
        sleep(1)
    assert seen == [(tasklet, True)]
    tasklet.add_done_callback(lambda done: seen.append("late"))
    with fake_clock():
        sleep(1)
    assert seen[1:] == ["late"]


def test_spawning_later() -> None:
    with fake_clock() as clock:
        times = []
        late = spawn_later(5, lambda: times.append(clock.now))
        never = spawn_later(3, lambda: times.append("never"))
        never.kill()
        sleep(10)
        assert times == [5]
        assert late.finished


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_nothing_is_spawned_in_the_past(seconds: float) -> None:
    with pytest.raises(ValueError, match="give 0 or more"):
        spawn_later(seconds, print)


def test_run_waits_for_all_that_was_spawned() -> None:
    ended = []

    def parent() -> str:
        spawn(child, 3)
        return "value"

    def child(generation: int) -> None:
        sleep(1)
        ended.append(generation)
        if generation:
            spawn(child, generation - 1)

    with fake_clock():
        assert run(parent) == "value"
    assert ended == [3, 2, 1, 0]


def test_tasklets_lists_the_main_one_first() -> None:
    tasklet = spawn(schedule)
    assert tasklets()[0] is main() is current()
    assert tasklet in tasklets()
    tasklet.join()
    assert tasklet not in tasklets()


def test_a_system_exit_in_a_tasklet_is_the_main_programs() -> None:
    spawn(sys.exit, "the end")
    with pytest.raises(SystemExit, match="the end"):
        sleep(1000)


def test_a_hundred_thousand_wait_at_once() -> None:
    channel = Channel()
    waiting = [spawn(channel.receive) for _ in range(100_000)]
    schedule()
    assert channel.balance == -100_000
    channel.preference = 0
    for number in range(100_000):
        channel.send(number)
    assert [tasklet.result() for tasklet in waiting] == list(range(100_000))


def test_of_several_errors_before_its_turn_the_last_is_raised() -> None:
    caught = []

    def wait() -> None:
        try:
            Channel().receive()
        except BaseException as error:
            caught.append(type(error))
            raise

    waiting = spawn(wait)
    schedule()
    waiting.throw(ValueError("first"))
    waiting.throw(KeyError("second"))
    waiting.kill()
    assert caught == [TaskletExit]

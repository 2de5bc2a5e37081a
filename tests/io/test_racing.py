"""Connecting to hosts with several addresses, some of which do not answer."""

import contextlib

import pytest

import ringlet
import ringlet.sync
from ringlet.io import racing, socket
from ringlet.io.racing import ATTEMPT_DELAY, in_turns, race
from ringlet.testing import fake_clock


def entry(address, family=socket.AF_INET):
    return family, socket.SOCK_STREAM, 6, "", address


@pytest.fixture
def resolved(monkeypatch):
    """The addresses that every host has."""
    addresses = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [entry(a) for a in addresses])
    return addresses


@pytest.fixture
def silent():
    """An address where the kernel leaves clients unanswered: a full backlog."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield full.getsockname()


@pytest.fixture
def refusing():
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


def test_families_take_turns():
    four, six = socket.AF_INET, socket.AF_INET6
    found = [entry(1, six), entry(2, six), entry(3, four), entry(4, six), entry(5, four)]
    assert [e[-1] for e in in_turns(found)] == [1, 3, 2, 5, 4]
    assert in_turns([]) == []


def test_an_address_that_refuses_is_left_at_once(resolved, refusing, listener):
    resolved += [refusing, refusing, listener.getsockname()]
    with fake_clock() as clock:
        with socket.create_connection(("host", 80)) as sock:
            assert sock.getpeername() == listener.getsockname()
        assert clock.now == 0


def test_an_address_that_does_not_answer_is_not_waited_for(resolved, silent, listener):
    resolved += [silent, silent, listener.getsockname()]
    with fake_clock() as clock:
        with socket.create_connection(("host", 80), timeout=60) as sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.gettimeout() == 60
        assert clock.now == pytest.approx(2 * ATTEMPT_DELAY)


def test_nobody_answers(resolved, silent, refusing):
    resolved += [silent, refusing, silent]
    with fake_clock() as clock:
        with pytest.raises(TimeoutError):
            socket.create_connection(("host", 80), timeout=5)
        assert clock.now == pytest.approx(5 + ATTEMPT_DELAY)
        with pytest.raises(ExceptionGroup) as caught:
            socket.create_connection(("host", 80), timeout=5, all_errors=True)
        kinds = [TimeoutError, ConnectionRefusedError, TimeoutError]
        assert [type(error) for error in caught.value.exceptions] == kinds


def test_no_address(resolved):
    with pytest.raises(OSError, match="empty list"):
        socket.create_connection(("host", 80))


@pytest.mark.parametrize("end", ["kill", "cancel"])
def test_whoever_connects_is_ended_with_all_attempts(resolved, silent, end):
    resolved += [silent] * 3
    with fake_clock():
        connecting = ringlet.spawn(socket.create_connection, ("host", 80))
        ringlet.sleep(2)
        assert len(ringlet.tasklets()) == 5
        getattr(connecting, end)()
        connecting.join()
        assert ringlet.tasklets() == [ringlet.main()]


def test_what_is_no_error_of_the_network_ends_the_race(resolved, silent, listener):
    resolved += [silent, listener.getsockname()]
    with pytest.raises(ValueError, match="out of range"):
        socket.create_connection(("host", 80), timeout=-1)


def test_a_non_blocking_attempt_is_no_race(resolved, silent):
    resolved += [silent, silent]
    with pytest.raises(BlockingIOError):
        socket.create_connection(("host", 80), timeout=0)


def test_what_comes_late_is_given_back():
    gate = ringlet.sync.Event()

    def after_gate(value):
        gate.wait()
        return value

    late, errors = [], []
    with fake_clock():
        ringlet.spawn_later(1.5 * ATTEMPT_DELAY, gate.set)
        winner = race([lambda: after_gate(1), lambda: after_gate(2)], late.append, errors)
    assert (winner, late, errors) == (1, [2], [])


def test_the_winner_is_known_at_once():
    """The others need not end by themselves."""
    with fake_clock() as clock:
        attempts = [lambda: ringlet.sleep(100), lambda: 7, lambda: ringlet.sleep(100)]
        assert race(attempts, list, []) == 7
        assert clock.now == pytest.approx(racing.ATTEMPT_DELAY)

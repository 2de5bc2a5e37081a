"""One suite for every poller: epoll itself, the standard library's selectors, and others' ideas."""

import contextlib
import errno
import gc
import os
import selectors
import signal
import socket
import threading
import time

import pytest

import ringlet
from ringlet import _core
from ringlet.sched.pollers import READ, WRITE, SelectorPoller, use_poller
from ringlet.testing import fake_clock
from tests.support.pollers import POLLERS


@pytest.fixture(params=POLLERS)
def poller(request):
    """The poller in place; None for the native one."""
    poller = POLLERS[request.param]()
    use_poller(poller)
    yield poller
    use_poller(None)
    assert ringlet.tasklets() == [ringlet.main()]


@pytest.fixture
def pair():
    """Two plain sockets, non-blocking."""
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    with a, b:
        yield a, b


def settle():
    """Let all tasklets run until each of them waits."""
    for _ in range(5):
        ringlet.schedule()


def wait_for(sock, mask, seconds=None):
    return _core.wait_descriptor(sock.fileno(), mask, seconds)


def fill(sock):
    try:
        while True:
            sock.send(bytes(65536))
    except BlockingIOError:
        return


def drain(sock):
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        return


def test_what_is_ready_is_not_waited_for(poller, pair):
    a, b = pair
    assert wait_for(a, WRITE) == WRITE
    assert wait_for(a, READ | WRITE) == WRITE
    b.send(b"x")
    assert wait_for(a, READ) == READ
    assert wait_for(a, READ | WRITE) == READ | WRITE


def test_waiting_to_read(poller, pair):
    a, b = pair
    reader = ringlet.spawn(wait_for, a, READ)
    settle()
    assert reader.state == "parked"
    assert _core.hub().poller.waits
    b.send(b"x")
    assert reader.result() == READ
    assert not _core.hub().poller.waits


def test_waiting_to_write(poller, pair):
    a, b = pair
    fill(a)
    writer = ringlet.spawn(wait_for, a, WRITE)
    settle()
    assert writer.state == "parked"
    drain(b)
    assert writer.result() == WRITE


def test_both_directions_of_one_descriptor(poller, pair):
    a, b = pair
    fill(a)
    reader, writer = ringlet.spawn(wait_for, a, READ), ringlet.spawn(wait_for, a, WRITE)
    settle()
    b.send(b"x")
    assert reader.result() == READ
    settle()
    assert writer.state == "parked"
    drain(b)
    assert writer.result() == WRITE
    a.recv(1)
    again = ringlet.spawn(wait_for, a, READ)
    settle()
    assert again.state == "parked"
    b.send(b"y")
    assert again.result() == READ


def test_several_wait_for_the_same(poller, pair):
    a, b = pair
    readers = [ringlet.spawn(wait_for, a, READ) for _ in range(3)]
    settle()
    b.send(b"x")
    assert [reader.result() for reader in readers] == [READ] * 3


def test_the_other_end_closes(poller, pair):
    a, b = pair
    fill(a)
    reader, writer = ringlet.spawn(wait_for, a, READ), ringlet.spawn(wait_for, a, WRITE)
    settle()
    b.close()
    assert reader.result() == READ
    assert writer.result() == WRITE


def test_waiting_again_and_again(poller, pair):
    a, b = pair
    for _ in range(10):
        reader = ringlet.spawn(wait_for, a, READ)
        settle()
        b.send(b"x")
        assert reader.result() == READ
        assert a.recv(10) == b"x"


def test_what_nobody_waits_for_any_more_is_polled_no_more(poller, pair):
    """A poller that goes on reporting is told to forget, and the hub does not spin."""
    a, b = pair
    reader = ringlet.spawn(wait_for, a, READ)
    settle()
    b.send(b"never read")
    assert reader.result() == READ
    with fake_clock() as clock:
        ringlet.sleep(5)
        assert clock.now == 5
    other = ringlet.spawn(wait_for, b, READ)
    settle()
    assert other.state == "parked"
    a.send(b"x")
    other.join()


def test_time_limits(poller, pair):
    a, b = pair
    with fake_clock() as clock:
        with pytest.raises(TimeoutError, match="timed out"):
            wait_for(a, READ, 5)
        assert clock.now == 5
        reader = ringlet.spawn(wait_for, a, READ, 5)
        ringlet.sleep(3)
        b.send(b"x")
        assert reader.result() == READ
        with pytest.raises(TimeoutError):
            wait_for(b, READ, 0)
        assert wait_for(b, WRITE, 0) == WRITE


def test_a_timer_of_an_earlier_wait_disturbs_nobody(poller, pair):
    a, b = pair
    with fake_clock() as clock:
        reader = ringlet.spawn(wait_for, a, READ, 5)
        ringlet.sleep(1)
        b.send(b"x")
        reader.join()
        a.recv(1)
        with pytest.raises(TimeoutError):
            wait_for(a, READ, 7)
        assert clock.now == 8
        ringlet.sleep(20)


def test_killing_who_waits(poller, pair):
    a, b = pair
    first, second = (ringlet.spawn(wait_for, a, READ, 1000) for _ in range(2))
    settle()
    first.kill()
    assert _core.hub().poller.waiting == 1
    b.send(b"x")
    assert second.result() == READ
    third = ringlet.spawn(wait_for, b, READ, 1000)
    settle()
    third.kill()
    assert len(_core.hub().timers) == 0


def test_a_closed_descriptor_cannot_be_waited_for(poller):
    r, w = os.pipe()
    os.close(r)
    os.close(w)
    for fd in (r, w, -1, 1_000_000):
        with pytest.raises(OSError, match="Bad file descriptor"):
            _core.wait_descriptor(fd, READ)


def test_a_number_used_again_for_another_file(poller, pair):
    """Nobody tells the poller that the first pipe is closed."""
    for _ in range(3):
        r, w = os.pipe()
        reader = ringlet.spawn(_core.wait_descriptor, r, READ)
        settle()
        assert reader.state == "parked"
        os.write(w, b"x")
        assert reader.result() == READ
        os.close(r)
        os.close(w)


def test_regular_files_are_always_ready(poller, tmp_path):
    with (tmp_path / "file").open("w+b") as file:
        assert _core.wait_descriptor(file.fileno(), READ) == READ
        assert _core.wait_descriptor(file.fileno(), READ | WRITE) == READ | WRITE


def test_pipes_stay_as_they_are(poller):
    r, w = os.pipe()
    reader = ringlet.spawn(_core.wait_descriptor, r, READ)
    settle()
    os.write(w, b"x")
    reader.join()
    assert os.get_blocking(r)
    assert os.get_blocking(w)
    os.close(w)
    os.read(r, 1)
    assert _core.wait_descriptor(r, READ) == READ  # the end
    os.close(r)


def test_a_wake_from_another_thread_ends_the_poll(poller, pair):
    a, _ = pair
    reader = ringlet.spawn(wait_for, a, READ)  # the hub has something to poll
    settle()
    hub = _core.hub()
    channel = ringlet.Channel()
    thread = threading.Thread(
        target=hub.call_threadsafe, args=(ringlet.spawn, channel.send, "from the thread")
    )
    thread.start()
    assert channel.receive() == "from the thread"
    thread.join()
    reader.kill()


def test_a_socket_is_heard_after_wakes_of_other_kinds(poller, pair):
    a, b = pair
    hub = _core.hub()
    for _ in range(3):
        reader = ringlet.spawn(wait_for, a, READ)
        settle()
        hub.poller.wakeup()
        ringlet.sleep(0.001)
        b.send(b"x")
        assert reader.result() == READ
        a.recv(1)


@contextlib.contextmanager
def signal_while_polling(handler):
    """Call `handler` from a signal, once, when nothing is ready and the hub waits."""
    hub, main = _core.hub(), threading.get_ident()

    def send():
        while hub.timers.listener is None:
            time.sleep(0.0005)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_that_wakes_somebody(poller, pair):
    a, b = pair
    with signal_while_polling(lambda *_: b.send(b"x")):
        assert wait_for(a, READ) == READ


def test_a_signal_handler_that_spawns(poller, pair):
    a, _ = pair
    channel = ringlet.Channel()
    reader = ringlet.spawn(wait_for, a, READ)
    with signal_while_polling(lambda *_: ringlet.spawn(channel.send, "spawned")):
        assert channel.receive() == "spawned"
    reader.kill()


class Interruption(Exception):
    """What a signal handler raises."""


def test_an_exception_from_a_signal_handler_loses_no_event(poller, pair):
    """It ends the main program's wait; others find what has come meanwhile."""
    a, b = pair

    def handler(*_):
        b.send(b"x")
        raise Interruption

    reader = ringlet.spawn(wait_for, a, READ)
    with (
        signal_while_polling(handler),
        pytest.raises(Interruption),
    ):
        ringlet.Channel().receive()
    assert reader.result() == READ


class Interrupted(selectors.EpollSelector):
    """Once a signal comes in the midst of register(), when one of two lists has the descriptor."""

    known_to = None

    def register(self, fileobj, events, data=None):
        key = super().register(fileobj, events, data)
        known_to, Interrupted.known_to = Interrupted.known_to, None
        if known_to == "kernel":
            del self._fd_to_key[key.fd]
            raise Interruption
        if known_to == "selector":
            self._selector.unregister(key.fd)
            raise Interruption
        return key


@pytest.mark.parametrize("known_to", ["kernel", "selector"])
def test_a_signal_may_come_in_the_midst_of_registering(pair, known_to):
    a, b = pair
    other = SelectorPoller(Interrupted())
    try:
        Interrupted.known_to = known_to
        with pytest.raises(Interruption):
            other.arm(a.fileno(), READ)
        other.arm(a.fileno(), READ)
        b.send(b"x")
        assert other.poll(10) == [(a.fileno(), READ)]
    finally:
        other.close()


def test_pollers_are_changed_while_tasklets_wait(poller, pair):
    a, b = pair
    reader = ringlet.spawn(wait_for, a, READ)
    settle()
    use_poller(SelectorPoller(selectors.PollSelector()))
    settle()
    assert reader.state == "parked"
    use_poller(None)
    settle()
    assert reader.state == "parked"
    b.send(b"x")
    assert reader.result() == READ


def test_waiting_for_a_descriptor_is_no_deadlock(poller, pair):
    a, b = pair
    reader = ringlet.spawn(wait_for, a, READ)
    settle()
    thread = threading.Thread(target=b.send, args=(b"x",))
    thread.start()
    assert reader.result() == READ
    thread.join()


def test_the_report_says_which_descriptor(poller, pair):
    a, _ = pair
    reader = ringlet.spawn(wait_for, a, READ)
    settle()
    assert repr(reader).endswith(f"waiting for descriptor {a.fileno()}>")
    reader.kill()


def test_each_thread_has_its_own(poller, pair):
    a, b = pair
    here = ringlet.spawn(wait_for, a, READ)
    there = []

    def wait():
        there.append(wait_for(a, READ))

    thread = threading.Thread(target=wait)
    thread.start()
    settle()
    b.send(b"x")
    assert here.result() == READ
    thread.join()
    assert there == [READ]


# --- what only SelectorPoller has to get right ----------------------------------------------------


@pytest.fixture(params=["SelectSelector", "PollSelector", "EpollSelector"])
def selector_poller(request):
    """One that no hub uses."""
    poller = SelectorPoller(getattr(selectors, request.param)())
    yield poller
    poller.close()


def test_selector_poller_reports_until_told_otherwise(selector_poller, pair):
    a, b = pair
    poller = selector_poller
    poller.arm(a.fileno(), READ)
    assert poller.poll(0) == []
    b.send(b"x")
    assert poller.poll(None) == [(a.fileno(), READ)]
    assert poller.poll(0) == [(a.fileno(), READ)]
    poller.arm(a.fileno(), READ | WRITE)
    assert poller.poll(0) == [(a.fileno(), READ | WRITE)]
    poller.arm(a.fileno(), WRITE)
    assert poller.poll(0) == [(a.fileno(), WRITE)]
    poller.forget(a.fileno())
    poller.forget(a.fileno())
    assert poller.poll(0) == []
    assert type(selector_poller._selector).__name__ in repr(poller)


def test_selector_poller_survives_a_descriptor_closed_unseen(selector_poller, pair):
    a, b = pair
    poller = selector_poller
    r, w = os.pipe()
    poller.arm(r, READ)
    poller.arm(a.fileno(), READ)
    os.close(r)
    os.close(w)
    b.send(b"x")
    reported = dict(poller.poll(0)) | dict(poller.poll(0))
    assert reported[a.fileno()] == READ
    r, w = os.pipe()
    poller.arm(r, WRITE)
    poller.arm(r, READ)
    poller.forget(a.fileno())
    os.write(w, b"x")
    assert poller.poll(1) == [(r, READ)]
    os.close(r)
    os.close(w)


def test_selector_poller_lets_errors_of_the_selector_out():
    class Broken(selectors.SelectSelector):
        def select(self, timeout=None):
            raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        SelectorPoller(Broken()).poll(0)


# --- pollers that misbehave -----------------------------------------------------------------------


class FakePoller(SelectorPoller):
    def __init__(self):
        super().__init__(selectors.DefaultSelector())


def test_a_poller_that_cannot_be_armed_is_refused():
    class Unarmable(FakePoller):
        def arm(self, fd, mask):
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        use_poller(Unarmable())
    with pytest.raises(AttributeError):
        use_poller(object())
    ringlet.sleep(0.001)  # all is as before


@pytest.mark.parametrize("answer", [None, [None], [(1,)], ["ab"], [(1, "r")]])
def test_a_poller_that_returns_nonsense_is_told_so_in_the_main_program(answer):
    class Nonsense(FakePoller):
        nonsense = True

        def poll(self, timeout):
            if self.nonsense:
                self.nonsense = False
                return answer
            return super().poll(timeout)

    use_poller(Nonsense())
    try:
        with pytest.raises(TypeError):
            ringlet.sleep(0.01)
    finally:
        use_poller(None)


def test_a_poller_whose_arm_fails_later_fails_the_wait(pair):
    class Tired(FakePoller):
        def arm(self, fd, mask):
            if fd == pair[0].fileno():
                raise OSError("tired")
            super().arm(fd, mask)

    use_poller(Tired())
    try:
        with pytest.raises(OSError, match="tired"):
            wait_for(pair[0], READ)
        assert not _core.hub().poller.waits
    finally:
        use_poller(None)


def test_a_poller_is_closed_when_it_is_replaced():
    closed = []

    class Closing(FakePoller):
        def close(self):
            super().close()
            closed.append(self)
            raise KeyError("as it closed")

    use_poller(poller := Closing())
    with pytest.raises(KeyError, match="as it closed"):
        use_poller(None)
    assert closed == [poller]
    gc.collect()

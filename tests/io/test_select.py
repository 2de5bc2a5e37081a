"""select, poll and epoll that hold up the caller alone: one suite on every poller."""

import contextlib
import errno
import os
import pty
import select as stdlib
import socket as stdlib_socket
import threading

import pytest

import ringlet
from ringlet import _core
from ringlet.io import select, socket, wait_readable, wait_writable
from ringlet.sched.pollers import use_poller
from ringlet.testing import fake_clock
from tests.io.settling import fill, settle
from tests.support.pollers import POLLERS


@pytest.fixture(autouse=True, params=POLLERS)
def poller(request):
    """The poller in place."""
    use_poller(POLLERS[request.param]())
    yield request.param
    use_poller(None)
    poller = _core.hub().poller
    assert (poller.waiting, len(_core.hub().timers)) == (0, 0)


@pytest.fixture
def pipe():
    r, w = os.pipe()
    yield r, w
    for fd in (r, w):
        with contextlib.suppress(OSError):
            os.close(fd)


def with_select(fd, timeout=None):
    """Whether `fd` can be read, by select(), as the other two below."""
    return select.select([fd], [], [], timeout)[0] == [fd]


def with_poll(fd, timeout=None):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(None if timeout is None else timeout * 1000) == [(fd, select.POLLIN)]


def with_epoll(fd, timeout=None):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        return epoll.poll(timeout) == [(fd, select.EPOLLIN)]


def with_wait(fd, timeout=None):
    try:
        wait_readable(fd, timeout)
    except ringlet.Timeout:
        return False
    return True


WAYS = pytest.mark.parametrize("is_readable", [with_select, with_poll, with_epoll, with_wait])


# --- what all ways have in common -----------------------------------------------------------------


@WAYS
def test_others_run_while_one_waits(pipe, is_readable):
    r, w = pipe
    waiter = ringlet.spawn(is_readable, r)
    settle()
    assert waiter.state == "parked"
    os.write(w, b"x")
    assert waiter.result() is True


@WAYS
def test_what_is_ready_stays_ready_whoever_has_seen_it(pipe, is_readable):
    r, w = pipe
    waiters = [ringlet.spawn(is_readable, r) for _ in range(3)]
    settle()
    os.write(w, b"xyz")
    assert [waiter.result() for waiter in waiters] == [True] * 3
    os.read(r, 1)
    assert is_readable(r) is True
    os.read(r, 2)
    assert is_readable(r, 0) is False


@WAYS
def test_time_limits(pipe, is_readable):
    r, w = pipe
    with fake_clock() as clock:
        assert is_readable(r, 5) is False
        assert clock.now == 5
        waiter = ringlet.spawn(is_readable, r, 5)
        ringlet.sleep(3)
        os.write(w, b"x")
        assert waiter.result() is True
        assert clock.now == 8
        assert is_readable(r, 5) is True
        ringlet.sleep(100)


@WAYS
def test_a_call_that_asks_again_and_again_lets_others_run(pipe, is_readable):
    r, w = pipe
    ringlet.spawn(os.write, w, b"x")
    while not is_readable(r, 0):
        pass


@WAYS
def test_one_that_is_always_answered_at_once_lets_others_run(pipe, is_readable):
    r, w = pipe
    os.write(w, b"x")
    other = ringlet.spawn(int)
    for _ in range(64):
        assert is_readable(r, 1)
    assert other.state == "finished"


@WAYS
def test_killing_who_waits(pipe, is_readable):
    r, w = pipe
    first, second = (ringlet.spawn(is_readable, r, 1000) for _ in range(2))
    settle()
    first.kill()
    os.write(w, b"x")
    assert second.result() is True


@WAYS
def test_a_time_limit_around_it(pipe, is_readable):
    with fake_clock(), ringlet.timeout(5, quiet=True) as scope:
        is_readable(pipe[0])
    assert scope.expired


@WAYS
def test_a_socket_that_another_tasklet_reads(is_readable):
    """What the socket knows of its own reads is not what others are told."""
    a, b = socket.socketpair()
    with a, b:
        reader = ringlet.spawn(a.recv, 2)
        waiter = ringlet.spawn(is_readable, a.fileno())
        settle()
        b.send(b"12345")
        assert reader.result() == b"12"
        assert waiter.result() is True
        assert a.recv(10) == b"345"
        late = ringlet.spawn(a.recv, 10)
        settle()
        assert is_readable(a.fileno(), 0) is False
        b.send(b"6")
        assert late.result() == b"6"


@WAYS
def test_a_number_that_stands_for_another_file_now(pipe, is_readable):
    """The first file, still open under another number, is none of its business any more."""
    r, w = pipe
    assert is_readable(r, 0.001) is False
    first = os.dup(r)
    other_r, other_w = os.pipe()
    os.dup2(other_r, r)
    os.close(other_r)
    waiter = ringlet.spawn(is_readable, r)
    settle()
    os.write(w, b"for the first")
    with fake_clock():
        ringlet.sleep(1)
    assert waiter.state == "parked"
    os.write(other_w, b"x")
    assert waiter.result() is True
    assert is_readable(first) is True
    os.close(first)
    os.close(other_w)


@WAYS
def test_a_duplicate_is_as_ready_as_the_original(pipe, is_readable):
    r, w = pipe
    copy = os.dup(r)
    waiters = [ringlet.spawn(is_readable, fd) for fd in (r, copy)]
    settle()
    os.write(w, b"x")
    assert [waiter.result() for waiter in waiters] == [True] * 2
    os.close(copy)
    assert is_readable(r) is True


@WAYS
def test_terminals_stay_in_blocking_mode(is_readable):
    main, side = pty.openpty()
    waiter = ringlet.spawn(is_readable, side)
    settle()
    os.write(main, b"a line\n")
    assert waiter.result() is True
    assert os.get_blocking(main)
    assert os.get_blocking(side)
    assert os.read(side, 100) == b"a line\n"
    os.close(main)
    os.close(side)


@WAYS
def test_threads_wait_for_themselves(pipe, is_readable):
    r, w = pipe
    here, there = ringlet.spawn(is_readable, r), []
    thread = threading.Thread(target=lambda: there.append(is_readable(r)))
    thread.start()
    settle()
    os.write(w, b"x")
    thread.join()
    assert (here.result(), there) == (True, [True])


def urgent():
    """A TCP connection on which one urgent byte is waiting, and nothing else."""
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener:
        a = stdlib_socket.create_connection(listener.getsockname())
        b = listener.accept()[0]
    b.send(b"!", stdlib_socket.MSG_OOB)
    assert select.select([], [], [a]) == ([], [], [a])
    return a, b


@WAYS
def test_urgent_data_is_not_readable(is_readable, poller):
    """It is no data that recv() would return, and a wait beside it does not go round and round."""
    a, b = urgent()
    with a, b:
        assert is_readable(a.fileno(), 0) is False
        with fake_clock() as clock:
            waiter = ringlet.spawn(is_readable, a.fileno())
            second = ringlet.spawn(is_readable, a.fileno(), 3)
            if poller == "native":
                ringlet.sleep(5)
                assert (clock.now, waiter.state) == (5, "parked")
                assert second.result() is False
            b.send(b"plain")
            assert waiter.result() is True
            second.join()


# --- select ---------------------------------------------------------------------------------------


def test_select_tells_who_is_ready_for_what(pipe):
    a, b = stdlib_socket.socketpair()
    r, w = pipe
    with a, b:
        b.send(b"x")
        assert select.select([a, r], [w, a], [a]) == ([a], [w, a], [])
        assert select.select([r, a, a], [], []) == ([a, a], [], [])
        a.recv(1)
        waiter = ringlet.spawn(select.select, [a, r], [], [])
        settle()
        assert "waiting for descriptor" in repr(waiter)
        os.write(w, b"x")
        assert waiter.result() == ([r], [], [])


def test_select_for_room():
    a, b = socket.socketpair()
    with a, b:
        fill(a)
        waiter = ringlet.spawn(select.select, [a], [a], [])
        writer = ringlet.spawn(wait_writable, a)
        settle()
        assert {waiter.state, writer.state} == {"parked"}
        with contextlib.suppress(BlockingIOError):
            while b.recv(1 << 20, socket.MSG_DONTWAIT):
                pass
        assert waiter.result() == ([], [a], [])
        writer.result()


def test_select_for_nothing_sleeps():
    with fake_clock() as clock:
        assert select.select([], [], [], 3) == ([], [], [])
        assert clock.now == 3
    assert select.select([], [], [], 0) == ([], [], [])


def test_select_waits_for_urgent_data_beside_unread_data(poller):
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener:
        a = stdlib_socket.create_connection(listener.getsockname())
        b = listener.accept()[0]
    with a, b:
        b.send(b"plain")
        wait_readable(a)
        waiter = ringlet.spawn(select.select, [], [], [a])
        if poller == "native":
            with fake_clock():
                ringlet.sleep(5)
        assert waiter.state in ("parked", "ready", "new")
        b.send(b"!", stdlib_socket.MSG_OOB)
        assert waiter.result() == ([], [], [a])


def test_select_takes_numbers_of_any_size(pipe, poller):
    r, w = pipe
    high = os.dup2(r, 3000)
    if poller == "select":  # whose limit it is
        with pytest.raises(ValueError, match="out of range"):
            select.select([high], [], [])
        os.close(high)
        return
    waiter = ringlet.spawn(select.select, [high], [], [])
    settle()
    os.write(w, b"x")
    assert waiter.result() == ([high], [], [])
    os.close(high)


def test_select_of_very_many():
    pairs = [stdlib_socket.socketpair() for _ in range(300)]
    waiter = ringlet.spawn(select.select, [a for a, _ in pairs], [], [])
    settle()
    assert repr(waiter).endswith("and 296 more>")
    pairs[217][1].send(b"x")
    assert waiter.result()[0] == [pairs[217][0]]
    for a, b in pairs:
        a.close()
        b.close()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: select.select(1, [], []), TypeError, "must be sequences"),
        (lambda: select.select([object()], [], []), TypeError, "fileno"),
        (lambda: select.select([-1], [], []), ValueError, "negative"),
        (lambda: select.select([], [], [], "soon"), TypeError, "float or None"),
        (lambda: select.select([], [], [], -1), ValueError, "non-negative"),
        (lambda: select.select([], [], [], float("nan")), ValueError, "NaN"),
        (lambda: select.poll().register(0, -1), ValueError, "positive"),
        (lambda: select.poll().register(0, 65536), OverflowError, "short"),
        (lambda: select.poll().modify(0, 1), OSError, "No such file"),
        (lambda: select.poll().unregister(0), KeyError, "0"),
        (lambda: select.poll().poll("soon"), TypeError, "integer or None"),
        (lambda: select.poll().poll(1 << 40), OverflowError, "too large"),
        (lambda: select.epoll().poll("soon"), TypeError, "integer or None"),
        (lambda: select.epoll().poll(1 << 40), OverflowError, "too large"),
        (lambda: select.epoll().poll(0, 0), ValueError, "greater than 0"),
        (lambda: wait_readable(-1), ValueError, "negative"),
        (lambda: wait_readable("0"), TypeError, "fileno"),
        (lambda: wait_readable(0, float("nan")), ValueError, "NaN"),
        (lambda: _core.poll_descriptors([(-1, 1)], None), ValueError, "negative"),
        (lambda: _core.poll_descriptors([1], None), TypeError, "pairs"),
        (lambda: _core.poll_descriptors([(1, 2, 3)], None), TypeError, "arguments"),
        (lambda: _core.poll_descriptors(7, None), TypeError, "pairs"),
        (lambda: _core.poll_descriptors([], "soon"), TypeError, "number"),
    ],
)
def test_calls_that_make_no_sense(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_something_whose_fileno_is_no_number():
    class Odd:
        def fileno(self):
            return "3"

    with pytest.raises(TypeError, match="non-integer"):
        select.select([Odd()], [], [])


# --- ends and errors ------------------------------------------------------------------------------


def test_a_closed_descriptor(pipe):
    r, w = pipe
    os.close(r)
    os.close(w)
    with pytest.raises(OSError, match="Bad file descriptor"):
        select.select([r], [], [])
    with pytest.raises(OSError, match="Bad file descriptor"):
        wait_readable(r)
    poll = select.poll()
    poll.register(r)
    assert poll.poll() == [(r, select.POLLNVAL)]


@pytest.mark.parametrize("beside", [False, True])
def test_closing_a_socket_wakes_who_waits_for_it(pipe, beside):
    a, b = socket.socketpair()
    files = [a, pipe[0]] if beside else [a]
    selecting = ringlet.spawn(select.select, files, [], [])
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    polling = ringlet.spawn(poll.poll)
    waiting = ringlet.spawn(wait_readable, a)
    fd = a.fileno()
    settle()
    a.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        selecting.result()
    with pytest.raises(OSError, match="Bad file descriptor"):
        waiting.result()
    assert polling.result() == [(fd, select.POLLNVAL)]
    b.close()


def test_giving_a_socket_s_descriptor_away_ends_waits_for_it():
    """As with a recv that waits: whose it is now knows nothing of them."""
    a, b = socket.socketpair()
    waiting = ringlet.spawn(wait_readable, a)
    settle()
    fd = a.detach()
    with pytest.raises(OSError, match="Bad file descriptor"):
        waiting.result()
    os.close(fd)
    b.close()


def test_closing_a_socket_wakes_who_waits_for_it_in_another_thread():
    a, b = socket.socketpair()
    fd, waits, errors = a.fileno(), threading.Event(), []

    def wait():
        ringlet.spawn(waits.set)
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            wait_readable(fd)
        errors.append(caught.value.errno)

    thread = threading.Thread(target=wait)
    thread.start()
    waits.wait()
    a.close()
    thread.join()
    assert errors == [errno.EBADF]
    b.close()


def test_poll_tells_what_happened_in_the_words_of_the_kernel(pipe):
    r, w = pipe
    a, b = stdlib_socket.socketpair()
    with a, b:
        poll = select.poll()
        poll.register(r, select.POLLIN)
        poll.register(a, select.POLLIN | select.POLLRDHUP)
        waiter = ringlet.spawn(poll.poll)
        settle()
        b.shutdown(stdlib_socket.SHUT_WR)
        both = select.POLLIN | select.POLLRDHUP
        assert waiter.result() == [(a.fileno(), both)]
        poll.unregister(a)
        waiter = ringlet.spawn(poll.poll)
        settle()
        os.close(w)
        assert waiter.result() == [(r, select.POLLHUP)]


def test_the_writer_of_a_pipe_sees_that_nobody_reads(pipe):
    r, w = pipe
    poll = select.poll()
    poll.register(w, 0)
    waiter = ringlet.spawn(poll.poll)
    settle()
    assert waiter.state == "parked"
    os.close(r)
    assert waiter.result() == [(w, select.POLLERR)]
    assert select.select([], [w], []) == ([], [w], [])


def test_waiting_for_the_end_beside_unread_data(pipe, poller):
    """With no events asked for, only an end or an error counts."""
    a, b = stdlib_socket.socketpair()
    with a:
        b.send(b"unread")
        poll = select.poll()
        poll.register(a, 0)
        waiter = ringlet.spawn(poll.poll)
        if poller == "native":
            with fake_clock():
                ringlet.sleep(5)
            assert waiter.state == "parked"
        b.close()
        assert waiter.result() == [(a.fileno(), select.POLLHUP)]


def test_regular_files_are_always_ready(tmp_path, poller):
    with (tmp_path / "file").open("w+b") as file:
        assert select.select([file], [file], []) == ([file], [file], [])
        poll = select.poll()
        poll.register(file)
        assert poll.poll() == [(file.fileno(), select.POLLIN | select.POLLOUT)]
        wait_readable(file)
        wait_writable(file)
        with pytest.raises(PermissionError):
            select.epoll().register(file)
        if poller in ("select", "poll"):
            return  # they cannot be asked about urgent data alone
        with fake_clock() as clock:
            assert select.select([], [], [file], 3) == ([], [], [])
            assert clock.now == 3


# --- poll and epoll objects -----------------------------------------------------------------------


def test_changing_what_poll_waits_for(pipe):
    _, w = pipe
    poll = select.poll()
    poll.register(w)
    assert poll.poll() == [(w, select.POLLOUT)]
    poll.modify(w, 0)
    assert poll.poll(0) == []
    poll.register(w, select.POLLOUT)
    assert poll.poll(-1) == [(w, select.POLLOUT)]
    poll.unregister(w)
    assert poll.poll(0) == []


def test_edge_triggered_and_one_shot_epoll(pipe):
    r, w = pipe
    with select.epoll() as epoll:
        epoll.register(r, select.EPOLLIN | select.EPOLLET)
        waiter = ringlet.spawn(epoll.poll)
        settle()
        os.write(w, b"x")
        assert waiter.result() == [(r, select.EPOLLIN)]
        assert epoll.poll(0) == []
        os.write(w, b"y")
        assert epoll.poll() == [(r, select.EPOLLIN)]
        epoll.modify(r, select.EPOLLIN | select.EPOLLONESHOT)
        assert epoll.poll() == [(r, select.EPOLLIN)]
        with fake_clock() as clock:
            assert epoll.poll(2) == []
            assert clock.now == 2
        epoll.unregister(r)
        assert epoll.poll(0) == []


def test_epoll_hands_out_no_more_than_was_asked_for():
    pairs = [stdlib_socket.socketpair() for _ in range(5)]
    with select.epoll() as epoll:
        for a, b in pairs:
            epoll.register(a, select.EPOLLIN)
            b.send(b"x")
        seen = [fd for _ in range(10) for fd, _ in epoll.poll(1, 2)]
        assert set(seen) == {a.fileno() for a, _ in pairs}
        assert len(seen) == 20
    for a, b in pairs:
        a.close()
        b.close()


def test_closing_epoll_wakes_who_waits():
    epoll = select.epoll()
    waiter = ringlet.spawn(epoll.poll)
    settle()
    epoll.close()
    epoll.close()
    assert epoll.closed
    with pytest.raises(OSError, match=r"while epoll\.poll was waiting") as caught:
        waiter.result()
    assert caught.value.errno == errno.EBADF
    with pytest.raises(ValueError, match="closed epoll"):
        epoll.poll(0)
    with pytest.raises(ValueError, match="closed epoll"), epoll:
        pass


def test_epoll_around_a_descriptor(pipe):
    r, w = pipe
    first = select.epoll(10, select.EPOLL_CLOEXEC)
    second = select.epoll.fromfd(os.dup(first.fileno()))
    first.register(r, select.EPOLLIN)
    first.close()
    waiter = ringlet.spawn(second.poll)
    settle()
    os.write(w, b"x")
    assert waiter.result() == [(r, select.EPOLLIN)]
    second.close()


def test_epoll_within_epoll(pipe):
    r, w = pipe
    with select.epoll() as inner, select.epoll() as outer:
        inner.register(r, select.EPOLLIN)
        outer.register(inner, select.EPOLLIN)
        waiter = ringlet.spawn(outer.poll)
        settle()
        os.write(w, b"x")
        assert waiter.result() == [(inner.fileno(), select.EPOLLIN)]


def test_every_name_of_the_standard_library_is_here():
    assert set(dir(select)) > set(dir(stdlib)) - {"__file__", "__loader__", "__spec__"}
    for name in dir(stdlib):
        getattr(select, name)
    assert select.error is OSError
    for ours in (select.poll, select.epoll):
        theirs = stdlib.epoll if ours is select.epoll else type(stdlib.poll())
        public = {name for name in dir(theirs) if not name.startswith("_")}
        assert public <= set(dir(ours))

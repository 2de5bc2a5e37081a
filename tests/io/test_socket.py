"""The life of a socket: making, timeouts, connecting, accepting, closing."""

import errno
import io
import os
import socket as stdlib
import threading
from contextlib import suppress

import pytest

import ringlet
from ringlet.io import socket
from ringlet.testing import fake_clock
from tests.io.settling import fill, settle

# --- what it is ---------------------------------------------------------------------------------


def test_it_is_a_socket_of_the_standard_library(tcp):
    for sock in tcp:
        assert isinstance(sock, stdlib.socket)
        assert type(sock) is socket.socket
        assert repr(sock).startswith(f"<ringlet.io.socket.socket fd={sock.fileno()}, family=2")
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
    assert socket.SocketType is stdlib.SocketType


def test_every_name_of_the_standard_library_is_here():
    for name in stdlib.__all__:
        assert hasattr(socket, name), name
        assert name in socket.__all__
        assert name in dir(socket)
    assert socket.AF_INET6 is stdlib.AF_INET6
    assert socket.timeout is TimeoutError
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = socket.no_such_name


def test_every_method_that_can_block_is_ours():
    blocking = {
        *("accept", "connect", "connect_ex", "recv", "recv_into", "recvfrom", "recvfrom_into"),
        *("recvmsg", "recvmsg_into", "send", "sendall", "sendto", "sendmsg", "sendfile"),
    }
    assert blocking <= vars(socket.socket).keys()


def test_sockets_can_be_subclassed():
    class Mine(socket.socket):
        def recv(self, size):
            return super().recv(size).upper()

    a, b = socket.socketpair()
    with a, Mine(fileno=b.detach()) as mine:
        a.sendall(b"abc")
        assert mine.recv(10) == b"ABC"
        with mine.dup() as copy:
            assert type(copy) is Mine


def test_the_fast_methods_refuse_what_is_no_socket_of_ours(unix):
    plain = stdlib.socket()
    with plain, pytest.raises(TypeError, match="socket"):
        socket.socket.recv(plain, 10)
    unborn = socket.socket.__new__(socket.socket)
    with pytest.raises(OSError, match="Bad file descriptor"):
        unborn.recv(10)
    with pytest.raises(TypeError, match="no slot"):
        ringlet._core.install_socket_methods(int)
    with pytest.raises(TypeError, match="class"):
        ringlet._core.install_socket_methods(3)


def test_a_socket_initialised_again_while_it_is_used(unix):
    """Nobody should; but nothing may break."""
    a, b = unix
    reader = ringlet.spawn(b.recv, 10)
    settle()
    b.__init__(fileno=os.dup(b.fileno()))
    a.sendall(b"x")
    assert reader.result() == b"x"


# --- timeouts -----------------------------------------------------------------------------------


def test_timeout_settings(unix):
    sock, _ = unix
    assert (sock.gettimeout(), sock.timeout, sock.getblocking()) == (None, None, True)
    sock.settimeout(2)
    assert (sock.gettimeout(), sock.timeout, sock.getblocking()) == (2.0, 2.0, True)
    sock.setblocking(False)
    assert (sock.gettimeout(), sock.getblocking()) == (0.0, False)
    sock.setblocking(True)
    assert sock.gettimeout() is None
    for wrong, error in [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)]:
        with pytest.raises(error):
            sock.settimeout(wrong)
    assert sock.gettimeout() is None


def test_a_socket_starts_with_the_default_timeout(listener):
    socket.setdefaulttimeout(7)
    try:
        with socket.socket() as sock, socket.create_connection(listener.getsockname()) as client:
            assert (sock.gettimeout(), client.gettimeout()) == (7, 7)
            with listener.accept()[0] as server, client.dup() as again:
                assert (server.gettimeout(), again.gettimeout()) == (7, 7)
    finally:
        socket.setdefaulttimeout(None)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        assert sock.gettimeout() == 0.0


WAYS_TO_RECEIVE = {
    "recv": lambda sock: sock.recv(10),
    "recv_into": lambda sock: sock.recv_into(bytearray(10)),
    "recvfrom": lambda sock: sock.recvfrom(10),
    "recvmsg": lambda sock: sock.recvmsg(10),
}
WAYS_TO_SEND = {
    "send": lambda sock: sock.send(b"x"),
    "sendall": lambda sock: sock.sendall(b"x"),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
    "sendfile": lambda sock: sock.sendfile(io.BytesIO(b"x")),
}


@pytest.mark.parametrize("way", WAYS_TO_RECEIVE)
def test_receiving_times_out(pair, way):
    _, b = pair
    b.settimeout(5)
    with fake_clock() as clock, pytest.raises(TimeoutError, match="timed out"):
        WAYS_TO_RECEIVE[way](b)
    assert clock.now == 5


@pytest.mark.parametrize("way", WAYS_TO_SEND)
def test_sending_times_out(pair, way):
    a, _ = pair
    fill(a)
    a.settimeout(5)
    with fake_clock() as clock, pytest.raises(TimeoutError, match="timed out"):
        WAYS_TO_SEND[way](a)
    assert clock.now == 5


def test_accepting_times_out(listener):
    listener.settimeout(5)
    with fake_clock() as clock, pytest.raises(TimeoutError):
        listener.accept()
    assert clock.now == 5


def test_each_wait_counts_anew(pair):
    """One timer serves the socket, and must not be taken for that of an earlier wait."""
    a, b = pair
    b.settimeout(5)
    with fake_clock() as clock:
        for _ in range(4):
            reader = ringlet.spawn(b.recv, 10)
            ringlet.sleep(3)
            a.sendall(b"in time")
            assert reader.result() == b"in time"
        reader = ringlet.spawn(b.recv, 10)
        begun = clock.now
        with pytest.raises(TimeoutError):
            reader.result()
        assert clock.now == begun + 5
        b.settimeout(1)  # shorter than the timer that may still be set
        with pytest.raises(TimeoutError):
            b.recv(10)
        assert clock.now == begun + 6
        b.close()


def test_waits_of_one_socket_with_timeouts_of_their_own(pair):
    _a, b = pair
    fill(b)
    ends = []

    def expire(name, operation):
        with pytest.raises(TimeoutError):
            operation()
        ends.append((name, clock.now))

    with fake_clock() as clock:
        tasklets = []
        for name, seconds, operation in [
            ("slow reader", 9, lambda: b.recv(1)),
            ("fast reader", 2, lambda: b.recv(1)),
            ("writer", 5, lambda: b.sendall(b"x")),
        ]:
            b.settimeout(seconds)
            tasklets.append(ringlet.spawn(expire, name, operation))
            ringlet.schedule()
        for tasklet in tasklets:
            tasklet.join()
        b.close()
    assert ends == [("fast reader", 2), ("writer", 5), ("slow reader", 9)]


def test_the_time_of_sendall_is_for_the_whole(pair):
    a, b = pair
    b.settimeout(5)
    with fake_clock() as clock:
        writer = ringlet.spawn(b.sendall, bytes(64 << 20))
        while not writer.finished:
            ringlet.sleep(2)
            a.recv(1 << 20)
        with pytest.raises(TimeoutError):
            writer.result()
        assert clock.now == 6
        b.close()


def test_an_operation_that_succeeds_in_time_leaves_no_timer_behind_a_close(pair):
    a, b = pair
    b.settimeout(1000)
    reader = ringlet.spawn(b.recv, 10)
    settle()
    a.sendall(b"x")
    reader.join()
    hub = ringlet._core.hub()
    assert len(hub.timers) == 1
    b.close()
    assert len(hub.timers) == 0


def test_data_and_deadline_at_the_same_time(pair):
    """Whatever is first counts; neither is lost."""
    a, b = pair
    b.settimeout(5)
    with fake_clock():
        reader = ringlet.spawn(b.recv, 10)
        ringlet.sleep(5)
        a.sendall(b"x")
        try:
            assert reader.result() == b"x"
        except TimeoutError:
            assert b.recv(10) == b"x"
        b.close()


# --- non-blocking -------------------------------------------------------------------------------


def test_a_non_blocking_socket_never_waits(pair, listener):
    a, b = pair
    fill(a)
    for sock in (a, b, listener):
        sock.setblocking(False)
    for name, way in WAYS_TO_RECEIVE.items():
        if name != "recvmsg" or a.family == socket.AF_UNIX:
            with pytest.raises(BlockingIOError):
                way(a)
    for name, way in WAYS_TO_SEND.items():
        with pytest.raises(ValueError if name == "sendfile" else BlockingIOError):
            way(a)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_non_blocking_connect(listener):
    with socket.socket() as sock:
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect(listener.getsockname())
    with socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)


# --- connecting ---------------------------------------------------------------------------------


def test_connecting_and_accepting_wait_for_each_other(listener):
    acceptor = ringlet.spawn(listener.accept)
    settle()
    assert repr(acceptor.waiting_on) == f"<socket {listener.fileno()}: accept>"
    with socket.socket() as client:
        client.connect(listener.getsockname())
        server, address = acceptor.result()
        with server:
            assert address == client.getsockname()
            assert server.getpeername() == address


def test_several_acceptors_of_one_listener(listener):
    acceptors = [ringlet.spawn(listener.accept) for _ in range(5)]
    settle()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    servers = [acceptor.result()[0] for acceptor in acceptors]
    assert {s.getpeername() for s in servers} == {c.getsockname() for c in clients}
    for sock in (*clients, *servers):
        sock.close()


def test_nobody_listens(listener):
    address = listener.getsockname()
    listener.close()
    with socket.socket() as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.connect(address)
    with socket.socket() as sock:
        assert sock.connect_ex(address) == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
        socket.create_connection(address, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]


def test_connecting_times_out():
    """A full backlog: the kernel leaves further clients unanswered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        with fake_clock() as clock:
            with pytest.raises(TimeoutError):
                socket.create_connection(full.getsockname(), timeout=5)
            assert clock.now == 5
            with socket.socket() as sock:
                sock.settimeout(3)
                assert sock.connect_ex(full.getsockname()) == errno.EAGAIN
            assert clock.now == 8
        for client in clients:
            client.close()


def test_connecting_to_a_busy_unix_listener_waits_for_room(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, fake_clock():
        listener.bind(path)
        listener.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        clients[0].connect(path)
        clients[1].settimeout(5)
        with pytest.raises(TimeoutError):
            clients[1].connect(path)
        late = ringlet.spawn(clients[2].connect, path)
        ringlet.sleep(1)
        assert not late.finished
        accepted = [listener.accept()[0]]
        late.join()
        accepted.append(listener.accept()[0])
        for sock in (*clients, *accepted):
            sock.close()


def test_a_connection_is_refused_while_waited_for():
    """The refusal comes after connect has parked."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        clients = [socket.socket() for _ in range(4)]
        for client in clients[:3]:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        waiting = ringlet.spawn(clients[3].connect, full.getsockname())
        settle()
        assert waiting.state == "parked"
        clients[3].close()
        with pytest.raises(OSError, match="closed while connect was waiting"):
            waiting.result()
        for client in clients:
            client.close()


def test_create_connection(listener):
    host, port = listener.getsockname()
    with socket.create_connection((host, port), 5, ("127.0.0.1", 0)) as sock:
        assert sock.gettimeout() == 5
        assert sock.getpeername() == (host, port)
    with pytest.raises(socket.gaierror):
        socket.create_connection(("host.invalid", 80))


def test_create_server():
    with socket.create_server(("127.0.0.1", 0), backlog=5, reuse_port=True) as first:
        again = socket.create_server(first.getsockname(), reuse_port=True)
        again.close()
        with pytest.raises(OSError, match="while attempting to bind on address") as caught:
            socket.create_server(first.getsockname())
        assert caught.value.errno == errno.EADDRINUSE
    if socket.has_dualstack_ipv6():
        with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
            with socket.create_connection(("127.0.0.1", both.getsockname()[1])):
                both.accept()[0].close()
    with pytest.raises(ValueError, match="AF_INET6"):
        socket.create_server(("", 0), dualstack_ipv6=True)


def test_fromfd_leaves_the_original_alone(unix):
    a, b = unix
    with socket.fromfd(b.fileno(), b.family, b.type) as copy:
        assert copy.fileno() != b.fileno()
        a.sendall(b"x")
        assert copy.recv(1) == b"x"
    a.sendall(b"y")
    assert b.recv(1) == b"y"


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        *WAYS_TO_RECEIVE.items(),
        *((name, way) for name, way in WAYS_TO_SEND.items() if name != "sendfile"),
    ],
)
def test_closing_wakes_those_who_wait(pair, name, operation):
    _a, b = pair
    fill(b)
    waiting = [ringlet.spawn(operation, b) for _ in range(2)]
    settle()
    b.close()
    for tasklet in waiting:
        with pytest.raises(OSError, match=f"closed while {name} was waiting") as caught:
            tasklet.result()
        assert caught.value.errno == errno.EBADF


def test_closing_wakes_an_acceptor(listener):
    acceptor = ringlet.spawn(listener.accept)
    settle()
    listener.close()
    with pytest.raises(OSError, match="closed while accept was waiting"):
        acceptor.result()


def test_a_number_used_again_is_not_the_old_socket(unix):
    """The waiter of the closed socket must not read what belongs to the new one."""
    _a, b = unix
    reader = ringlet.spawn(b.recv, 10)
    settle()
    number = b.fileno()
    b.close()
    c, d = socket.socketpair()
    with c, d:
        assert number in (c.fileno(), d.fileno())
        c.sendall(b"for d")
        d.sendall(b"for c")
        with pytest.raises(OSError, match="closed while recv was waiting"):
            reader.result()
        assert (c.recv(10), d.recv(10)) == (b"for c", b"for d")


def test_a_number_closed_behind_our_back_and_used_again(unix):
    a, b = unix
    a.sendall(b"1")
    reader = ringlet.spawn(lambda: [b.recv(10), b.recv(10)])
    settle()
    a.sendall(b"2")
    reader.join()
    number = b.fileno()
    c, d = socket.socketpair()
    os.dup2(d.fileno(), number)  # closes what b was, which knows nothing of it
    with socket.socket(fileno=number) as e:
        b.detach()
        reader = ringlet.spawn(e.recv, 10)
        settle()
        c.sendall(b"new")
        assert reader.result() == b"new"
    c.close()
    d.close()


def test_a_duplicate_outlives_the_original(pair):
    a, b = pair
    reader = ringlet.spawn(b.recv, 10)
    settle()
    copy = b.dup()
    with copy:
        b.close()
        with pytest.raises(OSError, match="closed"):
            reader.result()
        e, f = socket.socketpair()  # one of them gets b's number
        reader = ringlet.spawn(e.recv, 10)
        other = ringlet.spawn(f.recv, 10)
        settle()
        a.sendall(b"for the copy")
        assert copy.recv(100) == b"for the copy"
        settle()
        assert (reader.state, other.state) == ("parked", "parked")
        for sock in (e, f):
            sock.close()
        for tasklet in (reader, other):
            with pytest.raises(OSError, match="closed"):
                tasklet.result()


def test_two_objects_for_one_number(unix):
    a, b = unix
    also = socket.socket(fileno=b.fileno())
    first, second = ringlet.spawn(b.recv, 1), ringlet.spawn(also.recv, 1)
    settle()
    a.sendall(b"xy")
    assert first.result() + second.result() == b"xy"
    third = ringlet.spawn(b.recv, 1)
    settle()
    also.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        third.result()
    b.detach()


def test_closing_twice_and_using_it_afterwards(unix):
    a, _ = unix
    a.close()
    a.close()
    assert a.fileno() == -1
    for call in (lambda: a.recv(1), lambda: a.sendall(b"x"), lambda: a.recvfrom(1), a.accept):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    assert "[closed]" in repr(a)


def test_detach_gives_a_descriptor_as_the_standard_library_leaves_it(unix):
    a, b = unix
    reader = ringlet.spawn(b.recv, 1)
    settle()
    fd = b.detach()
    with pytest.raises(OSError, match="closed while recv was waiting"):
        reader.result()
    assert os.get_blocking(fd)
    assert b.detach() == -1
    with stdlib.socket(fileno=fd) as plain:
        a.sendall(b"x")
        assert plain.recv(10) == b"x"
    c, d = socket.socketpair()
    with d:
        c.settimeout(1)
        fd = c.detach()
        assert not os.get_blocking(fd)
        os.close(fd)


def test_a_forgotten_socket_is_closed_with_a_warning():
    a, b = socket.socketpair()
    number = a.fileno()
    reader = ringlet.spawn(b.recv, 1)
    settle()
    with pytest.warns(ResourceWarning, match="unclosed"):
        del a
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)
    assert reader.result() == b""
    b.close()


def test_killing_who_waits_leaves_the_socket_usable(pair):
    a, b = pair
    victim, other = ringlet.spawn(b.recv, 10), ringlet.spawn(b.recv, 10)
    settle()
    victim.kill()
    a.sendall(b"for the other")
    assert other.result() == b"for the ot"
    assert b.recv(10) == b"her"


def test_killing_who_has_just_been_woken_loses_nothing(pair):
    a, b = pair
    victim = ringlet.spawn(b.recv, 10)
    settle()
    a.sendall(b"x")
    victim.kill()
    assert b.recv(10) == b"x"


# --- files --------------------------------------------------------------------------------------


def test_files_made_of_sockets(pair):
    a, b = pair
    with a.makefile("rw", newline="\n") as text, b.makefile("rwb") as binary:
        lines = ringlet.spawn(lambda: [text.readline() for _ in range(2)])
        settle()
        binary.write(b"half a li")
        binary.flush()
        settle()
        assert not lines.finished
        binary.write("ne\nfünf\n".encode())
        binary.flush()
        assert lines.result() == ["half a line\n", "fünf\n"]
        text.write("back\n")
        text.flush()
        assert binary.readline() == b"back\n"
        b.close()  # the file keeps it open
        text.write("more\n")
        text.flush()
        assert binary.readline() == b"more\n"
    assert b.fileno() == -1


def test_a_file_of_a_socket_that_times_out(pair):
    _a, b = pair
    b.settimeout(5)
    with b.makefile("rb") as file, fake_clock():
        with pytest.raises(TimeoutError):
            file.readline()
        with pytest.raises(OSError, match="cannot read from timed out object"):
            file.readline()


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
@pytest.mark.parametrize("kind", ["file", "object"])
def test_sending_a_file(pair, tmp_path, size, kind):
    a, b = pair
    data = os.urandom(size)
    path = tmp_path / "data"
    path.write_bytes(data)
    opened = path.open("rb") if kind == "file" else io.BytesIO(data)

    def receive():
        return b"".join(iter(lambda: b.recv(100_000), b""))

    reader = ringlet.spawn(receive)
    with opened as file:
        assert a.sendfile(file) == size
        assert file.tell() == size
        if size > 100:
            assert a.sendfile(file, offset=10, count=90) == 90
            assert file.tell() == 100
            data += data[10:100]
    a.shutdown(socket.SHUT_WR)
    assert reader.result() == data


def test_what_sendfile_refuses(unix, tmp_path):
    a, _ = unix
    with (tmp_path / "x").open("w") as text, pytest.raises(ValueError, match="binary mode"):
        a.sendfile(text)
    for count, error in [(0, ValueError), (-1, ValueError), (1.5, TypeError)]:
        with pytest.raises(error, match="positive integer"):
            a.sendfile(io.BytesIO(b"x"), count=count)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="SOCK_STREAM"):
            datagrams.sendfile(io.BytesIO(b"x"))


# --- fairness and threads -----------------------------------------------------------------------


def test_one_that_never_has_to_wait_lets_others_run(pair):
    a, b = pair
    steps = []

    def chatter():
        for _ in range(5000):
            a.sendall(b"x")
            b.recv(1)
        steps.append("chatter")

    tasklet = ringlet.spawn(chatter)
    ringlet.spawn(steps.append, "other")
    ringlet.spawn_later(0, steps.append, "timer")
    tasklet.join()
    assert steps == ["other", "timer", "chatter"]


def test_two_threads_read_one_socket(pair):
    """Each has a hub and a table of its own; every byte arrives once."""
    a, b = pair
    received = []

    def read():
        while data := b.recv(1):
            received.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    here = ringlet.spawn(read)
    sent = bytes(range(200))
    for position in range(200):
        a.sendall(sent[position : position + 1])
        ringlet.schedule()
    a.shutdown(socket.SHUT_WR)
    here.join()
    thread.join()
    assert sorted(b"".join(received)) == sorted(sent)


def test_closing_wakes_who_waits_in_another_thread(pair):
    _, b = pair
    errors = []
    waiting = threading.Event()

    def read():
        ringlet.spawn(waiting.set)  # runs once the reader has parked
        try:
            b.recv(1)
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    waiting.wait()
    b.close()
    thread.join()
    assert errors == ["[Errno 9] closed while recv was waiting"]


# --- many ---------------------------------------------------------------------------------------


def test_thousands_of_connections():
    pairs = [socket.socketpair() for _ in range(2000)]
    total = []
    readers = [ringlet.spawn(lambda s=s: total.append(s.recv(10))) for _, s in pairs]
    settle()
    assert ringlet._core.hub().poller.waiting == 2000
    for a, _ in pairs:
        a.sendall(b"x")
    for reader in readers:
        reader.join()
    assert total == [b"x"] * 2000
    for pair in pairs:
        for sock in pair:
            sock.close()

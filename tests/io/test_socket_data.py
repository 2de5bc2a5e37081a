"""Moving bytes: every method, over TCP and over Unix sockets, on every poller."""

import array
import os
import socket as stdlib
import struct

import pytest

import ringlet
from ringlet.io import socket
from ringlet.sched.pollers import use_poller
from tests.io.settling import settle
from tests.support.pollers import POLLERS

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True, params=POLLERS)
def _poller(request):
    """The poller in place."""
    use_poller(POLLERS[request.param]())
    yield
    use_poller(None)


def drain(sock, size):
    """Receive exactly `size` bytes."""
    received = bytearray()
    while len(received) < size:
        data = sock.recv(min(65536, size - len(received)))
        assert data, "the input ended early"
        received += data
    return bytes(received)


def test_what_is_sent_arrives(pair):
    a, b = pair
    a.sendall(b"there")
    assert b.recv(100) == b"there"
    b.sendall(b"and back")
    assert a.recv(3) == b"and"
    assert a.recv(100) == b" back"


def test_a_reader_parks_until_something_comes(pair):
    a, b = pair
    reader = ringlet.spawn(b.recv, 100)
    settle()
    assert reader.state == "parked"
    assert repr(reader.waiting_on) == f"<socket {b.fileno()}: recv>"
    a.sendall(b"x")
    assert reader.result() == b"x"


@pytest.mark.parametrize("method", ["recv", "recv_into", "recvfrom", "recvmsg", "recvmsg_into"])
def test_every_way_to_receive_waits(pair, method):
    a, b = pair
    buffer = bytearray(10)
    arguments = {
        "recv_into": (buffer,),
        "recvmsg_into": ([buffer],),
    }.get(method, (10,))
    reader = ringlet.spawn(getattr(b, method), *arguments)
    settle()
    assert reader.state == "parked"
    a.sendall(b"abc")
    result = reader.result()
    first = result[0] if isinstance(result, tuple) else result
    assert first in (b"abc", 3)
    if first == 3:
        assert buffer == b"abc" + bytes(7)


@pytest.mark.parametrize("method", ["recv", "recv_into", "recvfrom", "recvmsg"])
def test_the_end_of_input_is_seen_while_parked(pair, method):
    a, b = pair
    argument = bytearray(10) if method == "recv_into" else 10
    reader = ringlet.spawn(getattr(b, method), argument)
    settle()
    a.shutdown(socket.SHUT_WR)
    result = reader.result()
    assert (result[0] if isinstance(result, tuple) else result) in (b"", 0)
    b.sendall(b"the other way still works")
    assert a.recv(100) == b"the other way still works"


def test_the_end_of_input_is_seen_behind_a_short_read(pair):
    a, b = pair
    reader = ringlet.spawn(lambda: [b.recv(100), b.recv(100), b.recv(100)])
    settle()
    a.sendall(b"last words")
    a.shutdown(socket.SHUT_WR)
    assert reader.result() == [b"last words", b"", b""]


def test_short_reads_in_a_row(pair):
    """Each leaves the socket drained, so that the next may park without a try."""
    a, b = pair
    for number in range(5):
        reader = ringlet.spawn(b.recv, 100)
        settle()
        a.sendall(b"%d" % number)
        assert reader.result() == b"%d" % number
    a.sendall(b"x" * 100)
    assert b.recv(100) == b"x" * 100  # a full read proves nothing
    a.sendall(b"y")
    assert b.recv(100) == b"y"


def test_data_that_comes_between_two_reads_is_not_missed(pair):
    a, b = pair
    reader = ringlet.spawn(b.recv, 100)
    settle()
    a.sendall(b"1")
    assert reader.result() == b"1"
    a.sendall(b"2")  # before anybody polls
    assert b.recv(100) == b"2"
    a.sendall(b"3")
    ringlet.sleep(0.001)  # the hub polls while nobody waits
    assert b.recv(100) == b"3"


def test_sendall_of_more_than_fits(pair):
    a, b = pair
    data = os.urandom(8 * MEGABYTE)
    sender = ringlet.spawn(a.sendall, data)
    settle()
    assert sender.state == "parked"
    assert drain(b, len(data)) == data
    assert sender.result() is None


def test_send_says_how_much_it_took(pair):
    a, b = pair
    data = bytes(8 * MEGABYTE)
    sent = a.send(data)
    assert 0 < sent < len(data)
    sender = ringlet.spawn(a.send, b"more")
    settle()
    assert sender.state == "parked"
    drain(b, sent)
    assert sender.result() == 4


@pytest.mark.parametrize("size", [1, 512, 65535, 65536, 65537, 300_000])
def test_receiving_with_buffers_of_any_size(pair, size):
    a, b = pair
    data = os.urandom(200_000)
    sender = ringlet.spawn(lambda: (a.sendall(data), a.shutdown(socket.SHUT_WR)))
    if size < 512:
        data_received = drain(b, len(data))
    else:
        parts = []
        while part := b.recv(size):
            assert len(part) <= size
            parts.append(part)
        data_received = b"".join(parts)
    assert data_received == data
    sender.join()


def test_long_reads_do_not_mix_with_those_of_others():
    """All share one buffer up to the moment the bytes are their own."""
    pairs = [socket.socketpair() for _ in range(20)]
    readers = [ringlet.spawn(drain, b, 100_000) for _, b in pairs]
    senders = [ringlet.spawn(a.sendall, bytes([n]) * 100_000) for n, (a, _) in enumerate(pairs)]
    for number, reader in enumerate(readers):
        assert reader.result() == bytes([number]) * 100_000
    for task in senders:
        task.join()
    for a, b in pairs:
        a.close()
        b.close()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda d: array.array("B", d)])
def test_anything_with_a_buffer_is_sent(pair, kind):
    a, b = pair
    a.sendall(kind(b"abc"))
    assert a.send(kind(b"def")) == 3
    assert drain(b, 6) == b"abcdef"


def test_receiving_into_a_part_of_a_buffer(pair):
    a, b = pair
    a.sendall(b"abcdef")
    buffer = bytearray(10)
    assert b.recv_into(buffer, 2) == 2
    assert b.recv_into(memoryview(buffer)[4:], nbytes=3) == 3
    assert b.recv_into(buffer=memoryview(buffer)[9:], flags=socket.MSG_PEEK) == 1
    assert buffer == b"ab\0\0cde\0\0f"


def test_nothing_asked_is_nothing_received(pair):
    a, b = pair
    assert b.recv(0) == b""
    assert b.recv_into(bytearray()) == 0
    a.sendall(b"")
    assert a.send(b"") == 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda s: s.recv(-1), ValueError, "negative buffersize"),
        (lambda s: s.recv_into(bytearray(1), -1), ValueError, "negative buffersize"),
        (lambda s: s.recv_into(bytearray(1), 2), ValueError, "buffer too small"),
        (lambda s: s.recv_into(b"constant"), TypeError, "read-write"),
        (lambda s: s.recv("7"), TypeError, "integer"),
        (lambda s: s.recv(), TypeError, "recv.. takes from 1 to 2"),
        (lambda s: s.recv(1, 2, 3), TypeError, "recv.. takes from 1 to 2"),
        (lambda s: s.recv(1, 1 << 40), OverflowError, "flags"),
        (lambda s: s.recv(1, None), TypeError, "int"),
        (lambda s: s.recv(1 << 80), OverflowError, "fit"),
        (lambda s: s.send("text"), TypeError, "bytes-like"),
        (lambda s: s.sendall("text"), TypeError, "bytes-like"),
        (lambda s: s.sendall(), TypeError, "sendall.. takes from 1 to 2"),
        (lambda s: s.sendto(b"x"), TypeError, "2 or 3 arguments"),
    ],
)
def test_calls_that_make_no_sense(unix, call, error, text):
    with pytest.raises(error, match=text):
        call(unix[0])


def test_peeking_leaves_it_there(pair):
    a, b = pair
    a.sendall(b"abc")
    assert b.recv(100, socket.MSG_PEEK) == b"abc"
    assert b.recv(100, socket.MSG_PEEK) == b"abc"
    assert b.recv(100) == b"abc"


@pytest.mark.parametrize("receive", ["recv", "recv_into"])
def test_waiting_for_all(pair, receive):
    a, b = pair
    buffer = bytearray(6)
    target = 6 if receive == "recv" else buffer
    reader = (
        ringlet.spawn(b.recv, 6, socket.MSG_WAITALL)
        if receive == "recv"
        else ringlet.spawn(b.recv_into, target, 0, socket.MSG_WAITALL)
    )
    for part in (b"ab", b"cd"):
        a.sendall(part)
        settle()
        ringlet.sleep(0.001)
        assert reader.state == "parked"
    a.sendall(b"ef")
    assert reader.result() == (b"abcdef" if receive == "recv" else 6)
    a.sendall(b"xy")
    a.shutdown(socket.SHUT_WR)
    assert b.recv(6, socket.MSG_WAITALL) == b"xy"


def test_waiting_for_all_keeps_what_came_before_an_error(tcp):
    a, b = tcp
    b.settimeout(0.01)
    a.sendall(b"abc")
    assert b.recv(6, socket.MSG_WAITALL) == b"abc"
    with pytest.raises(TimeoutError):
        b.recv(6, socket.MSG_WAITALL)


def test_flags_that_forbid_waiting(pair):
    _, b = pair
    for call in (b.recv, b.recvfrom):
        with pytest.raises(BlockingIOError):
            call(10, socket.MSG_DONTWAIT)
    with pytest.raises(BlockingIOError):
        b.recv_into(bytearray(3), 0, socket.MSG_DONTWAIT)
    with pytest.raises(BlockingIOError):
        b.recvmsg(10, 0, socket.MSG_ERRQUEUE)


def test_urgent_data_is_not_waited_for_and_hides_nothing(tcp):
    a, b = tcp
    with pytest.raises(OSError, match="Invalid argument"):
        b.recv(1, socket.MSG_OOB)
    reader = ringlet.spawn(
        lambda: [b.recv(100), b.recv(1, socket.MSG_OOB), b.recv(100), b.recv(100)]
    )
    settle()
    a.sendall(b"before")
    a.send(b"!", socket.MSG_OOB)
    a.sendall(b"after")
    a.shutdown(socket.SHUT_WR)
    # A read stops at the mark, with more behind it.
    assert reader.result() == [b"before", b"!", b"after", b""]


def test_descriptors_in_the_stream_stop_a_read_short(unix):
    """A Unix recv ends behind a message that carries descriptors, with more behind it."""
    a, b = unix
    reader = ringlet.spawn(lambda: [b.recv(100), b.recv(100)])
    settle()
    a.sendall(b"plain")
    with open(os.devnull) as file:
        socket.send_fds(a, [b"with descriptor"], [file.fileno()])
    a.sendall(b"plain again")
    assert reader.result() == [b"plainwith descriptor", b"plain again"]


def test_descriptors_are_passed(unix):
    a, b = unix
    reader = ringlet.spawn(socket.recv_fds, b, 100, 4)
    settle()
    with open(os.devnull) as file:
        socket.send_fds(a, [b"take ", b"this"], [file.fileno()])
        data, descriptors, _, _ = reader.result()
        assert data == b"take this"
        assert os.fstat(descriptors[0]).st_rdev == os.fstat(file.fileno()).st_rdev
        os.close(descriptors[0])


def test_messages_of_several_parts_are_tried_again_whole(unix):
    """Arguments that can be read once only survive the wait."""
    a, b = unix
    while True:
        try:
            a.send(bytes(65536), socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
    sender = ringlet.spawn(a.sendmsg, (part for part in [b"ab", b"cd"]))
    settle()
    assert sender.state == "parked"
    received = b""
    while not received.endswith(b"abcd"):
        received = received[-4:] + b.recv(65536)
    assert sender.result() == 4


def test_datagrams(unix):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
            a.bind(("127.0.0.1", 0))
            b.bind(("127.0.0.1", 0))
            reader = ringlet.spawn(b.recvfrom, 100)
            settle()
            assert a.sendto(b"one", b.getsockname()) == 3
            assert reader.result() == (b"one", a.getsockname())
            assert a.sendto(b"two", 0, ("localhost", b.getsockname()[1])) == 3
            buffer = bytearray(2)
            assert b.recvfrom_into(buffer) == (2, a.getsockname())  # the rest is cut off
            a.connect(b.getsockname())
            a.sendmsg([b"th", b"ree"], [], 0, b.getsockname())
            assert b.recv(1) == b"t"  # a short read of a datagram drains nothing
            a.send(b"")
            assert b.recv(10) == b""  # an empty one is no end of input


def test_datagrams_wait_one_by_one():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        reader = ringlet.spawn(lambda: [b.recv(100) for _ in range(3)])
        settle()
        for word in (b"x", b"yy", b"zzz"):
            a.send(word)
        assert reader.result() == [b"x", b"yy", b"zzz"]


def test_a_reset_ends_a_parked_reader(tcp):
    a, b = tcp
    reader = ringlet.spawn(b.recv, 10)
    settle()
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    with pytest.raises(ConnectionResetError):
        reader.result()


def test_a_reset_ends_a_parked_writer(tcp):
    a, b = tcp
    writer = ringlet.spawn(b.sendall, bytes(8 * MEGABYTE))
    settle()
    assert writer.state == "parked"
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        writer.result()


def test_a_reset_is_seen_behind_a_short_read(tcp):
    a, b = tcp
    reader = ringlet.spawn(b.recv, 10)
    settle()
    a.sendall(b"abc")
    assert reader.result() == b"abc"
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    with pytest.raises(ConnectionResetError):
        b.recv(10)


def test_shutting_down_our_own_side_ends_a_parked_reader(pair):
    _, b = pair
    reader = ringlet.spawn(b.recv, 10)
    settle()
    b.shutdown(socket.SHUT_RD)
    assert reader.result() == b""


def test_writing_to_nobody(pair):
    a, b = pair
    b.close()
    with pytest.raises(OSError, match=r"Broken pipe|Connection reset"):
        a.sendall(bytes(32 * MEGABYTE))


def test_reader_and_writer_of_one_socket_wait_at_once(pair):
    a, b = pair
    data = os.urandom(16 * MEGABYTE)
    reader = ringlet.spawn(b.recv, 10)
    writer = ringlet.spawn(b.sendall, data)
    settle()
    assert (reader.state, writer.state) == ("parked", "parked")
    # Who has had many turns at sockets just before may let the other begin.
    waiting = {f"<socket {b.fileno()}: {both}>" for both in ("recv, sendall", "sendall, recv")}
    assert repr(reader.waiting_on) in waiting
    a.sendall(b"to the reader")
    assert reader.result() == b"to the rea"
    assert writer.state == "parked"
    assert drain(a, len(data)) == data
    writer.join()


def test_several_readers_of_one_socket_are_served_in_order(pair):
    a, b = pair
    served = []
    readers = [ringlet.spawn(lambda n=n: served.append((n, b.recv(1)))) for n in range(3)]
    settle()
    a.sendall(b"xyz")
    for reader in readers:
        reader.join()
    assert served == [(0, b"x"), (1, b"y"), (2, b"z")]


def test_a_reader_and_a_writer_of_an_ordinary_socket_agree(pair):
    """The other side may be the standard library's, in another process for what it knows."""
    a, b = pair
    plain = stdlib.socket(fileno=os.dup(a.fileno()))
    with plain:
        plain.sendall(b"from the standard library")
        assert b.recv(100) == b"from the standard library"

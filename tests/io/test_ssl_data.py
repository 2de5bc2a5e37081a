"""Moving bytes through TLS: every method, waiting, both directions at once, and the end."""

import array
import contextlib
import os
import socket as plain

import pytest

import ringlet
from ringlet.io import select, socket, ssl
from ringlet.testing import fake_clock
from tests.certificates import client_context, server_context
from tests.io.settling import settle
from tests.io.tls import connected, tcp_pair

MEGABYTE = 1 << 20


def drain(sock, size):
    """Receive exactly `size` bytes."""
    received = bytearray()
    while len(received) < size:
        data = sock.recv(min(65536, size - len(received)))
        assert data, "the input ended early"
        received += data
    return bytes(received)


def drain_all(sock):
    """Receive up to the end."""
    received = bytearray()
    while data := sock.recv(65536):
        received += data
    return bytes(received)


def pour(sock, sizes):
    """Send until that fails, and note how much went out each time."""
    while True:
        sizes.append(sock.send(b"x" * 16384))


def raw(sock):
    """The same descriptor, without TLS."""
    return plain.socket(fileno=os.dup(sock.fileno()))


# --- receiving and sending ----------------------------------------------------------------------


def test_what_is_sent_arrives(tls):
    a, b = tls
    a.sendall(b"there")
    assert b.recv(100) == b"there"
    b.sendall(b"and back")
    assert a.recv(3) == b"and"
    assert a.pending() == 5
    assert a.recv(100) == b" back"
    assert a.pending() == 0


@pytest.mark.parametrize("method", ["recv", "recv_into", "read"])
def test_a_reader_parks_until_something_comes(tls, method):
    a, b = tls
    buffer = bytearray(10)
    reader = ringlet.spawn(getattr(b, method), buffer if method == "recv_into" else 10)
    settle()
    assert reader.state == "parked"
    assert repr(reader.waiting_on) == f"<socket {b.fileno()}: recv>"
    a.sendall(b"abc")
    assert reader.result() == (3 if method == "recv_into" else b"abc")
    if method == "recv_into":
        assert buffer == b"abc" + bytes(7)


def test_several_records_that_arrive_together(tls):
    """They are fed to TLS at once, and the kernel tells of them only once."""
    a, b = tls
    for number in range(5):
        a.sendall(b"%d" % number)
    ringlet.sleep(0.001)
    assert [b.recv(100) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_what_can_be_read_without_waiting_includes_later_records(tls):
    a, b = tls
    a.sendall(b"first")
    a.sendall(b"second")
    ringlet.sleep(0.001)
    assert b.recv(100) == b"first"
    assert b.pending() == 6
    assert b.recv(2) == b"se"
    assert b.pending() == 4
    buffer = bytearray(10)
    assert b.recv_into(buffer) == 4
    assert buffer[:4] == b"cond"
    assert b.pending() == 0


@pytest.mark.parametrize("size", [1, 16384, 16385, 300_000])
def test_buffers_of_any_size(tls, size):
    a, b = tls
    data = os.urandom(min(size, 1) * 3 * MEGABYTE if size > 1 else 3000)
    sender = ringlet.spawn(lambda: (a.sendall(data), a.shutdown(socket.SHUT_WR)))
    parts = []
    while part := b.recv(size):
        assert len(part) <= size
        parts.append(part)
    assert b"".join(parts) == data
    sender.join()


def test_sendall_of_more_than_fits(tls):
    a, b = tls
    data = os.urandom(8 * MEGABYTE)
    sender = ringlet.spawn(a.sendall, data)
    settle()
    assert sender.state == "parked"
    assert drain(b, len(data)) == data
    assert sender.result() is None


def test_send_takes_a_part_of_much(tls):
    a, b = tls
    assert a.send(bytes(100_000)) == 32768
    assert a.write(b"more") == 4
    assert drain(b, 32772) == bytes(32768) + b"more"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda d: array.array("h", d)])
def test_anything_with_a_buffer_is_sent(tls, kind):
    a, b = tls
    a.sendall(kind(b"abcd"))
    assert a.send(kind(b"ef")) == 2
    a.sendall(kind(bytes(40_000)))
    assert drain(b, 40_006) == b"abcdef" + bytes(40_000)


def test_receiving_into_a_part_of_a_buffer(tls):
    a, b = tls
    a.sendall(b"abcdef")
    buffer = bytearray(10)
    assert b.recv_into(buffer, 2) == 2
    assert b.recv_into(memoryview(buffer)[4:], nbytes=3) == 3
    assert b.read(5, memoryview(buffer)[9:]) == 1
    assert buffer == b"ab\0\0cde\0\0f"


def test_nothing_asked_is_nothing_received(tls):
    a, b = tls
    assert b.recv(0) == b""
    assert b.recv_into(bytearray()) == 0
    a.sendall(b"")
    assert a.send(b"") == 0
    a.sendall(b"x")
    assert b.recv(1) == b"x"


def test_what_makes_no_sense_with_tls(tls):
    a, _ = tls
    for call in (
        lambda: a.recv(1, socket.MSG_PEEK),
        lambda: a.recv_into(bytearray(1), 0, socket.MSG_PEEK),
        lambda: a.send(b"", socket.MSG_OOB),
        lambda: a.sendall(b"", socket.MSG_OOB),
        lambda: a.recvfrom(1),
        lambda: a.sendto(b"x", ("127.0.0.1", 1)),
        lambda: a.recv(-1),
    ):
        with pytest.raises(ValueError, match=r"not allowed|negative"):
            call()
    for call in (lambda: a.sendmsg([b"x"]), lambda: a.recvmsg(1)):
        with pytest.raises(NotImplementedError):
            call()


def test_files_read_and_write_it(tls):
    a, b = tls
    with a.makefile("w") as out, b.makefile() as lines:
        print("one\ntwo", file=out, flush=True)
        assert lines.readline() == "one\n"
        assert lines.readline() == "two\n"


def test_a_file_is_sent(tls, tmp_path):
    a, b = tls
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))
    with open(path, "rb") as file:
        sender = ringlet.spawn(a.sendfile, file, 100_000)
        assert drain(b, 200_000) == path.read_bytes()[100_000:]
        assert sender.result() == 200_000
        assert file.tell() == 300_000
        a.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            a.sendfile(file)


# --- select and poll ----------------------------------------------------------------------------


def readable(sock):
    return bool(select.select([sock], [], [], 0)[0])


def test_select_finds_what_the_kernel_has_given_away(tls):
    """TLS takes all that has come at once, so a program that asks the kernel would miss some."""
    a, b = tls
    assert not readable(b)
    a.sendall(b"first")
    a.sendall(b"second")
    ringlet.sleep(0.001)
    assert readable(b)
    assert b.recv(100) == b"first"
    assert readable(b)
    assert b.recv(3) == b"sec"
    assert readable(b)
    assert b.pending() == 3
    assert readable(b)
    assert b.recv(100) == b"ond"
    assert not readable(b)
    a.sendall(b"third")
    assert readable(b)


def test_select_wakes_when_another_tasklet_leaves_something(tls):
    a, b = tls
    asking = ringlet.spawn(select.select, [b], [], [], 20)
    settle()
    assert asking.state == "parked"
    a.sendall(b"some" + b"thing")
    assert b.recv(4) == b"some"
    assert asking.result() == ([b], [], [])
    assert b.recv(100) == b"thing"


def test_select_after_an_early_request():
    """It comes with the end of the handshake."""
    a, b = tcp_pair()

    def ask():
        with client_context().wrap_socket(a, server_hostname="localhost") as client:
            client.sendall(b"request")
            return client.recv(100)

    asking = ringlet.spawn(ask)
    with ssl.wrap_accepted(b, server_context()) as server:
        while not readable(server):
            ringlet.schedule()
        server.settimeout(0)
        assert server.recv(100) == b"request"
        assert not readable(server)
        server.sendall(b"answer")
    assert asking.result() == b"answer"


def test_a_new_socket_of_the_same_number_holds_nothing(tls):
    a, b = tls
    a.sendall(b"something")
    assert b.recv(1) == b"s"
    number = b.fileno()
    c, d = socket.socketpair()
    with c, d:
        b.close()
        os.dup2(d.fileno(), number)
        with socket.socket(fileno=number) as other:
            assert not readable(other)


# --- at the same time ---------------------------------------------------------------------------


def test_both_sides_send_more_than_fits_before_they_read(tls):
    """Each has a tasklet for either direction; neither direction waits for the other."""
    data = {end: os.urandom(4 * MEGABYTE) for end in tls}
    senders = [ringlet.spawn(end.sendall, data[end]) for end in tls]
    settle()
    a, b = tls
    readers = [ringlet.spawn(drain, end, 4 * MEGABYTE) for end in tls]
    assert readers[0].result() == data[b]
    assert readers[1].result() == data[a]
    for sender in senders:
        sender.join()


def test_several_writers(tls):
    """Their records may be mixed, their bytes may not."""
    a, b = tls
    writers = [ringlet.spawn(a.sendall, bytes([65 + n]) * 10_000) for n in range(30)]
    received = drain(b, 300_000)
    for start in range(0, 300_000, 10_000):
        assert len(set(received[start : start + 10_000])) == 1
    for writer in writers:
        writer.join()


def test_several_readers(tls):
    """What one of them has fed to TLS is enough for the others, although nothing more comes."""
    a, b = tls
    readers = [ringlet.spawn(b.recv, 100) for _ in range(5)]
    settle()
    for number in range(5):
        a.sendall(b"%d" % number)
    assert sorted(reader.result() for reader in readers) == [b"0", b"1", b"2", b"3", b"4"]


def test_several_readers_at_the_end(tls):
    a, b = tls
    readers = [ringlet.spawn(b.recv, 100) for _ in range(3)]
    settle()
    a.shutdown(socket.SHUT_WR)
    assert [reader.result() for reader in readers] == [b"", b"", b""]


def test_others_run_beside_somebody_who_never_waits(tls):
    a, b = tls
    turns = []

    def count():
        while len(turns) < 5:
            turns.append(None)
            ringlet.schedule()

    counter = ringlet.spawn(count)
    for _ in range(1000):
        a.sendall(b"x")
        assert b.recv(1) == b"x"
        if len(turns) == 5:
            break
    assert len(turns) == 5
    counter.join()


# --- timeouts -----------------------------------------------------------------------------------


def test_reading_has_a_time_limit():
    with fake_clock() as clock, connected() as (a, b):
        b.settimeout(5)
        with pytest.raises(TimeoutError, match="timed out"):
            b.recv(10)
        assert clock.now == pytest.approx(5)
        a.sendall(b"late")
        assert b.recv(10) == b"late"  # nothing is lost


def test_the_time_limit_holds_for_a_whole_record():
    """One that comes byte by byte must not take for ever."""
    with fake_clock() as clock, connected() as (a, b), raw(b) as wire:
        a.settimeout(5)

        def drip():
            wire.sendall(b"\x17\x03\x03\x10\x00")
            for _ in range(10):
                ringlet.sleep(2)
                wire.sendall(b"x")

        dripping = ringlet.spawn(drip)
        with pytest.raises(TimeoutError):
            a.recv(10)
        assert clock.now == pytest.approx(5)
        dripping.kill()


def test_writing_has_a_time_limit_and_can_go_on():
    """A write that was given up is tried again with the same data, as with OpenSSL itself."""
    sizes = []
    with fake_clock() as clock, connected() as (a, b):
        a.settimeout(5)
        with pytest.raises(TimeoutError):
            pour(a, sizes)
        assert clock.now == pytest.approx(5)
        a.settimeout(None)
        sent = sum(sizes)
        reader = ringlet.spawn(drain, b, sent + 16384)
        assert a.send(b"x" * 16384) == 16384
        assert len(reader.result()) == sent + 16384
        a.sendall(b"the last")
        assert b.recv(100) == b"the last"  # and nothing came twice


def test_other_data_after_a_write_that_was_given_up(tls):
    a, b = tls
    sizes = []
    a.settimeout(0)
    with pytest.raises(ssl.SSLWantWriteError):
        pour(a, sizes)
    a.settimeout(None)
    sent = sum(sizes)
    sender = ringlet.spawn(a.sendall, b"y" * 10)
    assert drain(b, sent + 16384 + 10) == b"x" * (sent + 16384) + b"y" * 10
    sender.join()


def test_sockets_that_never_wait(tls):
    a, b = tls
    for end in tls:
        end.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError) as caught:
        b.recv(10)
    assert caught.value.args[0] == ssl.SSL_ERROR_WANT_READ
    sizes = []
    with pytest.raises(ssl.SSLWantWriteError) as caught:
        pour(a, sizes)
    assert caught.value.args[0] == ssl.SSL_ERROR_WANT_WRITE
    sent, received, retried = sum(sizes), 0, False
    while received < sent + 16384:
        try:
            received += len(b.recv(65536))
        except ssl.SSLWantReadError:
            ringlet.sleep(0.001)
            if not retried:
                with contextlib.suppress(ssl.SSLWantWriteError):
                    retried = a.send(b"x" * 16384) == 16384
    assert retried
    with pytest.raises(ssl.SSLWantReadError):
        b.recv(65536)


def test_a_handshake_that_never_waits():
    a, b = tcp_pair()
    a.setblocking(False)
    b.setblocking(False)
    ends = [
        client_context().wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False),
        server_context().wrap_socket(b, server_side=True, do_handshake_on_connect=False),
    ]
    with ends[0], ends[1]:
        left = list(ends)
        while left:
            for end in list(left):
                try:
                    end.do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    continue
                left.remove(end)
        assert ends[0].version() == "TLSv1.3"


# --- the end ------------------------------------------------------------------------------------


def test_closing_wakes_who_reads(tls):
    _, b = tls
    reader = ringlet.spawn(b.recv, 10)
    settle()
    b.close()
    with pytest.raises(OSError, match="closed while recv was waiting"):
        reader.result()


def test_closing_wakes_who_writes(tls):
    a, _ = tls
    writer = ringlet.spawn(a.sendall, bytes(20 * MEGABYTE))
    settle()
    a.close()
    with pytest.raises(OSError, match="closed while sendall was waiting"):
        writer.result()


def test_a_closed_one(tls):
    a, _ = tls
    a.close()
    assert a.version() is None
    assert a.pending() == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        a.recv(1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        a.sendall(b"x")
    for call in (a.read, lambda: a.write(b"x"), a.unwrap, a.verify_client_post_handshake):
        with pytest.raises(ValueError, match="SSL"):
            call()


def test_one_direction_ends_before_the_other(tls):
    """Half-closing, which the standard library turns into the end of TLS."""
    a, b = tls
    a.sendall(b"question")
    a.shutdown(socket.SHUT_WR)
    assert drain_all(b) == b"question"
    sender = ringlet.spawn(lambda: (b.sendall(b"answer" * 100_000), b.shutdown(socket.SHUT_WR)))
    assert drain_all(a) == b"answer" * 100_000
    sender.join()
    with pytest.raises(OSError):  # noqa: PT011 - whatever says that nothing can be sent
        a.sendall(b"more")


def test_data_that_has_come_is_read_after_the_other_direction_has_ended(tls):
    a, b = tls
    b.sendall(b"one")
    b.sendall(b"two")
    ringlet.sleep(0.001)
    assert a.recv(3) == b"one"
    a.shutdown(socket.SHUT_WR)
    b.sendall(b"three")
    assert drain(a, 8) == b"twothree"
    assert b.recv(10) == b""


def test_an_answer_to_somebody_who_ends_without_declaring_it(tls):
    """OpenSSL itself would refuse to send it."""
    a, b = tls
    a.sendall(b"question")
    with raw(a) as wire:
        wire.shutdown(socket.SHUT_WR)
    assert drain_all(b) == b"question"
    b.sendall(b"answer")
    assert a.recv(100) == b"answer"


def test_the_rest_of_a_record_is_read_after_the_other_direction_has_ended(tls):
    a, b = tls
    b.sendall(b"one and two")
    assert a.recv(3) == b"one"
    a.shutdown(socket.SHUT_WR)
    assert a.pending() == 8
    b.sendall(b" and three")
    assert drain(a, 18) == b" and two and three"
    b.shutdown(socket.SHUT_WR)
    assert a.recv(10) == b""


def test_looking_ahead_at_the_end(tls):
    a, b = tls
    a.sendall(b"x")
    a.shutdown(socket.SHUT_WR)
    ringlet.sleep(0.001)
    assert b.recv(1) == b"x"
    assert b.pending() == 0
    assert readable(b)
    assert b.recv(10) == b""
    assert b.recv(10) == b""


def test_no_more_reading(tls):
    a, b = tls
    reader = ringlet.spawn(b.recv, 10)
    settle()
    b.shutdown(socket.SHUT_RD)
    assert reader.result() == b""
    b.sendall(b"still encrypted")
    assert a.recv(100) == b"still encrypted"


@pytest.mark.parametrize("quiet", [True, False])
def test_an_end_that_nobody_declared(quiet):
    """Somebody may have cut the connection to make less of a message."""
    with connected(suppress_ragged_eofs=quiet) as (a, b):
        b.sendall(b"x")
        with raw(b) as wire:
            wire.shutdown(socket.SHUT_WR)
        assert a.recv(10) == b"x"
        if quiet:
            assert a.recv(10) == b""
            assert a.recv_into(bytearray(10)) == 0
        else:
            for _ in range(2):
                with pytest.raises(ssl.SSLEOFError) as caught:
                    a.recv(10)
                assert caught.value.args[0] == ssl.SSL_ERROR_EOF
                assert caught.value.reason == "UNEXPECTED_EOF_WHILE_READING"


def test_a_connection_that_is_reset():
    with connected() as (a, b):
        reader = ringlet.spawn(a.recv, 10)
        settle()
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        b.close()
        with pytest.raises(ConnectionResetError):
            reader.result()


def test_bytes_that_are_no_tls(tls):
    a, b = tls
    with raw(a) as wire:
        wire.sendall(b"not encrypted" * 10)
    with pytest.raises(ssl.SSLError):
        b.recv(10)
    assert b.recv(10) == b""  # it does not wait for more
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        a.recv(10)


def test_an_error_met_while_looking_ahead_comes_with_the_next_read(tls):
    a, b = tls
    a.sendall(b"good")
    with raw(a) as wire:
        wire.sendall(b"not encrypted" * 10)
    ringlet.sleep(0.001)
    assert b.recv(4) == b"good"
    assert b.pending() == 0
    with pytest.raises(ssl.SSLError):
        b.recv(10)


def test_tls_ends_and_the_connection_goes_on(tls):
    a, b = tls
    b.sendall(b"encrypted")
    assert a.recv(100) == b"encrypted"

    def end():
        assert b.unwrap() is b
        b.sendall(b"plain, right behind")

    ending = ringlet.spawn(end)
    assert a.unwrap() is a
    ending.join()
    assert a.version() is None
    assert a.recv(5) == b"plain"
    assert drain(a, 14) == b", right behind"
    assert not readable(a)
    b.sendall(b"more")
    buffer = bytearray(10)
    assert a.recv_into(buffer) == 4
    assert buffer[:4] == b"more"
    a.sendall(b"and back")
    assert b.recv(100) == b"and back"
    with pytest.raises(ValueError, match="No SSL wrapper"):
        a.unwrap()


def test_tls_begins_on_a_connection_in_use(pair):
    """STARTTLS, and back again."""
    a, b = pair

    def serve():
        sock = b
        assert sock.recv(100) == b"STARTTLS"
        sock.sendall(b"go")
        sock = server_context().wrap_socket(sock, server_side=True)
        sock.sendall(sock.recv(100).upper())
        assert sock.recv(100) == b""
        sock.unwrap().sendall(b"bye")
        return sock

    serving = ringlet.spawn(serve)
    a.sendall(b"STARTTLS")
    assert a.recv(2) == b"go"
    client = client_context().wrap_socket(a, server_hostname="localhost")
    client.sendall(b"hello")
    assert client.recv(100) == b"HELLO"
    unwrapped = client.unwrap()
    assert drain(unwrapped, 3) == b"bye"
    unwrapped.close()
    serving.result().close()


def test_the_descriptor_goes_elsewhere(tls):
    a, _ = tls
    fd = a.detach()
    assert a.fileno() == -1
    assert os.get_blocking(fd)
    os.close(fd)


def test_a_cancelled_reader_loses_nothing(tls):
    a, b = tls
    reader = ringlet.spawn(b.recv, 10)
    settle()
    reader.kill()
    a.sendall(b"abc")
    assert b.recv(10) == b"abc"


def test_a_cancelled_writer_leaves_whole_records(tls):
    """What was encrypted must go out, or the other side could decrypt nothing more."""
    a, b = tls
    writer = ringlet.spawn(a.sendall, b"x" * 20 * MEGABYTE)
    settle()
    writer.kill()
    sender = ringlet.spawn(lambda: (a.sendall(b"the end"), a.shutdown(socket.SHUT_WR)))
    received = drain_all(b)
    sender.join()
    assert received.endswith(b"xthe end")
    assert set(received[:-7]) == {ord("x")}

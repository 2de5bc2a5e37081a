import socket

import pytest

from ringlet.servers.http_wire import LINGER_BYTES, SEND_BYTES, Wire
from tests.servers.scripted import ScriptedSocket


def test_short_head_and_body_leave_in_one_write():
    sock = ScriptedSocket()
    Wire(sock, None).send(b"head", b"body")
    assert sock.writes == [b"headbody"]


@pytest.mark.parametrize("size", [SEND_BYTES - 3, SEND_BYTES, 2 * SEND_BYTES, 3 * SEND_BYTES + 1])
def test_a_long_body_leaves_in_slices_the_first_with_the_head(size):
    sock = ScriptedSocket()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    Wire(sock, None).send(b"head", body)
    assert b"".join(sock.writes) == b"head" + body
    assert sock.writes[0].startswith(b"head" + body[:100])
    assert all(len(data) <= SEND_BYTES + 4 for data in sock.writes)


def test_a_failed_write_loses_the_connection():
    sock = ScriptedSocket()
    sock.write_error = BrokenPipeError()
    wire = Wire(sock, None)
    with pytest.raises(BrokenPipeError):
        wire.send(b"x")
    assert wire.lost


def test_a_client_that_does_not_read_is_reset():
    """What the kernel holds for it would else stay there for minutes."""
    sock = ScriptedSocket()
    sock.write_error = TimeoutError()
    wire = Wire(sock, 1.0)
    with pytest.raises(TimeoutError):
        wire.send(b"x")
    assert wire.lost
    assert sock.calls == [("setsockopt", socket.SO_LINGER)]


def test_a_timeout_while_reading_does_not_lose_it():
    wire = Wire(ScriptedSocket(TimeoutError(), b"x", ConnectionResetError()), None)
    with pytest.raises(TimeoutError):
        wire.receive(1.0)
    assert not wire.lost
    assert wire.receive(1.0) == b"x"
    with pytest.raises(ConnectionResetError):
        wire.receive(1.0)
    assert wire.lost


def test_lingering_reads_on_but_not_for_ever():
    sock = ScriptedSocket(*[b"x" * 65536] * 1000)
    Wire(sock, None).linger()
    assert sock.calls == [("shutdown", socket.SHUT_WR)]
    assert len(sock.reads) == 1000 - LINGER_BYTES // 65536


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError()])
def test_lingering_never_fails(error):
    Wire(ScriptedSocket(b"x", error), None).linger()

"""Whatever comes as frames: the WebSocket is closed in order, and the handler sees no odd error.

RINGLET_FUZZ_REQUESTS sets how many conversations each test has, for a long run.
"""

import os
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringlet import schedule
from ringlet.io import socket
from ringlet.servers import WSGIServer
from ringlet.servers.websocket import websocket
from tests.servers.conftest import receive_all, send_all
from tests.servers.scripted import get

EXAMPLES = int(os.environ.get("RINGLET_FUZZ_REQUESTS", "100"))
SECONDS = 20
HANDSHAKE = get(
    "/",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions: permessage-deflate",
)


@st.composite
def frames(draw):
    """A frame as a client sends it, with anything in any field, and perhaps of another length."""
    payload = draw(st.binary(max_size=200))
    first = draw(st.sampled_from(b"\x81\x82\x01\x02\x00\x80\x88\x89\x8a\xc1\xc2"))
    if not draw(st.integers(0, 9)):
        first = draw(st.integers(0, 255))
    length = len(payload)
    if not draw(st.integers(0, 9)):
        length = draw(st.integers(0, 2**64 - 1))
    if length < 126:
        head = bytes([first, 0x80 | length])
    elif length < 65536:
        head = bytes([first, 0x80 | 126]) + length.to_bytes(2)
    else:
        head = bytes([first, 0x80 | 127]) + length.to_bytes(8)
    mask = draw(st.binary(min_size=4, max_size=4))
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + mask + masked


def echo(ws):
    for message in ws:
        ws.send(message)


@pytest.mark.parametrize("compression", [False, True])
def test_any_frames(compression, caplog):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(frames() | st.binary(min_size=1, max_size=20), max_size=6))
    def confuse(sent):
        with closing(socket.create_connection(server.address, SECONDS)) as client:
            send_all(client, [HANDSHAKE, *sent])
            raw = receive_all(client)
        assert raw.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")

    caplog.set_level("WARNING")
    app = websocket(echo, compression=compression, max_message=1000)
    server = WSGIServer(("127.0.0.1", 0), app)
    server.start()
    try:
        confuse()
        schedule()
        assert not server._clients
    finally:
        server.stop(0)
    assert not [record.getMessage() for record in caplog.records]

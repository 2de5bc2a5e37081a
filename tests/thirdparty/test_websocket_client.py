"""A WebSocket client that shares no code with our side: websocket-client, in a thread."""

import importlib
import threading

import pytest

from ringlet.io.threadpool import to_thread
from ringlet.servers import WSGIServer
from ringlet.servers.websocket import websocket

pytestmark = pytest.mark.thirdparty

SECONDS = 60


def echo(ws):
    for message in ws:
        ws.send(message)


@pytest.mark.parametrize("compression", [False, True])
def test_a_conversation(compression):
    client_library = importlib.import_module("websocket")

    def talk(port):
        client = client_library.create_connection(
            f"ws://127.0.0.1:{port}/room", timeout=SECONDS, subprotocols=["v1"]
        )
        assert client.getsubprotocol() == "v1"
        for message in ("h\u00e9llo", "", "x" * 200_000):
            client.send(message)
            assert client.recv() == message
        client.send_binary(b"\0\xff" * 50_000)
        assert client.recv() == b"\0\xff" * 50_000
        client.ping("are you there?")
        client.send("yes")
        assert client.recv() == "yes"
        client.close()
        return threading.current_thread()

    app = websocket(echo, subprotocols=["v1"], compression=compression)
    server = WSGIServer(("127.0.0.1", 0), app)
    server.start()
    try:
        assert to_thread(talk, server.address[1]) is not threading.main_thread()
    finally:
        server.stop(0)

"""The chat in the browser, with clients that are none."""

import http.client
import re
import signal
import subprocess
import sys

import pytest
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from examples import websocket_chat
from examples.websocket_chat import Chat
from ringlet.io.threadpool import to_thread
from ringlet.servers import WSGIServer
from ringlet.servers.websocket import websocket
from tests.examples.conftest import RUN
from tests.servers.websockets import Client
from tests.support.isolated import ROOT

SECONDS = 60


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(websocket_chat, "chat", websocket(Chat(), subprotocols=["chat"]))
    server = WSGIServer(("127.0.0.1", 0), websocket_chat.app)
    server.start()
    yield server
    server.stop(0)


def member(server):
    client = Client(server.address, path="/chat", subprotocols=["chat"])
    assert client.event().subprotocol == "chat"
    return client


def test_everybody_hears_everybody(server):
    ada = member(server)
    assert ada.message() == "guest 1 is here"
    bob = member(server)
    assert [ada.message(), bob.message()] == ["guest 2 is here"] * 2
    ada.send(TextMessage(data="hi"))
    assert [ada.message(), bob.message()] == ["guest 1: hi"] * 2
    ada.send(CloseConnection(code=1000))
    assert bob.message() == "guest 1 has left"
    ada.sock.close()
    bob.sock.close()


def test_only_text_is_taken(server):
    ada = member(server)
    ada.message()
    ada.send(BytesMessage(data=b"\0"))
    assert ada.event().code == 1003
    ada.sock.close()


def test_the_page_is_there(server):
    def ask(path):
        connection = http.client.HTTPConnection(*server.address, timeout=SECONDS)
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    assert to_thread(ask, "/") == (200, websocket_chat.PAGE)
    assert to_thread(ask, "/chat")[0] == 426
    assert to_thread(ask, "/nothing")[0] == 404


def test_the_program_serves_until_ctrl_c():
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "examples.websocket_chat", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        port = int(re.search(r":(\d+)$", line)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()

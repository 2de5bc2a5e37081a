"""The chat server with real clients, well-behaved and not."""

import re
import signal
import struct
import subprocess
import sys

import pytest

from examples import chat
from examples.chat import Chat
from ringlet.io import socket
from ringlet.servers import StreamServer
from tests.examples.conftest import RUN
from tests.support.isolated import ROOT


class Client:
    """A connection to the server, read line by line."""

    def __init__(self, address, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(20)
        self.sock.connect(address)
        self._pending = b""

    def send(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def line(self):
        """The next line; None once the server has hung up."""
        while b"\n" not in self._pending:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode().rstrip("\r")

    def lines(self, count):
        return [self.line() for _ in range(count)]


@pytest.fixture
def server():
    server = StreamServer(("127.0.0.1", 0), Chat())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def enter(server):
    """Connects a client and gives its name; it has read all it was sent on the way in."""
    clients = []

    def enter(name, **options):
        client = Client(server.address, **options)
        clients.append(client)
        assert client.line() == "* your name?"
        client.send(name)
        assert client.line() == f"* {name} comes into lobby"
        return client

    yield enter
    for client in clients:
        client.sock.close()


def test_everybody_in_the_room_hears_it(enter):
    ada, bob = enter("ada"), enter("bob")
    assert ada.line() == "* bob comes into lobby"
    ada.send("hello there")
    assert ada.line() == bob.line() == "ada: hello there"
    bob.send("hi")
    assert ada.line() == bob.line() == "bob: hi"


def test_rooms_are_apart(enter):
    ada, bob = enter("ada"), enter("bob")
    bob.send("/join tea")
    assert bob.line() == "* bob comes into tea"
    assert ada.lines(2) == ["* bob comes into lobby", "* bob leaves"]
    ada.send("anybody?")
    bob.send("alone at last")
    assert ada.line() == "ada: anybody?"
    assert bob.line() == "bob: alone at last"
    ada.send("/join tea")
    assert bob.line() == ada.line() == "* ada comes into tea"


def test_who_and_help(enter):
    ada, _bob = enter("ada"), enter("bob")
    ada.line()
    ada.send("/who")
    ada.send("   ")
    ada.send("/dance")
    assert ada.line() == "* here: ada, bob"
    assert ada.line() == f"* {chat.HELP}"


def test_a_name_is_one_word_and_nobody_elses(server, enter):
    ada = enter("ada")
    other = Client(server.address)
    assert other.line() == "* your name?"
    for name in ("ada", "", "ada l", "x" * 3 + "!"):
        other.send(name)
        assert other.line().startswith("* one word please")
    other.send("bob")
    assert other.line() == ada.line() == "* bob comes into lobby"
    other.send("/quit")
    assert other.line() is None
    other.sock.close()
    assert ada.line() == "* bob leaves"
    assert enter("bob"), "the name is free again"


def test_a_client_that_drops_in_the_middle_of_a_line(enter):
    ada, bob, eve = enter("ada"), enter("bob"), enter("eve")
    ada.lines(2)
    bob.sock.sendall(b"whole line\nhalf a li")
    bob.sock.close()
    assert ada.lines(2) == ["bob: whole line", "* bob leaves"]
    eve.sock.sendall(b"never to be fini")
    # With a linger time of zero, close() resets the connection instead of ending it.
    eve.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eve.sock.close()
    assert ada.line() == "* eve leaves"
    ada.send("still here")
    assert ada.line() == "ada: still here"


def test_clients_that_leave_before_they_have_a_name(server, enter):
    for said in (b"", b"ad", b"ada\n"):
        early = Client(server.address)
        early.sock.sendall(said)
        early.sock.close()
    ada = enter("eve")
    ada.send("/who")
    while not (line := ada.line()).startswith("* here: "):
        assert line in ("* ada comes into lobby", "* ada leaves")
    assert "eve" in line


def test_a_line_without_end_is_cut_off(enter):
    ada, bob = enter("ada"), enter("bob")
    bob.sock.sendall(b"x" * (chat.LONGEST_LINE + 1))
    assert ada.lines(2) == ["* bob comes into lobby", "* bob leaves"]
    assert bob.line() is None


def test_bytes_that_are_no_text(enter):
    ada = enter("ada")
    ada.sock.sendall(b"\xff\xfe\n")
    assert ada.line() == "ada: \ufffd\ufffd"


def test_one_who_does_not_read_holds_nobody_up(enter):
    ada, _bob = enter("ada"), enter("bob", receive_buffer=4096)
    assert ada.line() == "* bob comes into lobby"
    line = "x" * 1900
    for _ in range(20_000):
        ada.send(line)
        if ada.line() == "* bob leaves":
            break
    else:
        pytest.fail("bob was never hung up on")
    assert ada.line() == f"ada: {line}"


def test_a_hundred_at_once_hear_everything_in_one_order(enter):
    names = [f"user{number}" for number in range(100)]
    clients = [enter(name) for name in names]
    for number, client in enumerate(clients):
        client.lines(len(clients) - number - 1)
    for name, client in zip(names, clients, strict=True):
        client.send(f"I am {name}")
    heard = [client.lines(len(clients)) for client in clients]
    assert sorted(heard[0]) == sorted(f"{name}: I am {name}" for name in names)
    assert all(lines == heard[0] for lines in heard)


def test_as_a_program_until_ctrl_c():
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "examples.chat", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        host, port = re.match(r"chatting on (.*):(\d+), ", process.stdout.readline()).groups()
        client = Client((host, int(port)))
        assert client.line() == "* your name?"
        process.send_signal(signal.SIGINT)
        assert client.line() is None
        client.sock.close()
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_in_use_is_one_line(server, run_example):
    host, port = server.address
    outcome = run_example("chat", "--port", port, exit=1)
    assert f"{host}:{port}" in outcome.stderr
    assert outcome.stderr.count("\n") == 1

"""A console inside the program."""

import io
import os
import struct
import sys
from contextlib import contextmanager

import pytest

import ringlet
from ringlet.io import socket
from ringlet.servers import backdoor, base
from ringlet.servers.backdoor import BackdoorServer
from tests.servers.test_stream import until

LOCAL = ("127.0.0.1", 0)


@contextmanager
def serving(address=LOCAL, **options):
    server = BackdoorServer(address, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


class Console:
    """The other side of one."""

    def __init__(self, server):
        family = socket.AF_UNIX if isinstance(server.address, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(20)
        self.sock.connect(server.address)
        self.seen = b""

    def __enter__(self):
        self.banner = self.until(">>> ")
        return self

    def __exit__(self, *error):
        self.sock.close()

    def until(self, text):
        """What comes before `text`."""
        while text.encode() not in self.seen:
            data = self.sock.recv(4096)
            assert data, self.seen
            self.seen += data
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode()

    def send(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def ask(self, line):
        """Type a line; what comes before the next prompt."""
        self.send(line)
        return self.until(">>> ")

    def ends(self):
        while data := self.sock.recv(100):
            self.seen += data
        return True


def test_it_computes_prints_and_fails():
    with serving(namespace={"answer": 41}) as server, Console(server) as console:
        assert "ringlet" in console.banner
        assert console.ask("answer + 1") == "42\n"
        assert console.ask("print('hello')") == "hello\n"
        said = console.ask("1 / 0")
        assert said.startswith("Traceback")
        assert "ZeroDivisionError" in said
        assert "SyntaxError" in console.ask("a b")
        console.send("for i in range(2):")
        console.until("... ")
        console.send("    print(i)")
        console.until("... ")
        assert console.ask("") == "0\n1\n"


def test_others_keep_their_output(capsys):
    before = sys.stdout, sys.stderr
    with serving() as server:
        with Console(server) as console:
            print("from the program")
            assert console.ask("import sys; print('to the console', file=sys.stderr)") == (
                "to the console\n"
            )
        until(lambda: not server._served)
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "from the program\n"


def test_what_is_spawned_from_a_console_prints_there(capsys):
    go = ringlet.Channel()
    with serving(namespace={"go": go, "spawn": ringlet.spawn}) as server:
        with Console(server) as one, Console(server) as two:
            assert one.ask("spawn(print, 'spawned').join()") == "spawned\nTrue\n"
            assert two.ask("1") == "1\n"
            assert one.ask("t = spawn(lambda: print(go.receive()))") == ""
        until(lambda: not server._served)
        go.send("its console is gone")
        until(lambda: "its console is gone\n" in capsys.readouterr().out)


def test_consoles_have_their_own_names():
    with serving(namespace={"x": 1}) as server, Console(server) as one, Console(server) as two:
        one.ask("x = 2; y = 3")
        assert two.ask("x") == "1\n"
        assert "NameError" in two.ask("y")
        assert "acceptor at 127.0.0.1" in one.ask("[t.name for t in tasklets()]")
        assert "acceptor at 127.0.0.1" in one.ask("print(dump())")


@pytest.mark.parametrize(
    "line", ["exit()", "quit()", "raise SystemExit(3)", "import sys; sys.exit()"]
)
def test_leaving_ends_the_console_and_not_the_program(line):
    with serving() as server, Console(server) as console:
        console.send(line)
        assert console.ends()
        with Console(server) as another:
            assert another.ask("1") == "1\n"


def test_the_end_of_input_ends_it():
    with serving() as server, Console(server) as console:
        console.sock.shutdown(socket.SHUT_WR)
        assert console.ends()


def test_reading_is_from_the_console(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("not for you\n"))
    with serving() as server, Console(server) as console:
        console.send("x = input('name? ')")
        console.until("name? ")
        assert console.ask("Ada") == ""
        assert console.ask("x") == "'Ada'\n"
        assert "Help on built-in function len" in console.ask("help(len)")


def test_others_run_while_it_waits_and_while_its_code_waits():
    with serving() as server, Console(server) as console, Console(server) as other:
        console.send("import ringlet; ringlet.sleep(600)")
        assert other.ask("6 * 7") == "42\n"
        server.stop()
        assert console.ends()


def test_stopping_does_not_wait_for_consoles():
    with serving() as server, Console(server) as console:
        server.stop()
        assert console.ends()


def test_a_path_is_for_its_owner_only(tmp_path):
    path = str(tmp_path / "console")
    with serving(path) as server:
        assert os.stat(path).st_mode & 0o777 == 0o600
        with Console(server) as console:
            assert console.ask("1 + 1") == "2\n"


def test_another_user_is_refused(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(backdoor, "getuid", lambda: 12345)
    real = socket.socket.getsockopt

    def getsockopt(self, *args):
        if args[:2] == (socket.SOL_SOCKET, socket.SO_PEERCRED):
            return struct.pack("3i", 1, 54321, 1)
        return real(self, *args)

    monkeypatch.setattr(socket.socket, "getsockopt", getsockopt)
    with serving(str(tmp_path / "console")) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(server.address)
            assert client.recv(100) == b""
    assert "refused to another user" in caplog.text


@pytest.mark.parametrize(
    "address",
    [("0.0.0.0", 0), ("", 0), ("192.0.2.1", 0), ("::", 0), ("example.org", 0), [("::", 1)]],
)
def test_addresses_that_others_could_reach_are_refused(address):
    with pytest.raises(ValueError, match="would be open to others"):
        BackdoorServer(address)


def test_a_socket_that_others_could_reach_is_refused():
    with socket.create_server(("0.0.0.0", 0)) as given:
        with pytest.raises(ValueError, match="would be open to others"):
            BackdoorServer(given)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_taken(host):
    assert "stopped" in repr(BackdoorServer((host, 0)))


def test_a_localhost_that_is_none_is_refused(monkeypatch):
    def listen(wanted, how):
        return real(("0.0.0.0", 0), how)

    real = base.listen
    monkeypatch.setattr(base, "listen", listen)
    server = BackdoorServer(("localhost", 0))
    with pytest.raises(ValueError, match="would be open to others"):
        server.start()
    assert "stopped" in repr(server)

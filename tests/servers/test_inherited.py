"""Sockets and readiness as systemd has them."""

import os
import re
import socket as stdlib

import pytest

from ringlet.servers import StreamServer
from ringlet.servers.inherited import descriptor_socket, inherited_sockets, notify
from tests.support.isolated import run_isolated


@pytest.fixture
def environ():
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "PATH": "/bin"}


@pytest.mark.parametrize("pid", ["1", "", "x"])
def test_what_is_meant_for_another_process_is_not_ours(environ, pid):
    environ["LISTEN_PID"] = pid
    assert inherited_sockets(environ=environ) == []
    assert "LISTEN_FDS" in environ


def test_it_is_asked_once(environ):
    assert inherited_sockets(environ=environ) == []
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize("count", ["", "x", "-1", "1.5"])
def test_a_count_that_is_none_is_refused(environ, count):
    environ["LISTEN_FDS"] = count
    with pytest.raises(ValueError, match=re.escape(f"LISTEN_FDS='{count}' is no number")):
        inherited_sockets(environ=environ)


def test_sockets_from_the_third_descriptor_on_by_name_or_all():
    run_isolated("""
import os, socket
from ringlet.servers.inherited import inherited_sockets
made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
where = [sock.getsockname() for sock in made]
moved = [os.dup2(sock.fileno(), 100 + n) for n, sock in enumerate(made)]
for n in range(2):
    os.dup2(100 + n, 3 + n, inheritable=True)
told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin"}
everything = inherited_sockets(environ=dict(told))
assert [sock.getsockname() for sock in everything] == where
assert not os.get_inheritable(3)
[admin] = inherited_sockets("admin", environ=dict(told))
assert admin.getsockname() == where[1]
assert inherited_sockets("nobody", environ=dict(told)) == []
os._exit(0)
""")


def test_a_server_on_a_descriptor():
    with stdlib.create_server(("127.0.0.1", 0)) as given:
        address = given.getsockname()
        server = StreamServer(descriptor_socket(os.dup(given.fileno())), print)
        server.start()
        assert server.address == address
        server.stop(0)


def test_a_descriptor_that_is_no_socket_is_named():
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=f"descriptor {fd} cannot be listened at: socket oper"):
            descriptor_socket(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_readiness_is_told(tmp_path, monkeypatch, kind):
    place = str(tmp_path / "notify") if kind == "file" else f"@ringlet-test-{os.getpid()}"
    with stdlib.socket(stdlib.AF_UNIX, stdlib.SOCK_DGRAM) as manager:
        manager.bind(place.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_nobody_wants_to_know(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    assert not notify("READY=1")

"""What the options of `ringlet serve` mean, and where it can listen."""

import argparse
import dataclasses
import inspect
import os
import signal
import socket
import ssl
import stat
import sys
import urllib.request

import pytest

from ringlet.servers import HTTPLimits, WSGIServer
from ringlet.tools import serve_options
from ringlet.tools.cli import main
from ringlet.tools.serve_command import Serve
from ringlet.tools.serve_options import FdAddress, add_options, server_keywords
from tests.certificates import AUTHORITY, CLIENT, SERVER
from tests.support.isolated import ROOT
from tests.tools.served import SECONDS, Client, application, ask, serving


def parse(*words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:0", ("localhost", 0)),
        (":8000", ("", 8000)),
        ("[::1]:80", ("::1", 80)),
        ("unix:/run/x", "/run/x"),
        ("unix:///run/x", "/run/x"),
        ("unix:x.sock", "x.sock"),
        ("unix:@name", "\0name"),
        ("/run/x", "/run/x"),
        ("fd://3", FdAddress(3)),
        ("systemd", FdAddress(None)),
    ],
)
def test_addresses(text, expected):
    assert serve_options.address(text) == expected


@pytest.mark.parametrize("text", ["", "host", "80", "unix:", "fd://x", "::1:80", "[::1]", "a:b:1"])
def test_what_is_no_address(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no address: give HOST:PORT"):
        serve_options.address(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--workers", "0"], "'0' is no whole number above 0"),
        (["--workers", "many"], "'many' is no whole number above 0"),
        (["--limit", "1.5"], "'1.5' is no whole number above 0"),
        (["--grace", "nan"], "'nan' is no number above 0"),
        (["--grace", "inf"], "'inf' is no number above 0"),
        (["--unix-mode", "999"], "'999' are no permissions: give them as in 660"),
        (["--bind", "x:70000"], "'70000' is no port"),
        (["--idle-timeout", "-1"], "'-1' is no number above 0"),
    ],
)
def test_values_that_make_no_sense(words, says):
    with pytest.raises(argparse.ArgumentError, match=says):
        parse(*words)


def test_every_keyword_of_the_server_has_an_option():
    """Either of its name, or as what it is made of."""
    keywords = set(inspect.signature(WSGIServer).parameters) - {"address", "app"}
    made_otherwise = {"ssl": "tls_cert", "multiprocess": "workers"}
    limits = {field.name for field in dataclasses.fields(HTTPLimits)}
    options = set(vars(parse()))
    for keyword in keywords - {"http_limits"}:
        assert made_otherwise.get(keyword, keyword) in options
    assert limits <= options


def test_what_is_not_said_is_as_the_server_has_it():
    parameters = inspect.signature(WSGIServer).parameters
    for name, value in server_keywords(parse()).items():
        expected = HTTPLimits() if name == "http_limits" else parameters[name].default
        assert value == expected, name


def test_options_become_keywords():
    found = server_keywords(
        parse(
            *("--limit", "7", "--idle-timeout", "none", "--max-body", "10", "--unix-mode", "660"),
            *("--trusted-proxies", "10.0.0.0/8, unix", "--proxy-protocol", "10.0.0.1"),
        )
    )
    assert found["limit"] == 7
    assert found["http_limits"] == HTTPLimits(idle_timeout=None, max_body=10)
    assert found["unix_mode"] == 0o660
    assert found["trusted_proxies"] == ["10.0.0.0/8", "unix"]
    assert found["proxy_protocol"] == ["10.0.0.1"]
    assert server_keywords(parse("--proxy-protocol"))["proxy_protocol"] is True


def test_workers_for_every_core():
    assert parse("--workers", "auto").workers == len(os.sched_getaffinity(0))


def addresses(*words):
    return Serve(argparse.Namespace(app="x:y", **vars(parse(*words))))._addresses()


def test_where_to_listen():
    assert addresses() == [("127.0.0.1", 8000)]
    assert addresses("--port", "1") == [("127.0.0.1", 1)]
    assert addresses("--host", "::1") == [("::1", 8000)]
    assert addresses("--bind", "a:1", "--bind", "unix:b") == [("a", 1), "b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--bind", "a:1", "--port", "2"], "--bind says host and port, too"),
        (["--bind", "systemd"], "systemd has opened no socket for us"),
        (["--bind", "fd://999"], "descriptor 999 cannot be listened at: bad file descriptor"),
        (["--preload", "--reload"], "--preload keeps the old code"),
        (["--preload"], "--preload is for workers: give --workers"),
        (["--hang-timeout", "5"], "--hang-timeout is for workers: give --workers"),
        (["--reload-include", "x"], "--reload-include says what else to watch"),
        (["--patch", "--preload", "--workers", "1"], "--patch is for workers: leave out"),
        (["--tls-key", "x"], "a certificate is missing: give --tls-cert FILE, too"),
        (["--tls-cert", "/nowhere"], "the certificate /nowhere cannot be used: "),
        (["--trusted-proxies", "everybody"], "trusted_proxies: 'everybody' does not appear"),
        (["--proxy-protocol", "everybody"], "'everybody' does not appear to be an IPv4 or"),
        (["--access-format", "{nothing}", "--access-log", "-"], "nothing"),
        (["--access-log", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--pid-file", "/nowhere/at/all"], "cannot write /nowhere/at/all: No such"),
        (["--bind", "198.51.100.1:1", "--workers", "2"], "cannot listen on 198.51.100.1:1: "),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, words, says, monkeypatch, capsys):
    application(tmp_path, name="shop_of_one_line.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    from_port = [] if "--bind" in words else ["--port", "0"]
    status = main(["serve", "shop_of_one_line:app", *from_port, *words])
    error = capsys.readouterr().err
    assert status == 1
    assert error.startswith("ringlet serve: ")
    assert says in error
    assert error.count("\n") == 1


def test_a_unix_socket_a_pid_file_and_readiness(tmp_path):
    application(tmp_path)
    path, pid_file = tmp_path / "socket", tmp_path / "pid"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SECONDS)
        with serving(
            tmp_path,
            *("--bind", f"unix:{path}", "--unix-mode", "600", "--pid-file", str(pid_file)),
            *("--workers", "1"),
            port=False,
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        ) as served:
            assert served.url == f"unix:{path}"
            assert manager.recv(100) == b"READY=1\nMAINPID=%d" % served.pid
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert pid_file.read_text() == f"{served.pid}\n"
            served.address = str(path)
            assert ask(served)[0] == "first"
            assert served.stop()[0] == 0
            assert manager.recv(100) == b"STOPPING=1"
    assert not path.exists()
    assert not pid_file.exists()


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "workers"])
@pytest.mark.parametrize("how", ["LISTEN_FDS", "fd"])
def test_a_socket_that_somebody_else_has_opened(tmp_path, how, workers):
    """It stays open: what arrives after the end is for whoever comes next."""
    application(tmp_path)
    (tmp_path / "start.py").write_text(
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as given:
        given.settimeout(SECONDS)
        os.set_inheritable(given.fileno(), True)
        words = (*(["--bind", "fd://3"] if how == "fd" else []), *workers)
        with serving(
            tmp_path,
            *words,
            port=False,
            command=[sys.executable, "start.py", str(given.fileno())],
            pass_fds=(given.fileno(),),
        ) as served:
            assert served.address == given.getsockname()
            assert ask(served)[0] == "first"
            assert served.stop()[0] == 0
        with socket.create_connection(given.getsockname(), SECONDS):
            given.accept()[0].close()


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "workers"])
def test_tls(tmp_path, workers):
    application(tmp_path)
    with serving(tmp_path, "--tls-cert", SERVER, "--tls-client-ca", AUTHORITY, *workers) as served:
        assert served.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=AUTHORITY)
        context.load_cert_chain(CLIENT)
        with urllib.request.urlopen(served.url, context=context, timeout=SECONDS) as answer:
            assert answer.read().startswith(b"first ")
        assert served.stop()[0] == 0


def test_an_access_log_and_a_limit(tmp_path):
    application(tmp_path)
    log = tmp_path / "access.log"
    words = ("--access-log", str(log), "--access-format", "{method} {status}")
    with serving(tmp_path, *words, "--max-request-line", "50", "--workers", "1") as served:
        assert ask(served)[0] == "first"
        with pytest.raises(AssertionError, match="414"):
            Client(served.address, path="/" + "x" * 100).ask()
        assert served.stop(signal.SIGINT)[0] == 0
    assert log.read_text() == "GET 200\n- 414\n"


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "workers"])
def test_patching_lets_requests_wait_side_by_side(tmp_path, workers):
    """Each waits, as threads do, for the other to come."""
    (tmp_path / "shop.py").write_text(
        "import os, threading\n"
        "together = threading.Barrier(2)\n"
        "def app(environ, start_response):\n"
        "    together.wait()\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x %d' % os.getpid()]\n"
    )
    with serving(tmp_path, "--patch", *workers) as served, Client(served.address) as one:
        one.connect()
        one.sock.sendall(one.request)
        assert ask(served)[0] == "x"
        assert served.stop()[0] == 0


def test_every_option_is_in_the_reference():
    page = (ROOT / "docs" / "reference" / "serve.md").read_text()
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    for action in parser._actions:
        for option in action.option_strings:
            assert f"| `{option}" in page, option

"""The command as users run it: in a process of its own, from a folder of theirs."""

import http.client
import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ringlet.tools import cli, serve_command

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20

GOOD = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello from " + environ["PATH_INFO"].encode()]

class api:
    app = staticmethod(app)

def slow(environ, start_response):
    start_response("200 OK", [])
    yield b"one "
    yield environ["wsgi.input"].read()

value = 5
"""

MODULES = {
    "good.py": GOOD,
    "package/__init__.py": "",
    "package/inner.py": GOOD,
    "needs.py": "import no_such_dependency\n",
    "package/needs.py": "\n\nfrom no_such.dependency import x\n",
    "renamed.py": "from os import no_such_name\n",
    "wrong.py": "x = 1\ny = 1 / 0\n",
    "typo.py": "x = 1\ndef app(:\n",
    "leaves.py": "import sys\nsys.exit('three\\nlines\\nof text')\n",
    "self_missing.py": "import self_missing.inner\n",
}


@pytest.fixture
def folder(tmp_path):
    """A user's folder with modules in it."""
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def command(*arguments):
    return [sys.executable, "-W", "error", "-m", "ringlet", *arguments]


def run(folder, *arguments):
    """Run the command until it ends by itself."""
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=SECONDS
    )


@contextmanager
def serving(folder, *arguments):
    """Run the command until it serves; gives the process and the port."""
    process = subprocess.Popen(
        command("serve", *arguments, "--port", "0"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(
            rf"serving {re.escape(arguments[0])} on http://127\.0\.0\.1:(\d+) \(Ctrl-C stops it\)",
            line.rstrip("\n"),
        )
        assert match, (line, process.stderr.read() if process.poll() is not None else "")
        yield process, int(match[1])
    finally:
        process.kill()
        process.communicate()


def ends(process):
    """Everything else the process says, once it has ended."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("app", ["good:app", "good:api.app", "package.inner:app"])
def test_serves_and_stops_on_a_signal(folder, app, number):
    with serving(folder, app) as (process, port):
        for path in ("/a", "/b"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.read() == b"hello from " + path.encode()
        process.send_signal(number)
        assert ends(process) == (0, "", "")


def test_it_says_its_version(folder):
    version = importlib.metadata.version("ringlet")
    outcome = run(folder, "--version")
    assert (outcome.returncode, outcome.stdout) == (0, f"ringlet {version}\n")


def test_serves_the_example():
    with serving(ROOT, "examples.hello:app") as (process, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?name=Ada") as answer:
            assert answer.read() == b"Hello, Ada!\n"
        body = os.urandom(200_000)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/echo", data=body) as answer:
            assert answer.read() == body
        with pytest.raises(urllib.request.HTTPError, match="404") as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/nowhere")
        error.value.close()
        process.send_signal(signal.SIGTERM)
        assert ends(process) == (0, "", "")


def test_an_idle_connection_does_not_keep_it_from_stopping(folder):
    with (
        serving(folder, "good:app") as (process, port),
        socket.create_connection(("127.0.0.1", port), SECONDS) as silent,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as kept,
    ):
        kept.request("GET", "/x")
        assert kept.getresponse().read() == b"hello from /x"
        process.send_signal(signal.SIGTERM)
        assert kept.sock.recv(1) == b""
        assert silent.recv(1) == b""
        assert ends(process) == (0, "", "")


@contextmanager
def slow_request(port):
    """A request that is half answered and still wants three bytes of its body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as client:
        client.putrequest("POST", "/")
        client.putheader("Content-Length", "3")
        client.endheaders()
        with client.getresponse() as answer:
            assert answer.read(4) == b"one "
            yield client, answer


def test_a_request_under_way_may_end(folder):
    with serving(folder, "good:slow") as (process, port), slow_request(port) as (client, answer):
        process.send_signal(signal.SIGTERM)
        while accepts(port):
            pass
        client.send(b"two")
        assert answer.read() == b"two"
        assert ends(process) == (0, "", "")


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), SECONDS).close()
    except ConnectionError:
        return False
    return True


def test_a_request_that_never_ends_is_dropped(folder, monkeypatch):
    """After the grace, and the command still ends well."""
    start = "from ringlet.tools import cli, serve_command; serve_command.GRACE = 0.05; "
    start += "cli.main(['serve', 'good:slow', '--port', '0'])"
    process = subprocess.Popen(
        [sys.executable, "-c", start], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(re.search(r":(\d+) ", process.stdout.readline())[1])
        with slow_request(port):
            process.send_signal(signal.SIGTERM)
            assert ends(process)[0] == 0
    finally:
        process.kill()
        process.communicate()


ERRORS = {
    "no colon": ("good", ["'good' is not of the form MODULE:APP", "examples.hello:app"]),
    "no module": (":app", ["not of the form MODULE:APP"]),
    "no app": ("good:", ["not of the form MODULE:APP"]),
    "a path": ("./good:app", ["not of the form MODULE:APP"]),
    "two colons": ("good:app:x", ["not of the form MODULE:APP"]),
    "a file": ("good.py:app", ["there is no module 'good.py'", "leave out .py"]),
    "not there": (
        "nowhere:app",
        ["there is no module 'nowhere' in {folder}", "check its spelling"],
    ),
    "not in package": ("package.nowhere:app", ["there is no module 'package.nowhere'"]),
    "no package": ("nowhere.inner:app", ["there is no module 'nowhere.inner'"]),
    "dependency": (
        "needs:app",
        ["module needs failed", "'no_such_dependency' ({folder}/needs.py, li"],
    ),
    "dependency of package": (
        "package.needs:app",
        ["'no_such'", "package/needs.py, line 3", "install"],
    ),
    "renamed name": ("renamed:app", ["ImportError: cannot import name 'no_such_name'"]),
    "error": (
        "wrong:app",
        ["module wrong failed", "ZeroDivisionError", "{folder}/wrong.py, line 2"],
    ),
    "syntax": ("typo:app", ["module typo failed", "SyntaxError", "{folder}/typo.py, line 2"]),
    "exit": ("leaves:app", ["module leaves failed", "SystemExit: three (", "line 2"]),
    "itself": ("self_missing:app", ["module self_missing failed", "not a package"]),
    "no attribute": ("good:nothing", ["module good was imported but has no 'nothing'"]),
    "no inner attribute": (
        "good:api.nothing",
        ["module good was imported but has no 'api.nothing'"],
    ),
    "not callable": ("good:value", ["good:value is no application but int", "start_response"]),
}


@pytest.mark.parametrize(("app", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_is_one_line(folder, app, says):
    done = run(folder, "serve", app, "--port", "0")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ringlet serve: ")
    assert done.stderr.count("\n") == 1
    for text in says:
        assert text.replace("{folder}", str(folder)) in done.stderr


def test_a_port_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run(folder, "serve", "good:app", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"ringlet serve: cannot listen on 127.0.0.1:{port}: address alr")
    assert "choose another port" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours(folder, host):
    done = run(folder, "serve", "good:app", "--host", host, "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ringlet serve: cannot listen on {host}:0: ")
    assert done.stderr.count("\n") == 1


def test_without_httptools(folder):
    (folder / "httptools.py").write_text("raise ImportError('not installed')\n")
    done = run(folder, "serve", "good:app", "--port", "0")
    assert done.returncode == 1
    assert done.stderr == (
        "ringlet serve: WSGIServer needs httptools, which cannot be imported (not installed): "
        "install the extra with: pip install 'ringlet[server]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "ringlet: the following arguments are required: COMMAND"),
        (["fly"], "ringlet: argument COMMAND: invalid choice: 'fly'"),
        (["serve"], "ringlet serve: the following arguments are required: MODULE:APP"),
        (["serve", "good:app", "--fast"], "ringlet: unrecognized arguments: --fast"),
        (["serve", "good:app", "--port", "x"], "'x' is no port: give a number from 0 to 65535"),
        (["serve", "good:app", "--port", "65536"], "'65536' is no port"),
        (["serve", "good:app", "--port=-1"], "'-1' is no port"),
    ],
)
def test_a_senseless_command_line_is_one_line(arguments, says, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(arguments)
    assert ending.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert "--help'" in error


def test_help_teaches(capsys):
    for arguments, texts in (
        (["--help"], ["ringlet serve MODULE:APP"]),
        (
            ["serve", "--help"],
            ["ringlet serve examples.hello:app", "--port 0", "127.0.0.1", "8000"],
        ),
    ):
        with pytest.raises(SystemExit) as ending:
            cli.main(arguments)
        assert ending.value.code == 0
        said = capsys.readouterr().out
        for text in texts:
            assert text in said


def test_the_installed_command_is_the_same():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="ringlet")
    assert script.load() is cli.main


@pytest.mark.parametrize(
    ("address", "asked", "url"),
    [
        (("::1", 80, 0, 0), None, "http://[::1]:80"),
        (("127.0.0.1", 80), "localhost", "http://localhost:80"),
        ("/run/x.sock", None, "unix:/run/x.sock"),
    ],
)
def test_urls(address, asked, url):
    assert serve_command.url(address, "http", asked) == url

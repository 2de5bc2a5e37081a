"""gunicorn with our worker: its master, configuration and logs."""

import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.tools.served import SECONDS, Client, Crowd, Served, application, ask

pytestmark = pytest.mark.thirdparty

WORKER = "ringlet.servers.gunicorn.Worker"
CERTIFICATES = Path(__file__).parents[1] / "certificates"


@contextmanager
def gunicorn(folder, *options, worker=WORKER):
    """gunicorn, once a worker has booted."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-k", worker, "-b", "127.0.0.1:0"),
            *("--graceful-timeout", "20", *options, "shop:app"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    served = Served(process)
    try:
        match = served.until(r"Listening at: https?://127\.0\.0\.1:(\d+) ")
        served.address = "127.0.0.1", int(match[1])
        served.until("Booting worker with pid: ")
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("worker", [WORKER, "egg:ringlet", "egg:ringlet#worker"])
def test_it_serves_with_several_workers_and_stops(tmp_path, worker):
    application(tmp_path)
    with gunicorn(tmp_path, "--workers", "2", worker=worker) as served:
        found = set()
        deadline = time.monotonic() + SECONDS
        while len(found) < 2 and time.monotonic() < deadline:
            found.add(ask(served)[1])
        assert len(found) == 2
        assert served.pid not in found
        status, _ = served.stop()
        assert status == 0


def test_the_worker_is_found_by_its_name():
    (entry,) = entry_points(group="gunicorn.workers", name="worker")
    assert entry.value.replace(":", ".") == WORKER


def test_reloading_and_stopping_under_load_loses_nothing(tmp_path):
    application(tmp_path)
    with gunicorn(tmp_path, "--workers", "2") as served:
        with Crowd(served.address) as crowd:
            crowd.until(50)
            application(tmp_path, "second")
            served.send(signal.SIGHUP)
            deadline = time.monotonic() + SECONDS
            while not any(word == "second" for word, _ in list(crowd.answers)):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            crowd.until(50)
        assert crowd.lost == []
        assert served.stop()[0] == 0


def test_a_worker_is_replaced_after_so_many_requests(tmp_path):
    application(tmp_path)
    with gunicorn(tmp_path, "--max-requests", "5") as served:
        found = {ask(served)[1] for _ in range(12)}
        assert len(found) >= 2
        served.until("Autorestarting worker after current request")


def test_a_worker_that_hangs_is_killed_by_the_master(tmp_path):
    (tmp_path / "shop.py").write_text(
        "import os, time\n"
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/hang':\n"
        "        time.sleep(600)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x %d' % os.getpid()]\n"
    )
    with gunicorn(tmp_path, "--timeout", "1") as served:
        before = ask(served)[1]
        with pytest.raises(AssertionError, match="500 Internal Server Error"):
            Client(served.address, path="/hang").ask()
        served.until(r"WORKER TIMEOUT(.|\n)*Booting worker with pid: ")
        assert ask(served)[1] != before


def test_access_lines(tmp_path):
    application(tmp_path)
    log = tmp_path / "access.log"
    options = (
        "--access-logfile",
        str(log),
        "--access-logformat",
        "%(h)s %(m)s %(U)s %(q)s %(s)s %(b)s",
    )
    with gunicorn(tmp_path, *options) as served:
        ask(served, path="/a?b=c")
        served.stop()
    assert re.fullmatch(r"127\.0\.0\.1 GET /a b=c 200 \d+\n", log.read_text())


def test_limits_are_gunicorns(tmp_path):
    application(tmp_path)
    with gunicorn(tmp_path, "--limit-request-line", "100", "--keep-alive", "1") as served:
        with pytest.raises(AssertionError, match="414"):
            Client(served.address, path="/" + "x" * 200).ask()
        with socket.create_connection(served.address, SECONDS) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while sock.recv(1000):  # idle for a second, it is closed
                pass


def test_tls(tmp_path):
    application(tmp_path)
    certificate = str(CERTIFICATES / "server.pem")
    with gunicorn(tmp_path, "--certfile", certificate, "--keyfile", certificate) as served:
        context = ssl.create_default_context(cafile=CERTIFICATES / "authority.pem")
        url = f"https://localhost:{served.address[1]}/"
        with urllib.request.urlopen(url, context=context, timeout=SECONDS) as answer:
            assert answer.read().startswith(b"first ")


def test_the_application_may_be_patched(tmp_path):
    """Two requests wait for each other, as threads do, in one worker."""
    (tmp_path / "gunicorn.conf.py").write_text(
        "def post_fork(server, worker):\n    import ringlet.patch\n    ringlet.patch.install()\n"
    )
    (tmp_path / "shop.py").write_text(
        "import os, threading\n"
        "together = threading.Barrier(2)\n"
        "def app(environ, start_response):\n"
        "    together.wait()\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x %d' % os.getpid()]\n"
    )
    with gunicorn(tmp_path) as served, Client(served.address) as one:
        one.connect()
        one.sock.sendall(one.request)
        assert ask(served)[0] == "x"
        assert served.stop()[0] == 0

"""`ringlet serve --workers`: a parent and its workers, through signals, deaths and changes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools.served import SECONDS, Client, Crowd, application, ask, serving

HANGS = """
import time

def app(environ, start_response):
    open("here", "w")
    time.sleep(600)
"""


def pids(served, count):
    """The processes that answer, once so many have."""
    found = set()
    deadline = time.monotonic() + SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found.add(ask(served)[1])
    assert len(found) == count
    return found


def has_ended(pid):
    """Whether a process ends in time. It may stay a zombie: nobody need wait for orphans."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_share_a_port_and_end_with_their_parent(tmp_path, number):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2") as served:
        workers = pids(served, 2)
        assert served.pid not in workers
        status, log = served.stop(number)
        assert status == 0
        assert f"told to stop by {number.name}" in log
        for pid in workers:
            assert f"worker {pid} has stopped (it ended with status 0)" in log
            assert has_ended(pid)


def test_a_service_manager_that_stops_all_processes_at_once_finds_nobody_replaced(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2") as served:
        workers = pids(served, 2)
        os.kill(served.pid, signal.SIGSTOP)
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        for pid in workers:
            assert has_ended(pid)
        os.kill(served.pid, signal.SIGTERM)
        status, log = served.stop(signal.SIGCONT)
        assert status == 0
        assert "takes its place" not in log
        assert log.count(" started") == 2, log


def test_a_killed_worker_is_replaced_and_takes_only_its_own_requests_along(tmp_path):
    (tmp_path / "shop.py").write_text(
        "import os, ringlet\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '40')])\n"
        "    yield str(os.getpid()).encode().ljust(20)\n"
        "    while os.path.exists('hold'): ringlet.sleep(0.01)\n"
        "    yield str(os.getpid()).encode().ljust(20)\n"
    )
    (tmp_path / "hold").touch()
    with serving(tmp_path, "--workers", "2") as served:
        clients = []
        began = {}
        while len(set(began.values())) < 2:  # until both of them are at something
            client = Client(served.address, keep=True)
            client.connect()
            client.sock.sendall(client.request)
            data = b""
            while len(data.partition(b"\r\n\r\n")[2]) < 20:
                data += client._more()
            clients.append(client)
            began[client] = int(data.partition(b"\r\n\r\n")[2])
        victim = began[clients[0]]
        os.kill(victim, signal.SIGKILL)
        served.until(rf"worker {victim} was killed by SIGKILL: another one takes its place")
        served.until(r"worker \d+ is ready")
        (tmp_path / "hold").unlink()
        for client in clients:
            try:
                rest = client.sock.recv(100)
            except ConnectionResetError:
                rest = b""
            assert bool(rest) is (began[client] != victim)
            client.close()
        assert served.stop()[0] == 0


def test_sighup_replaces_the_workers_and_loads_the_application_anew(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2") as served:
        before = pids(served, 2)
        application(tmp_path, "second")
        served.send(signal.SIGHUP)
        for _ in before:
            served.until(r"worker \d+ is ready(.|\n)*worker \d+ is replaced and stops")
        assert all(map(has_ended, before))
        assert not pids(served, 2) & before
        assert ask(served)[0] == "second"


def test_workers_that_cannot_be_replaced_stay(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2") as served:
        before = pids(served, 2)
        (tmp_path / "shop.py").write_text("def app(:\n")
        served.send(signal.SIGHUP)
        served.until(r"worker \d+ could not begin: module shop failed while it was imported: Syn")
        served.until("the workers there are stay as they were")
        assert pids(served, 2) == before
        application(tmp_path, "mended")
        served.send(signal.SIGHUP)
        for _ in before:
            served.until(r"worker \d+ has stopped")
        assert ask(served)[0] == "mended"


def test_one_more_and_one_less(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--workers", "1") as served:
        [only] = pids(served, 1)
        served.send(signal.SIGTTOU)  # there is always one
        served.send(signal.SIGTTIN)
        served.until("told to by SIGTTIN: 2 workers from now on")
        served.until(r"worker \d+ is ready")
        pids(served, 2)
        served.send(signal.SIGTTOU)
        served.until("told to by SIGTTOU: 1 workers from now on")
        served.until(rf"worker {only} is one too many and stops")
        served.until(rf"worker {only} has stopped")
        pids(served, 1)


def test_what_keeps_the_workers_from_beginning_is_one_line(tmp_path):
    (tmp_path / "shop.py").write_text("app = 1 / 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "ringlet", "serve", "shop:app", "--workers", "2", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ringlet serve: module shop failed while it was imported: ZeroDiv")


def test_workers_that_die_before_they_are_ready_end_it(tmp_path):
    (tmp_path / "shop.py").write_text("import os\nos._exit(7)\n")
    done = subprocess.run(
        [sys.executable, "-m", "ringlet", "serve", "shop:app", "--workers", "1", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ringlet serve: it ended with status 7 before it was ready"
    )


def test_a_second_signal_kills_workers_that_do_not_end(tmp_path):
    (tmp_path / "shop.py").write_text(HANGS)
    with serving(tmp_path, "--workers", "1", "--grace", "600") as served:
        client = Client(served.address)
        client.connect()
        client.sock.sendall(client.request)
        while not (tmp_path / "here").exists():
            time.sleep(0.01)
        served.send(signal.SIGTERM)
        served.until("was serving and stops")
        status, log = served.stop()
        assert "told to stop once more" in log
        assert "(it was killed by SIGKILL)" in log
        assert status == 0
        client.close()


def test_a_worker_that_never_yields_is_killed_after_its_grace(tmp_path):
    (tmp_path / "shop.py").write_text(HANGS)
    program = (
        "import sys; from ringlet.servers import prefork; prefork.LAST_SECONDS = 0.05; "
        "from ringlet.tools.cli import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", program, "serve", "shop:app", "--workers", "1"),
            *("--port", "0", "--grace", "0.05"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(process.stdout.readline().rpartition(" (")[0].rpartition(":")[2])
        client = Client(("127.0.0.1", port))
        client.connect()
        client.sock.sendall(client.request)
        while not (tmp_path / "here").exists():
            time.sleep(0.01)
        process.terminate()
        _, log = process.communicate(timeout=SECONDS)
        assert "has not ended in time and is killed" in log
        assert process.returncode == 0
        client.close()
    finally:
        process.kill()
        process.communicate()


def test_a_worker_that_lets_nobody_else_run_is_shown_and_replaced(tmp_path):
    (tmp_path / "shop.py").write_text(
        "import os, time\n"
        "def hang():\n"
        "    time.sleep(600)\n"
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/hang':\n"
        "        hang()\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x %d' % os.getpid()]\n"
    )
    with serving(tmp_path, "--workers", "1", "--hang-timeout", "0.5") as served:
        before = ask(served)[1]
        client = Client(served.address, path="/hang")
        client.connect()
        client.sock.sendall(client.request)
        served.until(rf"worker {before} has let no tasklet run for 0.5 s and is killed")
        served.until(r'shop.py", line \d+ in hang')
        served.until(r"worker \d+ is ready")
        assert ask(served)[1] != before
        client.close()


def test_workers_end_when_their_parent_is_killed(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2") as served:
        workers = pids(served, 2)
        os.kill(served.pid, signal.SIGKILL)
        for _ in workers:
            served.until(r"worker \d+ has lost its parent and stops")
        for pid in workers:
            assert has_ended(pid)


def test_a_changed_file_starts_it_anew(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--reload", "--reload-include", "page.html") as served:
        assert ask(served)[0] == "first"
        application(tmp_path, "another")
        served.until(r"shop.py has changed: the workers are replaced")
        served.until(r"worker \d+ has stopped")
        assert ask(served)[0] == "another"
        (tmp_path / "shop.py").write_text("def app(:\n")
        served.until(r"could not begin: module shop failed .* waiting for a change")
        assert ask(served)[0] == "another"
        application(tmp_path, "mended")
        served.until(r"worker \d+ has stopped \(it ended with status 0\)")
        assert ask(served)[0] == "mended"
        (tmp_path / "page.html").write_text("new")
        served.until(r"page.html has changed")
        assert served.stop()[0] == 0


def test_preloading_imports_once_and_for_all(tmp_path):
    (tmp_path / "shop.py").write_text(
        "import os\nhere = os.getpid()\ndef app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [f'{here} {os.getpid()}'.encode()]\n"
    )
    with serving(tmp_path, "--workers", "2", "--preload") as served:
        for _ in range(5):
            word, pid = ask(served)
            assert int(word) == served.pid != pid


def test_each_worker_may_have_a_socket_of_its_own(tmp_path):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2", "--reuse-port") as served:
        pids(served, 2)
        assert served.stop()[0] == 0
    with socket.create_server(served.address):
        pass


@pytest.mark.parametrize("more", [(), ("--reuse-port",)], ids=["shared", "reuse-port"])
def test_replacing_and_stopping_under_load_loses_nothing(tmp_path, more):
    application(tmp_path)
    with serving(tmp_path, "--workers", "2", *more) as served:
        with Crowd(served.address) as crowd:
            crowd.until(50)
            served.send(signal.SIGHUP)
            for _ in range(2):
                served.until(r"worker \d+ has stopped")
            crowd.until(50)
            status, log = served.stop()
        assert crowd.lost == []
        assert status == 0, log
        assert len({pid for _, pid in crowd.answers}) >= 3, crowd.answers

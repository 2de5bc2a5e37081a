"""Clients of other people's, unmodified, in programs with a hundred threads: one thread does it.

All hundred operations have to be under way before the first may end, so what is shown is not that
it was fast, but that nobody made others wait.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import AUTHORITY, SERVER
from tests.thirdparty import daemons

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(120)]

CLIENTS = Path(__file__).parent / "clients"
PATCHED = ("-m", "ringlet", "run", "--patch")


def run_client(name, *arguments, how=PATCHED):
    """What the program says of itself."""
    command = [sys.executable, *how, str(CLIENTS / name), *map(str, arguments)]
    # Where no proxy is asked for one that the machine has stays out of it.
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=CLIENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def assert_all_at_once(seen, results=None):
    assert seen["errors"] == []
    assert seen["at_once"] == 100, seen
    assert seen["native"] == 1
    assert sorted(seen["results"]) == (list(range(100)) if results is None else results)


@pytest.fixture(scope="module")
def redis_port():
    with daemons.redis() as port:
        yield port


def test_redis(redis_port):
    assert_all_at_once(run_client("redis_blpop.py", redis_port))


def test_without_the_patch_it_takes_a_hundred_threads(redis_port):
    seen = run_client("redis_blpop.py", redis_port, how=())
    assert seen["at_once"] == 100
    assert seen["native"] == 101


def test_pymysql():
    with daemons.mariadb() as port:
        assert_all_at_once(run_client("mysql_lock.py", port))


@pytest.fixture(scope="module")
def postgresql_port():
    with daemons.postgresql() as port:
        yield port


@pytest.mark.parametrize("client", ["psycopg", "psycopg2"])
def test_postgresql(postgresql_port, client):
    assert_all_at_once(run_client("postgres_lock.py", client, postgresql_port))


def test_paramiko(tmp_path):
    # The folder is for the commands, which run as this user.
    with daemons.sshd() as (port, user, key):
        seen = run_client("ssh_files.py", port, user, key, tmp_path)
    assert_all_at_once(seen, [list(range(10))] * 10)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("client", ["requests", "urllib3", "httpx"])
def test_http(client, tls):
    command = [sys.executable, str(CLIENTS / "gate_server.py"), *([SERVER] if tls else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stdout.readline())
            scheme, *authority = ("https", AUTHORITY) if tls else ("http",)
            url = f"{scheme}://127.0.0.1:{port}"
            assert_all_at_once(run_client("http_gate.py", client, url, *authority))
        finally:
            server.terminate()

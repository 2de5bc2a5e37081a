"""Our server behind nginx, set up as docs/howto/wsgi.md says."""

import http.client
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringlet import spawn
from ringlet.io.threadpool import to_thread
from ringlet.servers import WSGIServer
from ringlet.servers.websocket import websocket
from tests.support.isolated import ROOT

pytestmark = pytest.mark.thirdparty

SECONDS = 60
FRAME = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {told}
}}
"""


def replace(text, old, new):
    assert old in text, f"docs/howto/wsgi.md has no {old!r} any more"
    return text.replace(old, new)


def told_by_the_page(port, upstream, static):
    """The page's setting, for addresses that are free here."""
    page = (ROOT / "docs/howto/wsgi.md").read_text()
    (setting,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    setting = replace(setting, "server 127.0.0.1:8000;", f"server {upstream};")
    setting = replace(setting, "listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return replace(setting, "/srv/shop/static/", f"{static}/")


class Nginx:
    """nginx in the foreground. It takes over a socket that listens already, so its port is free."""

    def __init__(self, folder, upstream, static):
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "these tests need Debian's package nginx"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            told = told_by_the_page(self.port, upstream, static)
            # Started by root it would serve as a user that may not enter our folders.
            user = "" if os.geteuid() else "user root;"
            setting = FRAME.format(folder=folder, user=user, told=told)
            (folder / "nginx.conf").write_text(setting)
            self._process = subprocess.Popen(
                [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"],
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
                pass_fds=[listener.fileno()],
                stderr=subprocess.PIPE,
                text=True,
            )

    def close(self):
        self._process.terminate()
        _, said = self._process.communicate(timeout=SECONDS)
        # That it takes the socket over is told before the level of the log is known.
        return [line for line in said.splitlines() if "using inherited sockets" not in line]


def tell(environ, start_response):
    """Who asks, and how long the body was."""
    keys = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "PATH_INFO", "SERVER_PROTOCOL")
    told = {key: environ[key] for key in keys} | {"body": len(environ["wsgi.input"].read())}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def echo(ws):
    for message in ws:
        ws.send(message)


chat = websocket(echo)


def app(environ, start_response):
    return (chat if environ["PATH_INFO"] == "/chat" else tell)(environ, start_response)


@pytest.fixture(params=["tcp", "unix"])
def front(request, tmp_path):
    """nginx, and our server behind it."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "a.txt").write_text("static")
    address = ("127.0.0.1", 0) if request.param == "tcp" else str(tmp_path / "socket")
    server = WSGIServer(address, app, trusted_proxies=["127.0.0.1", "unix"])
    server.start()
    where = f"127.0.0.1:{server.address[1]}" if request.param == "tcp" else f"unix:{address}"
    nginx = Nginx(tmp_path, where, static)
    try:
        yield nginx
    finally:
        said = nginx.close()
        server.stop(0)
    assert not said


def ask(port, method, path, body=None, **headers):
    """Status and body, asked for from an address that is not nginx's own."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=SECONDS, source_address=("127.0.0.2", 0)
    )
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_application_knows_who_asks_and_nobody_can_make_it_up(front):
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Host": "shop.example"}
    status, body = to_thread(ask, front.port, "GET", "/a%20b", None, **forged)
    assert status == 200
    assert json.loads(body) == {
        "REMOTE_ADDR": "127.0.0.2",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "shop.example",
        "PATH_INFO": "/a b",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "body": 0,
    }


def test_bodies_come_through(front):
    for size in (0, 1, 500_000):
        status, body = to_thread(ask, front.port, "POST", "/", b"x" * size)
        assert (status, json.loads(body)["body"]) == (200, size)
    assert to_thread(ask, front.port, "HEAD", "/") == (200, b"")


def test_nginx_serves_the_static_files(front):
    assert to_thread(ask, front.port, "GET", "/static/a.txt") == (200, b"static")


def test_many_at_a_time(front):
    def crowd():
        with ThreadPoolExecutor(20) as pool:
            return list(pool.map(lambda _: ask(front.port, "GET", "/")[0], range(200)))

    assert to_thread(crowd) == [200] * 200


def test_a_websocket_comes_through(front):
    def talk():
        library = importlib.import_module("websocket")
        client = library.create_connection(f"ws://127.0.0.1:{front.port}/chat", timeout=SECONDS)
        client.send("through")
        found = client.recv()
        client.close()
        return found

    assert spawn(to_thread, talk).result(SECONDS) == "through"

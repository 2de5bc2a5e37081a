"""Flask, Django and Falcon, unchanged, on our server."""

import http.client
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from wsgiref.validate import validator

import pytest

from tests.servers.scripted import get, talk_script
from tests.support.isolated import ROOT

pytestmark = pytest.mark.thirdparty

SECONDS = 60
FRAMEWORKS = ("flask", "django", "falcon")
CONTENT = os.urandom(300_000)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def site(request, tmp_path_factory):
    """The application in a process of its own, by the command that everybody uses."""
    path = tmp_path_factory.mktemp("site") / "file"
    path.write_bytes(CONTENT)
    process = subprocess.Popen(
        [sys.executable, "-m", "ringlet", "serve", f"{module_of(request.param)}:app", "--port=0"],
        cwd=ROOT,
        env={**os.environ, "FILE": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line + process.stderr.read()
        yield Site(request.param, int(found[1]))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.communicate()


def module_of(framework):
    return f"tests.thirdparty.programs.{framework}_app"


class Site:
    def __init__(self, name, port):
        self.name = name
        self.port = port

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def get(self, path, **headers):
        return self.ask("GET", path, None, **headers)

    def post(self, path, body, content_type):
        return self.ask("POST", path, body, **{"Content-Type": content_type})

    def ask(self, method, path, body, **headers):
        """The response, with its body as `.data`."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.data = response.read()
        finally:
            connection.close()
        return response


def test_it_says_hello(site):
    response = site.get("/")
    assert response.status == 200
    assert response.data == f"Hello, {site.name.title()}!".encode()
    response = site.ask("HEAD", "/", None)
    assert response.data == b""
    assert response.status in (200, 405)  # Falcon wants a method of its own for it


def test_one_connection_serves_many_requests(site):
    connection = site.connect()
    for path in ("/", "/stream", "/fail", "/nothing", "/") * 5:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == {"/fail": 500, "/nothing": 404}.get(path, 200)
    connection.close()


def test_a_body_comes_and_goes(site):
    sent = {"text": "h\u00e9llo", "long": "x" * 100_000}
    response = site.post("/echo", json.dumps(sent), "application/json")
    assert (response.status, json.loads(response.data)) == (200, sent)


def test_a_file_is_uploaded(site):
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    head = part.format("file", '; filename="a.bin"\r\nContent-Type: application/octet-stream')
    body = head.encode() + CONTENT + b"\r\n" + part.format("note", "").encode() + b"hm\r\n--b--\r\n"
    response = site.post("/upload", body, "multipart/form-data; boundary=b")
    assert json.loads(response.data) == {"name": "a.bin", "size": len(CONTENT), "note": "hm"}


def test_a_file_is_downloaded(site):
    response = site.get("/file")
    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert response.data == CONTENT


def test_a_stream_comes_in_chunks(site):
    response = site.get("/stream")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.data == b"0\n1\n2\n"


def test_a_header_may_come_twice(site):
    response = site.get("/away")
    assert response.status == 302
    assert len(response.headers.get_all("Set-Cookie")) == 2


def test_requests_wait_side_by_side(site):
    """Each is answered only when twenty have come."""
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(site.get("/meet").status))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20


def test_it_knows_who_asks(site):
    response = site.get("/client?x=1")
    found = json.loads(response.data)
    assert found["address"] == "127.0.0.1"
    assert found["url"] == f"http://127.0.0.1:{site.port}/client?x=1"


@pytest.mark.filterwarnings("ignore::wsgiref.validate.WSGIWarning")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_standard_librarys_validator_agrees(framework, caplog):
    app = importlib.import_module(module_of(framework)).app
    for path in ("/", "/stream", "/away"):
        assert talk_script(validator(app), get(path)).answer.status in (200, 302)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]

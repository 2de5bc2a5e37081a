"""Files as bodies: what the kernel may send, and that it sends just that."""

import gzip
import io
import os
import tempfile
from pathlib import Path

import pytest

from ringlet.io import socket
from ringlet.servers import WSGIServer
from ringlet.servers.http_file import BlockFileWrapper, plain_file
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.wsgi_connection import Connection
from tests.servers.scripted import BASE, ScriptedSocket, get, talk_script

SECONDS = 20
SHORT = bytes(range(256)) * 10
LONG = os.urandom(1 << 20)


@pytest.fixture(params=[SHORT, LONG], ids=["short", "long"])
def content(request):
    return request.param


def sending(make, headers=(), before=b""):
    """An application that sends the file `make()` opens."""

    def app(environ, start_response):
        write = start_response("200 OK", list(headers))
        if before:
            write(before)
        return environ["wsgi.file_wrapper"](make())

    return app


@pytest.fixture
def path(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


@pytest.fixture
def sent_by_kernel(monkeypatch):
    """How many bytes the kernel has sent."""
    counts = []
    real = os.sendfile

    def counted(*args):
        count = real(*args)
        counts.append(count)
        return count

    monkeypatch.setattr(os, "sendfile", counted)
    return counts


def test_a_file_comes_whole_and_tells_its_length(talk, path, content):
    opened = []

    def make():
        opened.append(path.open("rb"))
        return opened[-1]

    first, second = talk(sending(make), get(), get()).answers
    assert first.body == second.body == content
    assert first.headers["content-length"] == str(len(content))
    assert "transfer-encoding" not in first.headers
    assert all(file.closed for file in opened)


def test_only_a_long_file_is_worth_the_kernels_while(talk, path, content, sent_by_kernel):
    talk(sending(lambda: path.open("rb")), get())
    by_kernel = talk is not talk_script and content is LONG
    assert sum(sent_by_kernel) == (len(content) if by_kernel else 0)


def test_a_short_file_leaves_in_one_write(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(SHORT)
    assert len(talk_script(sending(lambda: path.open("rb")), get()).sock.writes) == 1


def test_it_begins_at_the_files_position(talk, path, content):
    def make():
        file = path.open("rb")
        file.read(1000)
        return file

    answer, _ = talk(sending(make), get(), get()).answers
    assert answer.body == content[1000:]
    assert answer.headers["content-length"] == str(len(content) - 1000)


def test_it_ends_where_the_length_says(talk, path, content):
    app = sending(lambda: path.open("rb"), [("Content-Length", str(len(content) - 7))])
    assert [answer.body for answer in talk(app, get(), get()).answers] == [content[:-7]] * 2


def test_a_file_that_is_none_ends_where_the_length_says_too(talk, content):
    app = sending(lambda: io.BytesIO(content), [("Content-Length", str(len(content) - 7))])
    assert [answer.body for answer in talk(app, get(), get()).answers] == [content[:-7]] * 2


def test_a_file_that_is_too_short_is_the_applications_error(talk, path, content, caplog):
    app = sending(lambda: path.open("rb"), [("Content-Length", str(len(content) + 1))])
    assert talk(app, get(), get()).answer.status == 500
    assert caplog.records[-1].exc_info[0] is ValueError


def test_a_file_that_was_cut_meanwhile_cuts_the_connection(path, content, caplog, monkeypatch):
    monkeypatch.setattr(
        "ringlet.servers.http_response.plain_file", lambda file: (0, len(content) + 5)
    )
    sock = ScriptedSocket(get(), get())
    Connection(sock, sending(lambda: path.open("rb")), HTTPLimits(), BASE).serve()
    assert sock.raw.count(b"HTTP/1.1") == 1
    assert ("setsockopt", socket.SO_LINGER) in sock.calls
    assert "the file ended 5 bytes short" in str(caplog.records[-1].exc_info[1])


def test_head_has_the_length_and_no_body(talk, path, content):
    raw = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    answer, after = talk(
        sending(lambda: path.open("rb")), raw, get(), methods=["HEAD", "GET"]
    ).answers
    assert (answer.body, after.body) == (b"", content)
    assert answer.headers["content-length"] == str(len(content))


def test_a_file_after_what_was_written(talk, path, content):
    app = sending(lambda: path.open("rb"), before=b"before")
    assert [answer.body for answer in talk(app, get(), get()).answers] == [b"before" + content] * 2


def test_an_empty_file(talk, tmp_path):
    (tmp_path / "empty").touch()
    app = sending(lambda: (tmp_path / "empty").open("rb"))
    assert [answer.body for answer in talk(app, get(), get()).answers] == [b"", b""]


def test_a_file_the_kernel_makes_up_is_read(talk):
    """Its size is said to be 0."""
    status = Path("/proc/self/status")
    app = sending(lambda: status.open("rb"))
    assert talk(app, get()).answers[0].body.startswith(b"Name:")


def test_what_reads_something_else_than_its_descriptor_is_read(talk, tmp_path, content):
    (tmp_path / "file.gz").write_bytes(gzip.compress(content))
    app = sending(lambda: gzip.GzipFile(tmp_path / "file.gz"))
    assert talk(app, get()).answers[0].body == content


def test_a_temporary_file_is_a_file(talk, content, sent_by_kernel):
    """With what was written to it and is still in its buffer."""

    def make():
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115
        file.write(content)
        file.seek(0)
        return file

    assert talk(sending(make), get()).answers[0].body == content


class Odd(io.RawIOBase):
    def readable(self):
        return True

    def fileno(self):
        return 0


def test_which_files_are_plain(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.read(3)
        assert plain_file(file) == (3, 7)
        file.seek(20)
        assert plain_file(file) == (20, 0)
    assert plain_file(file) is None  # closed
    with path.open("rb", buffering=0) as file:
        assert plain_file(file) == (0, 10)
    with path.open("r+b") as file:
        file.seek(0, io.SEEK_END)
        file.write(b"ab")
        file.seek(0)
        assert plain_file(file) == (0, 12)
    with path.open("r") as file:
        assert plain_file(file) is None
    with path.open("ab") as file:
        assert plain_file(file) is None
    for odd in (io.BytesIO(b"x"), Odd(), io.BufferedReader(Odd()), object(), None):
        assert plain_file(odd) is None
    read, write = os.pipe()
    os.close(write)
    with open(read, "rb") as file:
        assert plain_file(file) is None


def test_a_client_that_does_not_read_ends_it(tmp_path):
    """The connection has a time limit for a file, too, and the file is closed."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 28)
    opened = []

    def make():
        opened.append(path.open("rb"))
        return opened[-1]

    server = WSGIServer(("127.0.0.1", 0), sending(make), http_limits=HTTPLimits(io_timeout=0.05))
    server.start()
    try:
        with socket.create_connection(server.address, SECONDS) as client:
            client.sendall(get())
            assert client.recv(12) == b"HTTP/1.1 200"
            (handler,) = server._handlers()
            assert handler.join(SECONDS)
        assert opened[0].closed
    finally:
        server.stop(0)


def test_the_wrapper_still_iterates():
    assert list(BlockFileWrapper(io.BytesIO(b"12345"), 2)) == [b"12", b"34", b"5"]

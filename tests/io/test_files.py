"""Files: on disk, where a thread may have to wait, and others, where the poller does."""

import builtins
import errno
import io
import os
import threading
import warnings

import pytest

import ringlet
from ringlet.io import attempts, files, native
from tests.io.settling import settle
from tests.support.isolated import run_isolated


@pytest.fixture(params=["in memory", "in a thread"])
def way(request, monkeypatch):
    """Whether the kernel can say that it would have to wait for the disk."""
    if request.param == "in a thread":
        monkeypatch.setattr(attempts, "NOWAIT", 0)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_text("one\ntwo\nthree\n", encoding="utf-8")
    return path


@pytest.fixture
def pipe():
    """The two ends of a pipe, as files without a buffer."""
    reader, writer = os.pipe()
    with files.open(reader, "rb", 0) as a, files.open(writer, "wb", 0) as b:
        yield a, b


# --- as the built-in open -----------------------------------------------------------------------


def test_reading(path, way):
    with files.open(path) as file:
        assert file.readline() == "one\n"
        assert list(file) == ["two\n", "three\n"]
        assert file.read() == ""
        file.seek(4)
        assert file.read(3) == "two"
    with files.open(path, "rb") as file:
        assert file.read() == b"one\ntwo\nthree\n"
    with files.open(path, "rb", 0) as file:
        assert file.read(3) == b"one"
        assert file.readall() == b"\ntwo\nthree\n"
        assert file.seek(-6, os.SEEK_END) == 8
        assert file.tell() == 8


def test_writing(path, way):
    with files.open(path, "w", encoding="latin-1") as file:
        assert file.write("ä" * 100_000) == 100_000
        file.writelines(["b", "c"])
    assert path.read_bytes() == b"\xe4" * 100_000 + b"bc"
    with files.open(path, "r+b") as file:
        file.truncate(3)
        file.seek(1)
        file.write(b"x")
        file.seek(0)
        assert file.read() == b"\xe4x\xe4"
    with files.open(path, "ab", 0) as file:
        assert file.write(b"end") == 3
    assert path.read_bytes().endswith(b"end")


MODES = [
    *("r", "rb", "w", "wb", "a", "r+", "rb+", "w+b", "x", "rt"),
    *("", "rw", "rbt", "q", "rr", "+", "b", "rU"),
]


@pytest.mark.parametrize("buffering", [-1, 0, 1, 512])
@pytest.mark.parametrize("mode", MODES)
def test_modes_and_buffers_are_those_of_open(mode, buffering, tmp_path):
    def attempt(function, name):
        path = tmp_path / name
        if "x" not in mode:
            path.write_text("data", encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # open() warns of lines in binary mode
            try:
                with function(path, mode, buffering) as file:
                    kind = next(cls for cls in type(file).__mro__ if cls.__module__ == "_io")
                    text = getattr(file, "line_buffering", None), getattr(file, "encoding", None)
                    can = file.readable(), file.writable(), file.seekable(), file.isatty()
                    # Without a buffer our class is another, of the same kind.
                    return "raw" if buffering == 0 else kind, can, text, file.mode
            except (OSError, ValueError) as error:
                return type(error), str(error).replace(str(path), "")

    assert attempt(files.open, "ours") == attempt(builtins.open, "theirs")


def test_arguments_are_checked_as_by_open(path):
    for arguments in ({"encoding": "utf-8"}, {"errors": "strict"}, {"newline": ""}):
        with pytest.raises(ValueError, match="binary mode doesn't take"):
            files.open(path, "rb", **arguments)
    with pytest.raises(TypeError, match="must be str"):
        files.open(path, 3)
    with pytest.raises(FileNotFoundError) as caught:
        files.open("/no/such/file")
    assert caught.value.filename == "/no/such/file"
    with pytest.raises(LookupError):
        files.open(path, encoding="no such encoding")


def test_an_opener_is_called(path):
    with files.open("?", opener=lambda _, flags: os.open(path, flags)) as file:
        assert file.readline() == "one\n"


def test_what_a_file_was_not_opened_for(path, pipe):
    with files.open(path, "rb", 0) as file, pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    with files.open(path, "ab", 0) as file, pytest.raises(io.UnsupportedOperation):
        file.read(1)
    with pytest.raises(io.UnsupportedOperation):
        pipe[0].write(b"x")
    with pytest.raises(io.UnsupportedOperation):
        pipe[1].read(1)


def test_closed_files_say_so(path):
    for mode in ("r", "rb"):
        with files.open(path, mode) as file:
            pass
        file.close()
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.read()


# --- on disk ------------------------------------------------------------------------------------


def test_what_waits_for_the_disk_blocks_only_the_caller(path, monkeypatch):
    monkeypatch.setattr(attempts, "NOWAIT", 0)
    gate = threading.Event()
    read = os.read

    def slow_read(*args):
        gate.wait()
        return read(*args)

    with files.open(path, "rb") as file:
        monkeypatch.setattr(native, "read", slow_read)
        first = ringlet.spawn(file.readline)
        second = ringlet.spawn(file.readline)
        settle()
        assert (first.state, second.state) == ("parked", "parked")
        gate.set()
        assert (first.result(), second.result()) == (b"one\n", b"two\n")


def test_a_killed_reader_leaves_the_file_usable(path, monkeypatch):
    monkeypatch.setattr(attempts, "NOWAIT", 0)
    gate, begun = threading.Event(), threading.Event()
    read = os.read

    def slow_read(*args):
        begun.set()
        gate.wait()
        return read(*args)

    with files.open(path, "rb", 0) as file:
        monkeypatch.setattr(native, "read", slow_read)
        reading = ringlet.spawn(file.read, 4)
        settle()
        assert begun.wait(20)
        reading.kill()
        again = ringlet.spawn(file.read, 3)
        settle()
        assert again.state == "parked"
        gate.set()
        # The thread went on, and what it has read is lost.
        assert again.result() == b"two"


def test_closing_after_writing_may_take_long_too(path):
    threads = []
    with files.open(path, "w") as file:
        close = file.buffer.raw._file.close
        noted = lambda: (threads.append(threading.current_thread()), close())  # noqa: E731
        file.buffer.raw._file = Proxy(file.buffer.raw._file, close=noted)
    assert threads != [threading.current_thread()]
    assert len(threads) == 1


class Proxy:
    """An object with some attributes replaced."""

    def __init__(self, thing, **attributes):
        self.__dict__.update(attributes, _thing=thing)

    def __getattr__(self, name):
        return getattr(self._thing, name)


# --- pipes --------------------------------------------------------------------------------------


def test_a_pipe_blocks_only_the_caller(pipe, way):
    reader, writer = pipe
    reading = ringlet.spawn(reader.read, 10)
    settle()
    assert reading.state == "parked"
    assert writer.write(b"abc") == 3
    assert reading.result() == b"abc"
    assert os.get_blocking(reader.fileno())
    assert os.get_blocking(writer.fileno())


def test_a_full_pipe_blocks_only_the_caller(pipe, way):
    reader, writer = pipe
    data = bytes(range(256)) * 1024
    writing = ringlet.spawn(writer.write, data)
    settle()
    assert writing.state == "parked"
    received = b""
    while len(received) < len(data):
        received += reader.read(100_000)
    assert received == data
    assert writing.result() == len(data)


def test_the_end_of_a_pipe(pipe, way):
    reader, writer = pipe
    reading = ringlet.spawn(reader.read, 10)
    settle()
    writer.close()
    assert reading.result() == b""


def test_a_pipe_that_nobody_reads(pipe, way):
    reader, writer = pipe
    writing = ringlet.spawn(writer.write, bytes(1 << 20))
    settle()
    reader.close()
    with pytest.raises(BrokenPipeError):
        writing.result()


def test_closing_wakes_the_reader(pipe, way):
    reading = ringlet.spawn(pipe[0].read, 10)
    settle()
    pipe[0].close()
    with pytest.raises(OSError, match="closed while read was waiting") as caught:
        reading.result()
    assert caught.value.errno == errno.EBADF


def test_closing_a_text_wakes_its_reader():
    a, b = os.pipe()
    with files.open(a) as reader, files.open(b, "w"):
        reading = ringlet.spawn(reader.readline)
        settle()
        reader.close()
        with pytest.raises(OSError, match="closed"):
            reading.result()


def test_what_was_not_written_yet_is_written_once():
    """The writer is killed over a full pipe; what the kernel had taken is not written again."""
    a, b = os.pipe()
    data = bytes(range(256)) * 800
    with files.open(a, "rb") as reader, files.open(b, "wb", 1 << 20) as writer:
        writer.write(data)
        flushing = ringlet.spawn(writer.flush)
        settle()
        assert flushing.state == "parked"
        flushing.kill()
        reading = ringlet.spawn(reader.read)
        writer.close()
        assert reading.result() == data


def test_a_descriptor_that_is_in_non_blocking_mode(way):
    a, b = os.pipe()
    os.set_blocking(a, False)
    with files.open(a, "rb", 0) as reader, files.open(b, "wb", 0) as writer:
        reading = ringlet.spawn(reader.read, 10)
        settle()
        writer.write(b"x")
        assert reading.result() == b"x"
        assert not os.get_blocking(a)


def test_devices_are_always_ready(way):
    with files.open("/dev/zero", "rb", 0) as file:
        assert file.read(3) == bytes(3)
    with files.open(os.devnull, "wb", 0) as file:
        assert file.write(b"abc") == 3


def test_opening_a_fifo_waits_for_the_other_end(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def read():
        with files.open(path) as reader:
            return reader.read()

    reading = ringlet.spawn(read)
    settle()
    assert reading.state == "parked"
    with files.open(path, "w") as writer:
        writer.write("through")
    assert reading.result() == "through"


# --- descriptors of others ----------------------------------------------------------------------


def test_wrapping_leaves_the_descriptor_open(path, way):
    a, b = os.pipe()
    with open(a, encoding="latin-1") as original, open(b, "wb", 0) as writer:
        with files.wrap(original) as reader:
            assert (reader.encoding, reader.fileno()) == ("latin-1", a)
            reading = ringlet.spawn(reader.readline)
            settle()
            writer.write(b"\xe4\n")
            assert reading.result() == "ä\n"
        with files.wrap(b, "w") as again:
            again.write("x\n")
        assert original.readline() == "x\n"
        assert os.get_blocking(a)
    with open(path, "rb") as original, files.wrap(original) as file:
        assert file.read(3) == b"one"


# --- dropped ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_dropped_file_is_flushed_and_closed_with_a_warning_and_without_parking(path, mode):
    file = files.open(path, mode)
    fd = file.fileno()
    file.write("data" if mode == "w" else b"data")
    turns = []
    other = ringlet.spawn(turns.append, "switched")
    kept = [file]
    del file
    with pytest.warns(ResourceWarning, match="unclosed file"):
        kept.clear()
    assert turns == []
    assert path.read_bytes() == b"data"
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    other.join()


def test_a_dropped_raw_file_is_closed_with_a_warning(path):
    kept = [files.open(path, "rb", 0)]
    with pytest.warns(ResourceWarning, match=r"unclosed file <ringlet.io.rawfile.DiskFile of "):
        kept.clear()


def test_a_file_that_could_not_be_made_leaves_nothing(path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="newline"):
        files.open(path, newline="x")
    assert os.listdir("/proc/self/fd") == before


def test_files_at_the_end_of_the_program(tmp_path):
    path = tmp_path / "file"
    run_isolated(
        """
import sys, ringlet
from ringlet.io import files
def write():
    with files.open(sys.argv[1], "w") as file:
        file.write("before ")
        try:
            ringlet.Channel().receive()
        finally:
            file.write("after")
ringlet.spawn(write)
ringlet.sleep(0)
while not ringlet.tasklets()[1].waiting_on.__class__.__name__ == "Channel":
    ringlet.schedule()
""",
        str(path),
    )
    assert path.read_text(encoding="utf-8") == "before after"


def test_repr(path):
    with files.open(str(path)) as file:
        assert repr(file.buffer.raw) == (
            f"<ringlet.io.rawfile.DiskFile of {str(path)!r}, descriptor {file.fileno()}>"
        )
        assert file.name == str(path)
        raw = file.buffer.raw
    assert repr(raw) == f"<ringlet.io.rawfile.DiskFile of {str(path)!r}, closed>"


def test_nothing_is_kept_of_what_was_written():
    data = bytearray(b"x" * 100)
    a, b = os.pipe()
    with files.open(a, "rb", 0), files.open(b, "wb", 0) as writer:
        writer.write(data)
    data.clear()  # an export would forbid it


def test_a_number_is_not_written_as_so_many_zeros(tmp_path):
    path = tmp_path / "numbers"
    with files.open(path, "wb", buffering=0) as file, pytest.raises(TypeError):
        file.write(5)
    assert path.read_bytes() == b""

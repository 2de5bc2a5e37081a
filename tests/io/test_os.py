"""Descriptors, terminals and processes by their numbers."""

import os as stdlib
import pty
import signal
import sys
import threading
from contextlib import suppress

import pytest

import ringlet
from ringlet.io import attempts, childexit, native, os
from ringlet.io.threadpool import to_thread
from ringlet.testing import run_until_blocked
from tests.io.settling import settle
from tests.support.isolated import ROOT, run_isolated


@pytest.fixture(params=["asks the kernel not to wait", "asks the poller first"])
def way(request, monkeypatch):
    """Whether the kernel can do without waiting what is asked of it."""
    if request.param == "asks the poller first":
        monkeypatch.setattr(attempts, "NOWAIT", 0)


@pytest.fixture
def pipe():
    ends = stdlib.pipe()
    yield ends
    for fd in ends:
        with suppress(OSError):  # the test has closed it
            stdlib.close(fd)


def spawn_child(f):
    """A forked child that calls f() and ends with what that returns."""
    pid = stdlib.fork()
    if pid == 0:
        status = 99
        try:
            status = f()
        finally:
            stdlib._exit(status)
    return pid


# --- what it is ---------------------------------------------------------------------------------


def test_every_name_of_the_standard_library_is_here():
    for name in stdlib.__all__:
        assert hasattr(os, name), name
        assert name in os.__all__
        assert name in dir(os)
    assert os.path is stdlib.path
    assert os.getpid is stdlib.getpid
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = os.no_such_name


# --- descriptors --------------------------------------------------------------------------------


def test_reading_and_writing_block_only_the_caller(pipe, way):
    reader, writer = pipe
    reading = ringlet.spawn(os.read, reader, 10)
    settle()
    assert reading.state == "parked"
    assert os.write(writer, b"abc") == 3
    assert reading.result() == b"abc"
    data = bytes(range(256)) * 2048
    writing = ringlet.spawn(os.write, writer, data)
    settle()
    assert writing.state == "parked"
    received = b""
    while len(received) < len(data):
        received += os.read(reader, 1 << 20)
    assert received == data
    assert writing.result() == len(data)
    assert stdlib.get_blocking(reader)
    assert stdlib.get_blocking(writer)


def test_several_buffers(pipe, way):
    reader, writer = pipe
    a, b = bytearray(3), bytearray(10)
    reading = ringlet.spawn(os.readv, reader, [a, b])
    settle()
    assert os.writev(writer, [b"abc", b"def"]) == 6
    assert reading.result() == 6
    assert (bytes(a), bytes(b[:3])) == (b"abc", b"def")


def test_non_blocking_descriptors_are_the_callers_own_business(pipe):
    reader, writer = pipe
    for fd in pipe:
        stdlib.set_blocking(fd, False)
    for f in (lambda: os.read(reader, 1), lambda: os.readv(reader, [bytearray(1)])):
        with pytest.raises(BlockingIOError):
            f()
    assert os.write(writer, bytes(1 << 20)) < 1 << 20
    with pytest.raises(BlockingIOError):
        os.writev(writer, [b"x"])


def test_closing_wakes_who_waits(pipe, way):
    reader, _ = pipe
    reading = [ringlet.spawn(os.read, reader, 10) for _ in range(2)]
    settle()
    os.close(reader)
    for tasklet in reading:
        with pytest.raises(OSError, match="Bad file descriptor"):
            tasklet.result()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(reader)


def test_the_end_of_a_pipe(pipe, way):
    reader, writer = pipe
    reading = ringlet.spawn(os.read, reader, 10)
    settle()
    os.close(writer)
    assert reading.result() == b""


def test_files_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "NOWAIT", 0)
    threads = set()
    for name in ("read", "write", "pread", "pwrite", "fsync", "fdatasync", "close"):
        where = native if hasattr(native, name) else stdlib
        original = getattr(where, name)

        def noted(*args, original=original):
            threads.add(threading.get_ident())
            return original(*args)

        monkeypatch.setattr(where, name, noted)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert os.write(fd, b"abcdef") == 6
    assert os.writev(fd, [b"gh", b"i"]) == 3
    os.fsync(fd)
    os.fdatasync(fd)
    assert os.pread(fd, 3, 1) == b"bcd"
    assert os.pwrite(fd, b"X", 0) == 1
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.read(fd, 3) == b"Xbc"
    a, b = bytearray(2), bytearray(10)
    assert os.readv(fd, [a, b]) == 6
    assert (a, b[:4]) == (b"de", b"fghi")
    os.close(fd)
    assert threading.get_ident() not in threads


def test_what_has_no_bytes_is_not_written(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for data in (5, "text", None):
        with pytest.raises(TypeError):
            os.write(fd, data)
        with pytest.raises(TypeError):
            os.pwrite(fd, data, 0)
    assert os.write(fd, memoryview(b"abcdef").cast("H")) == 6
    assert os.pread(fd, 10, 0) == b"abcdef"
    os.close(fd)


def test_in_the_hub_nothing_parks(tmp_path):
    """Where done callbacks and finalizers may run."""
    done = []
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)

    def use(_):
        os.write(fd, b"abc")
        os.writev(fd, [b"d"])
        os.fsync(fd)
        os.fdatasync(fd)
        os.pwrite(fd, b"x", 0)
        os.lseek(fd, 0, os.SEEK_SET)
        done.append(os.read(fd, 2))
        done.append(os.pread(fd, 2, 2))
        os.close(fd)

    tasklet = ringlet.spawn(int)
    tasklet.add_done_callback(use)
    tasklet.join()
    run_until_blocked()
    assert done == [b"xb", b"cd"]


# --- processes ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.parametrize(
    "wait",
    [
        lambda pid: os.waitpid(pid, 0),
        lambda pid: os.waitpid(pid, os.WUNTRACED | os.WCONTINUED),
        lambda pid: os.waitpid(-1, 0),
        lambda pid: os.waitpid(0, 0),
        lambda pid: os.waitpid(-stdlib.getpgrp(), 0),
        lambda pid: os.wait(),
        lambda pid: os.wait3(0)[:2],
        lambda pid: os.wait4(pid, 0)[:2],
    ],
)
def test_waiting_for_a_child(wait, pipe):
    reader, writer = pipe
    pid = spawn_child(lambda: stdlib.read(reader, 1)[0])
    waiting = ringlet.spawn(wait, pid)
    settle()
    assert waiting.state == "parked"
    stdlib.write(writer, bytes([3]))
    assert waiting.result() == (pid, 3 << 8)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:This process")
def test_waitid_and_stopped_children(pipe):
    reader, writer = pipe
    pid = spawn_child(lambda: stdlib.read(reader, 1)[0])
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is None
    waiting = ringlet.spawn(os.waitid, os.P_PID, pid, os.WSTOPPED)
    settle()
    stdlib.kill(pid, signal.SIGSTOP)
    assert waiting.result().si_code == os.CLD_STOPPED
    waiting = ringlet.spawn(os.waitpid, pid, os.WCONTINUED)
    settle()
    stdlib.kill(pid, signal.SIGCONT)
    assert os.WIFCONTINUED(waiting.result()[1])
    stdlib.write(writer, b"\0")
    assert os.waitid(os.P_PID, pid, os.WEXITED).si_status == 0


@pytest.mark.filterwarnings("ignore:This process")
def test_without_pidfd(pipe, monkeypatch):
    monkeypatch.setattr(childexit, "_pidfd_open", childexit._no_pidfd)
    pid = spawn_child(lambda: stdlib.read(pipe[0], 1)[0])
    waiting = ringlet.spawn(os.waitpid, pid, 0)
    settle()
    assert waiting.state == "parked"
    stdlib.write(pipe[1], bytes([7]))
    assert waiting.result() == (pid, 7 << 8)


def test_system():
    assert os.system("exit 3") == 3 << 8
    assert os.system("kill -TERM $$") == signal.SIGTERM
    running = ringlet.spawn(os.system, "exec sleep 60")
    settle()
    running.kill()


def test_popen():
    with os.popen("echo a; echo b") as file:
        assert list(file) == ["a\n", "b\n"]
    file = os.popen("cat; exit 3", "w")
    file.write("")
    assert file.close() == 3 << 8
    assert os.popen("true").close() is None
    for arguments in ((1,), ("x", "z"), ("x", "r", 0)):
        with pytest.raises((TypeError, ValueError)):
            os.popen(*arguments)


# --- terminals and inherited descriptors --------------------------------------------------------

TALK = """
import os, sys, ringlet
from ringlet import io
from ringlet.io import files
from ringlet.io.os import stdin

out = files.wrap(1, "w", 1)
modes = [os.get_blocking(fd) for fd in (0, 1)]
gate = ringlet.Channel()

def count():
    for number in gate:
        out.write(f"counted {number}\\n")

counting = ringlet.spawn(count)
out.write("ready\\n")
for number, line in enumerate(stdin()):
    assert stdin() is stdin()
    out.write(f"read {line}")
    gate.send(number)
assert modes == [os.get_blocking(fd) for fd in (0, 1)] == [True, True]
gate.close()
counting.result()
out.write("end\\n")
"""

ASLEEP = """
import threading, sys, ringlet
from ringlet.io.os import stdin

reading = ringlet.spawn(stdin().readline)
for _ in range(10):
    ringlet.schedule()
print(reading.state, flush=True)
print(reading.result(), end="", flush=True)
"""


class Terminal:
    """A program that runs on a terminal of its own."""

    def __init__(self, program):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            stdlib.environ["PYTHONPATH"] = str(ROOT)
            stdlib.execv(sys.executable, [sys.executable, "-c", program])
        self.said = b""

    def expect(self, text):
        """Read until it says `text`."""
        while text not in self.said:
            part = os.read(self.fd, 1000)
            assert part, self.said
            self.said += part
        self.said = self.said.partition(text)[2]

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        status = os.waitpid(self.pid, 0)[1]
        stdlib.close(self.fd)
        return status


@pytest.mark.filterwarnings("ignore:This process")
def test_a_program_that_reads_its_terminal_while_tasklets_run():
    terminal = Terminal(TALK)
    terminal.expect(b"ready")
    for number, line in enumerate([b"one\n", b"two\n"]):
        terminal.type(line)
        terminal.expect(b"read " + line.strip())
        terminal.expect(b"counted %d" % number)
    terminal.type(b"\x04")
    terminal.expect(b"end")
    assert terminal.end() == 0


@pytest.mark.filterwarnings("ignore:This process")
def test_waiting_for_the_terminal_parks():
    terminal = Terminal(ASLEEP)
    terminal.expect(b"parked")
    terminal.type(b"typed\n")
    terminal.expect(b"typed\r\n")
    assert terminal.end() == 0


@pytest.mark.filterwarnings("ignore:This process")
def test_a_terminal_that_takes_no_more_blocks_only_the_writer(way):
    """As after Ctrl-S."""
    master, slave = pty.openpty()
    try:
        writing = ringlet.spawn(os.write, slave, b"x" * 100_000)
        settle()
        turns = 0
        received = 0
        while received < 100_000:
            received += len(os.read(master, 10_000))
            turns += 1
        assert turns > 1
        assert writing.result() == 100_000
    finally:
        stdlib.close(master)
        stdlib.close(slave)


def test_an_inherited_pipe_as_the_standard_input():
    run_isolated(
        """
import os, subprocess, sys
program = '''
import os
from ringlet.io.os import stdin
print([line for line in stdin()], os.get_blocking(0))
'''
done = subprocess.run([sys.executable, "-c", program], input=b"a\\nb\\n", capture_output=True)
assert done.stdout == b"['a\\\\n', 'b\\\\n'] True\\n", done
"""
    )


def test_from_another_thread(pipe):
    reader, writer = pipe
    reading = ringlet.spawn(to_thread, os.read, reader, 10)
    settle()
    stdlib.write(writer, b"x")
    assert reading.result() == b"x"

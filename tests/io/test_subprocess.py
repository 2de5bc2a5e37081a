"""Child processes: their ends, their pipes, and what is done with both."""

import os
import signal
import subprocess as stdlib
import sys
import threading

import pytest

import ringlet
from ringlet import _core
from ringlet.io import childexit, subprocess
from ringlet.io.subprocess import PIPE, Popen
from ringlet.sched.pollers import READ
from ringlet.testing import fake_clock
from tests.io.settling import settle
from tests.support.isolated import run_isolated

#: Ends when its standard input does.
PATIENT = ["cat"]


@pytest.fixture(params=["pidfd", "thread"])
def way(request, monkeypatch):
    """How the end of a process is learned: by the kernel, or where that is old by a thread."""
    if request.param == "thread":
        monkeypatch.setattr(childexit, "_pidfd_open", childexit._no_pidfd)


@pytest.fixture
def patient():
    """A process that runs until its standard input is closed."""
    with Popen(PATIENT, stdin=PIPE, stdout=PIPE) as process:
        yield process


def is_gone(pid):
    """Whether nothing is left of a process, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- what it is ---------------------------------------------------------------------------------


def test_every_name_of_the_standard_library_is_here():
    for name in stdlib.__all__:
        assert hasattr(subprocess, name), name
        assert name in subprocess.__all__
        assert name in dir(subprocess)
    assert subprocess.TimeoutExpired is stdlib.TimeoutExpired
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = subprocess.no_such_name


def test_it_is_a_process_of_the_standard_library(patient):
    assert isinstance(patient, stdlib.Popen)
    assert repr(patient) == "<Popen: returncode: None args: ['cat']>"
    assert Popen.__module__ == "ringlet.io.subprocess"


# --- its end ------------------------------------------------------------------------------------


def test_waiting_blocks_only_the_caller(patient, way):
    waiting = [ringlet.spawn(patient.wait) for _ in range(3)]
    settle()
    assert [tasklet.state for tasklet in waiting] == ["parked"] * 3
    assert patient.poll() is None
    patient.stdin.close()
    assert [tasklet.result() for tasklet in waiting] == [0] * 3
    assert patient.wait() == 0
    assert is_gone(patient.pid)


def test_waiting_in_several_threads(patient, way):
    ends = []

    def wait():
        ends.append(patient.wait())

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    patient.stdin.close()
    wait()
    for thread in threads:
        thread.join()
    assert ends == [0] * 5


def test_waiting_in_time(patient, way):
    with fake_clock() as clock:
        with pytest.raises(stdlib.TimeoutExpired, match="timed out after 5 seconds"):
            patient.wait(timeout=5)
        assert clock.now == 5
        with pytest.raises(stdlib.TimeoutExpired):
            patient.wait(timeout=0)
        assert clock.now == 5
    assert patient.returncode is None


def test_a_time_limit_around_waiting(patient, way):
    with fake_clock(), pytest.raises(ringlet.Timeout):
        with ringlet.timeout(5):
            patient.wait()
    patient.stdin.close()
    assert patient.wait() == 0


@pytest.mark.parametrize("name", ["kill", "terminate"])
def test_ending_a_process(patient, name, way):
    waiting = ringlet.spawn(patient.wait)
    settle()
    getattr(patient, name)()
    number = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}[name]
    assert waiting.result() == -number
    patient.send_signal(number)  # harmless now


def test_a_process_that_somebody_else_has_reaped(way):
    process = Popen(["true"])
    os.waitpid(process.pid, 0)
    assert process.wait() == 0


def test_no_descriptor_is_left(patient):
    before = os.listdir("/proc/self/fd")
    waiting = ringlet.spawn(patient.wait)
    settle()
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    waiting.kill()
    assert os.listdir("/proc/self/fd") == before


def test_where_children_are_not_to_be_waited_for():
    """With SIGCHLD ignored the kernel reaps them, and nobody can know how they ended."""
    run_isolated(
        """
import signal
from ringlet.io import subprocess
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with subprocess.Popen(["cat"], stdin=-1) as process:
    process.stdin.close()
    assert process.wait() == 0
"""
    )


def test_the_programs_own_handler_of_sigchld_is_left_alone():
    run_isolated(
        """
import signal
from ringlet.io import subprocess
numbers = []
def note(number, frame):
    numbers.append(number)
signal.signal(signal.SIGCHLD, note)
assert subprocess.call(["true"]) == 0
assert signal.getsignal(signal.SIGCHLD) is note
assert numbers == [signal.SIGCHLD]
"""
    )


# --- its pipes ----------------------------------------------------------------------------------


def test_reading_and_writing_block_only_the_caller(patient):
    reading = ringlet.spawn(patient.stdout.readline)
    settle()
    assert reading.state == "parked"
    patient.stdin.write(b"a line\n")
    patient.stdin.flush()
    assert reading.result() == b"a line\n"


def test_a_full_pipe(patient):
    """It takes 64 KiB, twice, before cat stops."""
    data = bytes(range(256)) * 4096

    def write():
        patient.stdin.write(data)
        patient.stdin.flush()

    writing = ringlet.spawn(write)
    settle()
    assert writing.state == "parked"
    assert patient.stdout.read(len(data)) == data
    writing.result()


def test_unbuffered_pipes():
    data = bytes(1 << 20)
    with Popen(PATIENT, stdin=PIPE, stdout=PIPE, bufsize=0) as process:
        writing = ringlet.spawn(process.stdin.write, data)
        settle()
        received = 0
        while received < len(data):
            received += len(process.stdout.read(1 << 16))
        assert writing.result() == len(data)


def test_text_line_by_line():
    with Popen(PATIENT, stdin=PIPE, stdout=PIPE, text=True, bufsize=1, encoding="utf-8") as process:
        for line in ("ä\n", "b\n"):
            process.stdin.write(line)
            assert process.stdout.readline() == line
        process.stdin.close()
        assert list(process.stdout) == []


def test_several_readers_take_turns():
    with Popen(PATIENT, stdin=PIPE, stdout=PIPE, text=True) as process:
        readers = [ringlet.spawn(process.stdout.readline) for _ in range(3)]
        settle()
        process.stdin.write("a\nb\nc\n")
        process.stdin.flush()
        assert [reader.result() for reader in readers] == ["a\n", "b\n", "c\n"]


def test_closing_a_pipe_wakes_its_reader(patient):
    reading = ringlet.spawn(patient.stdout.read)
    settle()
    patient.stdout.close()
    with pytest.raises(OSError, match="closed while read was waiting"):
        reading.result()


def test_a_killed_reader_loses_nothing(patient):
    reading = ringlet.spawn(patient.stdout.read, 3)
    settle()
    reading.kill()
    patient.stdin.write(b"abc")
    patient.stdin.flush()
    assert patient.stdout.read(3) == b"abc"


def test_pipes_stay_in_blocking_mode_for_the_next_process():
    with Popen(["cat"], stdin=PIPE, stdout=PIPE) as first:
        reading = ringlet.spawn(first.stdout.read, 1)
        settle()
        first.stdin.write(b"x")
        first.stdin.flush()
        assert reading.result() == b"x"
        assert os.get_blocking(first.stdout.fileno())
        assert os.get_blocking(first.stdin.fileno())
        with Popen(["cat"], stdin=first.stdout, stdout=PIPE) as second:
            first.stdin.write(b"through both")
            first.stdin.close()
            assert second.communicate() == (b"through both", None)


# --- talking to it ------------------------------------------------------------------------------

ECHO_TWICE = "import sys; d = sys.stdin.read(); sys.stdout.write(d); sys.stderr.write(d[::-1])"


def test_communicate_with_all_pipes_at_once():
    data = "ab" * 200_000
    command = [sys.executable, "-c", ECHO_TWICE]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.communicate(data) == (data, data[::-1])


ECHO_WITH_A_PAUSE = """
import os, sys
os.write(1, os.read(0, 10))
os.read(int(sys.argv[1]), 1)
while data := os.read(0, 65536):
    sys.stdout.buffer.write(data)
"""


def test_communicate_in_time_and_go_on_later():
    """What was said before is not lost, and what was not sent is sent."""
    data = bytes(range(256)) * 4096
    gate, opener = os.pipe()
    command = [sys.executable, "-c", ECHO_WITH_A_PAUSE, str(gate)]
    with Popen(command, stdin=PIPE, stdout=PIPE, pass_fds=[gate]) as process:
        os.close(gate)
        with fake_clock(), pytest.raises(stdlib.TimeoutExpired, match="after 5 seconds"):
            process.communicate(data, timeout=5)
        with pytest.raises(ValueError, match="Cannot send input"):
            process.communicate(b"more")
        # The process is so far by now; what it has said counts.
        _core.wait_descriptor(process.stdout.fileno(), READ)
        with fake_clock(), pytest.raises(stdlib.TimeoutExpired) as caught:
            process.communicate(timeout=5)
        assert caught.value.output == data[:10]
        assert ringlet.tasklets() == [ringlet.main()]
        os.close(opener)
        assert process.communicate() == (data, None)
        assert process.returncode == 0


def test_a_killed_communicate_leaves_no_tasklets():
    with Popen(["sleep", "60"], stdout=PIPE, stderr=PIPE) as process:
        talking = ringlet.spawn(process.communicate)
        settle()
        assert len(ringlet.tasklets()) == 4  # one for each pipe
        talking.kill()
        assert ringlet.tasklets() == [ringlet.main()]
        process.kill()


def test_input_that_is_not_read():
    with Popen(["true"], stdin=PIPE, stdout=PIPE) as process:
        assert process.communicate(bytes(1 << 20)) == (b"", None)


def test_a_pipe_that_the_program_has_replaced(tmp_path):
    with Popen(PATIENT, stdin=PIPE, stdout=PIPE) as process:
        process.stdin.close()
        process.stdout.close()
        path = tmp_path / "said"
        path.write_bytes(b"instead")
        with open(path, "rb") as process.stdout, open(os.devnull, "wb") as process.stdin:
            assert process.communicate(b"x") == (b"instead", None)


# --- the functions ------------------------------------------------------------------------------


def test_run():
    done = subprocess.run(["cat"], input="text", capture_output=True, text=True)
    assert (done.args, done.returncode, done.stdout, done.stderr) == (["cat"], 0, "text", "")
    done = subprocess.run("echo out; echo err >&2; exit 3", shell=True, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_run_refuses_what_contradicts_itself():
    with pytest.raises(ValueError, match="stdin and input"):
        subprocess.run(["true"], input=b"", stdin=PIPE)
    with pytest.raises(ValueError, match="capture_output"):
        subprocess.run(["true"], stdout=PIPE, capture_output=True)


def test_checking():
    assert subprocess.check_call(["true"]) == 0
    assert subprocess.call(["false"]) == 1
    with pytest.raises(stdlib.CalledProcessError) as caught:
        subprocess.check_call(args=["false"])
    assert (caught.value.returncode, caught.value.cmd) == (1, ["false"])
    with pytest.raises(stdlib.CalledProcessError) as caught:
        subprocess.check_output("echo x; false", shell=True)
    assert caught.value.output == b"x\n"


def test_check_output():
    assert subprocess.check_output(["echo", "x"]) == b"x\n"
    assert subprocess.check_output(["cat"], input="ü", encoding="latin-1") == "ü"
    assert subprocess.check_output(["cat"], input=None, text=True) == ""
    assert subprocess.check_output(["cat"], input=None) == b""
    for name in ("stdout", "check"):
        with pytest.raises(ValueError, match=f"{name} argument not allowed"):
            subprocess.check_output(["true"], **{name: 1})


def test_getoutput():
    assert subprocess.getoutput("echo a; echo b >&2") == "a\nb"
    assert subprocess.getstatusoutput("printf x; exit 2") == (2, "x")


@pytest.mark.parametrize("f", [subprocess.run, subprocess.call, subprocess.check_output])
def test_a_process_that_takes_too_long_is_killed(f):
    with pytest.raises(stdlib.TimeoutExpired):
        f(["sleep", "60"], timeout=0.01)


def test_a_process_whose_caller_is_killed_is_killed(tmp_path):
    pids = []

    class Noted(Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            pids.append(self.pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Noted)
        running = [ringlet.spawn(f, ["sleep", "60"]) for f in (subprocess.run, subprocess.call)]
        settle()
    assert len(pids) == 2
    for tasklet in running:
        tasklet.kill()
    assert all(map(is_gone, pids))


def test_many_at_once():
    children = [ringlet.spawn(subprocess.check_output, ["echo", str(n)]) for n in range(20)]
    assert [int(child.result()) for child in children] == list(range(20))


def test_a_program_that_does_not_exist():
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Popen(["/no/such/program"], stdin=PIPE, stdout=PIPE)
    assert os.listdir("/proc/self/fd") == before


def test_in_a_thread_without_tasklets():
    results = []
    thread = threading.Thread(
        target=lambda: results.append(subprocess.run(["cat"], input=b"x", stdout=PIPE).stdout)
    )
    thread.start()
    thread.join()
    assert results == [b"x"]


def test_where_the_kernel_cannot_say_that_it_would_wait(monkeypatch):
    """Then the poller is asked before each step."""
    monkeypatch.setattr("ringlet.io.attempts.NOWAIT", 0)
    data = bytes(range(256)) * 4096
    assert subprocess.run(["cat"], input=data, stdout=PIPE).stdout == data

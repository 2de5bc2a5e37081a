"""Programs that use subprocess, os and signal as they know them, patched."""

import pytest

from tests.support.isolated import run_isolated

BEGIN = """
import warnings
warnings.simplefilter("ignore")  # from 3.12 on fork() warns beside threads
import ringlet.patch
ringlet.patch.install({modules})
import multiprocessing, os, signal, subprocess, sys, threading, time
import ringlet
"""
ALL = ""
#: Without what stands below them.
ALONE = '"subprocess", "os", "signal"'


@pytest.fixture(params=[ALL, ALONE], ids=["all", "alone"])
def run(request):
    """Runs a program after a patch of everything, or of these modules alone."""
    return lambda program: run_isolated(BEGIN.format(modules=request.param) + program)


def test_processes_run_beside_each_other(run):
    """Each ends only when the next one has begun."""
    run(
        """
ends = [os.pipe() for _ in range(5)]
def work(number):
    reader, _ = ends[number]
    said = subprocess.run(["cat"], stdin=reader, capture_output=True, text=True)
    for fd in ends[number - 1]:
        os.close(fd)
    return said.stdout
tasklets = [ringlet.spawn(work, number) for number in range(5)]
ringlet.schedule()
os.write(ends[4][1], b"go")
os.close(ends[4][1])
ends[4] = ends[4][:1]
assert tasklets[4].result() == "go"
assert [tasklet.result() for tasklet in tasklets[:4]] == [""] * 4
assert type(subprocess.Popen(["true"])).__module__ == "ringlet.io.subprocess"
"""
    )


def test_descriptors_and_children(run):
    run(
        """
reader, writer = os.pipe()
reading = ringlet.spawn(os.read, reader, 10)
ringlet.schedule()
os.write(writer, b"x")
assert reading.result() == b"x"
pid = os.fork()
if pid == 0:
    os.read(reader, 1)
    os._exit(3)
waiting = ringlet.spawn(os.waitpid, pid, 0)
ringlet.schedule()
os.write(writer, b"x")
assert waiting.result() == (pid, 3 << 8)
with os.popen("echo said; read x") as file:
    assert file.readline() == "said\\n"
assert os.system("exit 4") == 4 << 8
assert os.spawnlp(os.P_WAIT, "true", "true") == 0
"""
    )


def test_signals(run):
    run(
        """
numbers = []
signal.signal(signal.SIGUSR1, lambda number, frame: numbers.append(number))
ringlet.spawn(os.kill, os.getpid(), signal.SIGUSR1)
signal.pause()
assert numbers == [signal.SIGUSR1]
assert signal.set_wakeup_fd(-1) == -1
"""
    )


def test_multiprocessing_lets_others_run(run):
    run(
        """
context = multiprocessing.get_context("fork")
reader, writer = os.pipe()
process = context.Process(target=lambda: os._exit(os.read(reader, 1)[0]))
process.start()
ringlet.spawn(os.write, writer, bytes([5]))
process.join()
assert process.exitcode == 5
"""
    )


def test_it_is_taken_back():
    run_isolated(
        """
import os, signal, subprocess
before = (os.read, os.waitpid, signal.signal, subprocess.Popen)
import ringlet.patch
with ringlet.patch.installed("os", "signal", "subprocess"):
    assert not set(before) & {os.read, os.waitpid, signal.signal, subprocess.Popen}
    assert subprocess.check_output(["echo", "x"]) == b"x\\n"
assert before == (os.read, os.waitpid, signal.signal, subprocess.Popen)
assert subprocess.check_output(["echo", "x"]) == b"x\\n"
from ringlet.io import os as ours
assert ours.waitpid is not os.waitpid
"""
    )

"""Forked children: a hub of their own, and nothing of the parent's disturbed.

Each program here is a process of its own; its children end with status 0 when all was well.
"""

import pytest

from tests.support.isolated import run_isolated

# What all programs begin with. In a child nothing may be left of the parent's tasklets, and all
# that waits must work.
BEGIN = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")  # from 3.12 on fork() warns beside threads
import ringlet
from ringlet import _core
from ringlet.io import os as cooperative
from ringlet.io import signals, socket, subprocess
from ringlet.io.threadpool import ThreadPool, to_thread

def check_all_works():
    assert ringlet.tasklets() == [ringlet.current()] == [ringlet.main()], ringlet.tasklets()
    hub = _core.hub()
    assert (len(hub.timers), hub.poller.waiting, hub.expected) == (0, 0, 0)
    assert hub.thread is threading.main_thread()
    a, b = socket.socketpair()
    reading = ringlet.spawn(a.recv, 10)
    ringlet.sleep(0.001)
    b.sendall(b"x")
    assert reading.result() == b"x"
    assert to_thread(pow, 2, 3) == 8
    assert subprocess.run(["cat"], input=b"x", stdout=-1).stdout == b"x"
    with signals.catching(signal.SIGUSR1) as channel:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert channel.receive() == signal.SIGUSR1

def fork(f=check_all_works):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        f()
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())
        os._exit(status)

def check_ended(pid):
    assert cooperative.waitpid(pid, 0) == (pid, 0)
"""


def run(program):
    return run_isolated(BEGIN + program)


def test_in_the_main_program_with_everything_in_use():
    """Timers, descriptors that are waited for, threads at work, a process, signals: all go on."""
    run(
        """
a, b = socket.socketpair()
reading = ringlet.spawn(a.recv, 10)
sleeping = ringlet.spawn_later(0.01, lambda: "slept")
gate = threading.Event()
working = ringlet.spawn(to_thread, gate.wait)
process = subprocess.Popen(["cat"], stdin=-1, stdout=-1)
waiting = ringlet.spawn(process.wait)
with signals.catching(signal.SIGUSR2) as channel:
    catching = ringlet.spawn(channel.receive)
    for _ in range(10):
        ringlet.schedule()
    children = [fork() for _ in range(2)]
    for child in children:
        check_ended(child)
    b.sendall(b"still")
    assert reading.result() == b"still"
    gate.set()
    assert working.result()
    assert sleeping.result() == "slept"
    process.stdin.close()
    assert waiting.result() == 0
    process.stdout.close()
    os.kill(os.getpid(), signal.SIGUSR2)
    assert catching.result() == signal.SIGUSR2
assert _core.hub().expected == 0
"""
    )


def test_in_a_tasklet():
    """The child is that tasklet alone; the others, and what comes after them, are the parent's."""
    outcome = run(
        """
steps = []
def others():
    try:
        ringlet.Channel().receive()
    finally:
        print("another one ends in", "parent" if os.getpid() == parent else "child", flush=True)
parent = os.getpid()
other = ringlet.spawn(others)
forking = ringlet.spawn(fork)
check_ended(forking.result())
other.kill()
"""
    )
    assert outcome.stdout == "another one ends in parent\n"


def test_a_child_ends_with_the_tasklet_that_forked():
    outcome = run(
        """
import atexit
atexit.register(lambda: print("at exit", flush=True))
def work():
    pid = os.fork()
    if pid == 0:
        atexit.unregister(print)
        check_all_works()
        print("child", flush=True)
        sys.exit(3)
    return pid
child = ringlet.spawn(work).result()
assert cooperative.waitpid(child, 0) == (child, 3 << 8)
print("parent", flush=True)
"""
    )
    assert outcome.stdout.splitlines() == ["child", "at exit", "parent", "at exit"]


@pytest.mark.parametrize("has_hub", [False, True])
def test_in_another_thread(has_hub):
    run(
        f"""
a, b = socket.socketpair()
reading = ringlet.spawn(a.recv, 10)
ringlet.schedule()
pids = []
def work():
    if {has_hub}:
        ringlet.spawn(ringlet.sleep, 0).join()
    pids.append(fork())
thread = threading.Thread(target=work)
thread.start()
thread.join()
check_ended(pids[0])
b.sendall(b"x")
assert reading.result() == b"x"
"""
    )


def test_in_a_thread_of_the_pool():
    run(
        """
ringlet.schedule()
check_ended(to_thread(fork))
assert to_thread(int) == 0
"""
    )


def test_while_other_threads_wait_in_their_hubs():
    run(
        """
begun = threading.Semaphore(0)
a, b = socket.socketpair()
got = []
def work():
    reading = ringlet.spawn(a.recv, 1)
    ringlet.schedule()
    begun.release()
    got.append(reading.result())
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
    begun.acquire()
check_ended(fork())
b.sendall(b"xyz")
for thread in threads:
    thread.join()
assert sorted(got) == [b"x", b"y", b"z"]
"""
    )


def test_a_child_of_a_child():
    run("check_ended(fork(lambda: check_ended(fork(lambda: check_ended(fork())))))")


def test_the_child_does_not_disturb_what_the_parent_waits_for():
    """It closes a socket that both have: the parent's epoll still knows it."""
    run(
        """
a, b = socket.socketpair()
reading = ringlet.spawn(a.recv, 10)
ringlet.schedule()
ringlet.sleep(0.001)
def close():
    a.close()
    b.close()
    check_all_works()
check_ended(fork(close))
b.sendall(b"x")
assert reading.result() == b"x"
"""
    )


def test_the_child_is_not_told_of_what_the_parent_waits_for():
    run(
        """
a, b = socket.socketpair()
reading = ringlet.spawn(a.recv, 10)
ringlet.sleep(0.001)
def look():
    hub = _core.hub()
    assert hub.poller.wakeup_fd >= 0
    for _ in range(5):
        ringlet.sleep(0)
    assert a.recv(1, socket.MSG_PEEK) == b"p"  # it can still be used here, too
b.sendall(b"parent's")
assert os.waitpid(fork(look), 0)[1] == 0  # and nothing runs here meanwhile
assert reading.result() == b"parent's"
"""
    )


def test_a_program_that_is_executed_inherits_none_of_our_descriptors():
    run(
        """
inherited = {int(fd) for fd in os.listdir("/proc/self/fd")}
with signals.catching(signal.SIGUSR1):
    to_thread(int)
    a, b = socket.socketpair()
    ringlet.spawn(a.recv, 1)
    ringlet.schedule()
    ours = sorted({int(fd) for fd in os.listdir("/proc/self/fd")} - inherited)
    assert len(ours) > 5  # sockets, epoll, its eventfd, the pipe of signals
    pid = os.fork()
    if pid == 0:
        script = "import os, sys; sys.exit(any(os.path.lexists(f'/proc/self/fd/{n}') for n in "
        script += f"{ours}))"
        os.execv(sys.executable, [sys.executable, "-c", script])
    check_ended(pid)
    b.send(b"x")
    ringlet.sleep(0.001)
"""
    )


def test_locks_that_nobody_has_can_be_had_in_the_child():
    run(
        """
from ringlet import sync
lock, queue = sync.Lock(), sync.Queue()
waiting = ringlet.spawn(queue.get)
ringlet.schedule()
def use():
    with lock:
        queue.put(1)
    assert queue.get() == 1
check_ended(fork(use))
queue.put(2)
assert waiting.result() == 2
"""
    )


def test_a_deadlock_is_still_seen_in_the_child():
    run(
        """
to_thread(int)
def wait_for_ever():
    try:
        ringlet.Channel().receive()
    except ringlet.Deadlock:
        pass
    else:
        raise AssertionError
check_ended(fork(wait_for_ever))
"""
    )


PROCESSES = """
import multiprocessing, sys, threading
import ringlet
from ringlet.io.threadpool import to_thread
from ringlet.io import subprocess

def work(number):
    doubled = ringlet.spawn(lambda: 2 * number)
    ringlet.sleep(0.001)
    assert subprocess.check_output(["echo", "x"]) == b"x\\n"
    return doubled.result() + to_thread(int)

def put(queue, number):
    queue.put(work(number))

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    ticks = []
    def tick():
        while True:
            ticks.append(1)
            ringlet.sleep(0.001)
    ticking = ringlet.spawn(tick)
    to_thread(int)
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    processes = [context.Process(target=put, args=(queue, number)) for number in range(2)]
    for process in processes:
        process.start()
    before = len(ticks)
    assert sorted(to_thread(queue.get) for _ in processes) == [0, 2]
    assert len(ticks) > before
    for process in processes:
        to_thread(process.join)
        assert process.exitcode == 0, process.exitcode
    with context.Pool(2) as pool:
        assert to_thread(pool.map, work, range(3)) == [0, 2, 4]
    ticking.kill()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROCESSES, encoding="utf-8")
    run_isolated(
        f"""
import subprocess, sys
sys.exit(subprocess.call([sys.executable, {str(path)!r}, {method!r}]))
"""
    )

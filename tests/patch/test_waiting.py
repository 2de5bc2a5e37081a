"""What waits in a patched program makes nobody else wait: in child processes."""

import pytest

from tests.support.isolated import run_isolated

# While something waits, a thread counts; both are tasklets of the one native thread. What waits is
# let go when the counting is done, so it cannot be done before that unless others run meanwhile.
FRAME = """
import ringlet.patch
report = ringlet.patch.install()
import os, queue, select, selectors, signal, socket, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

def meanwhile(wait, let_go):
    "What wait() gives, with another thread that counts to three meanwhile and then lets it go."
    counted = []

    def count():
        for number in range(3):
            counted.append(number)
            time.sleep(0.001)
        let_go()

    thread = threading.Thread(target=count)
    thread.start()
    result = wait()
    assert counted == [0, 1, 2], counted
    thread.join()
    return result

reader, writer = os.pipe()
left, right = socket.socketpair()
def write():
    os.write(writer, b"x")
"""


@pytest.mark.parametrize(
    "lines",
    [
        "assert meanwhile(lambda: os.read(reader, 10), write) == b'x'",
        "assert meanwhile(lambda: select.select([reader], [], []), write) == ([reader], [], [])",
        "assert meanwhile(lambda: left.recv(10), lambda: right.send(b'x')) == b'x'",
        """
poll = select.poll()
poll.register(reader, select.POLLIN)
assert meanwhile(poll.poll, write) == [(reader, select.POLLIN)]
""",
        """
for kind in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
    with kind() as selector:
        selector.register(left, selectors.EVENT_READ)
        ((key, _),) = meanwhile(selector.select, lambda: right.send(b"x"))
        assert key.fileobj is left and left.recv(1) == b"x"
""",
        """
process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert meanwhile(process.stdout.read, process.stdin.close) == b""
assert process.wait() == 0
""",
        """
process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
assert meanwhile(process.wait, process.stdin.close) == 0
assert subprocess.run(["cat"], input="text", text=True, capture_output=True).stdout == "text"
assert os.popen("echo text").read() == "text\\n"
assert os.system("exit 3") == 3 << 8
""",
        """
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pause()
assert meanwhile(lambda: os.waitpid(child, 0), lambda: os.kill(child, signal.SIGTERM))[0] == child
""",
        """
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
meanwhile(signal.pause, lambda: os.kill(os.getpid(), signal.SIGUSR1))
assert seen == [signal.SIGUSR1]
signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
thread = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), 0))
thread.start()
thread.join()
try:
    signal.pthread_kill(thread.ident, 0)
except ProcessLookupError:
    pass
else:
    raise AssertionError
""",
        """
with ThreadPoolExecutor(1) as pool:
    gate = threading.Event()
    assert meanwhile(pool.submit(lambda: gate.wait(60)).result, gate.set) is True
""",
        """
for kind in (queue.Queue, queue.SimpleQueue, queue.LifoQueue):
    items = kind()
    assert meanwhile(items.get, lambda: items.put("item")) == "item"
""",
        """
lock = threading.Lock()
lock.acquire()
meanwhile(lock.acquire, lock.release)
event, barrier, semaphore = threading.Event(), threading.Barrier(2), threading.Semaphore(0)
meanwhile(event.wait, event.set)
meanwhile(barrier.wait, barrier.wait)
meanwhile(semaphore.acquire, semaphore.release)
""",
    ],
    ids=lambda lines: lines.split("(")[0].strip().split("\n")[0][:30],
)
def test_others_run_meanwhile(lines):
    run_isolated(f"{FRAME}\n{lines}\nassert len(sys._current_frames()) == 1 or 'pool' in globals()")


def test_sleep_is_that_of_the_standard_library():
    run_isolated(
        """
import time
native = time.sleep
import ringlet, ringlet.patch
ringlet.patch.install("time")
for _ in range(2):
    for argument in (-1, -0.5, float("nan"), "1", None, 1e300, 2**70):
        answers = []
        for sleep in (native, time.sleep):
            try:
                sleep(argument)
            except Exception as error:
                answers.append(type(error))
        assert len(answers) == 2 and answers[0] is answers[1], (argument, answers)
    for argument in (0, 0.001, True, False):
        assert time.sleep(argument) is None
    ringlet.spawn(time.sleep, 0).join()  # from now on there are tasklets
"""
    )

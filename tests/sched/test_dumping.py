"""dump(): every tasklet of every thread, on demand and on a signal."""

import io
import re
import threading

import pytest

from ringlet import Channel, Tasklet, dump, spawn
from ringlet.sync import Lock
from ringlet.testing import run_until_blocked
from tests.support.isolated import run_isolated

pytestmark = pytest.mark.ringlet


def text_of_dump(**options: int) -> str:
    file = io.StringIO()
    dump(file, **options)
    return file.getvalue()


def test_it_shows_name_state_target_time_and_stack() -> None:
    channel: Channel[int] = Channel()
    tasklet = Tasklet(channel.receive, name="consumer").start()
    run_until_blocked()
    text = text_of_dump()
    found = re.search(r"tasklet consumer at 0x\w+, parked for [\d.]+ \w+, waits for (.*)\n", text)
    assert found is not None
    assert found[1] == repr(channel)
    assert re.search(r"tasklet main at 0x\w+, running\n", text)
    # Our own calls, which write this, are not of interest.
    assert re.search(r"in text_of_dump\n.*dump\(file, .*\n\+- tasklet consumer", text)
    tasklet.kill()


def test_tasklets_of_all_threads_are_in_it() -> None:
    channel: Channel[str] = Channel()
    ready, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        helper = Tasklet(channel.receive, name="far away").start()
        run_until_blocked()
        ready.set()
        done.wait()
        helper.kill()

    thread = threading.Thread(target=elsewhere, name="the other one")
    thread.start()
    ready.wait()
    text = text_of_dump()
    done.set()
    thread.join()
    assert "thread MainThread: 1 running" in text
    assert "thread the other one: 1 parked, 1 running" in text
    assert "tasklet far away at" in text
    assert "done.wait()" in text


def test_a_circle_through_two_threads_is_named() -> None:
    locks = {name: Lock() for name in ("one", "two")}
    both_hold = threading.Barrier(3)

    def hold_and_want(mine: str, other: str) -> None:
        def body() -> None:
            with locks[mine]:
                both_hold.wait()
                with locks[other]:
                    pass

        tasklet = Tasklet(body, name=f"holder of {mine}").start()
        run_until_blocked()
        both_hold.wait()
        both_hold.wait()
        tasklet.kill()

    threads = [
        threading.Thread(target=hold_and_want, args=args)
        for args in (("one", "two"), ("two", "one"))
    ]
    for thread in threads:
        thread.start()
    both_hold.wait()
    both_hold.wait()
    text = text_of_dump()
    both_hold.wait()
    for thread in threads:
        thread.join()
    _, circle = text.split("these wait for each other in a circle:\n")
    found = re.findall(r"^  tasklet holder of (\w+) at ", circle, re.MULTILINE)
    assert found in (["one", "two"], ["two", "one"])


def test_a_thread_without_tasklets_is_shown_with_its_stack() -> None:
    ready, done = threading.Event(), threading.Event()

    def plain() -> None:
        ready.set()
        done.wait()

    thread = threading.Thread(target=plain, name="plain one")
    thread.start()
    ready.wait()
    text = text_of_dump()
    done.set()
    thread.join()
    assert re.search(r"thread plain one: no tasklets\n(.*\n)*.*in plain\n", text)


def test_it_may_be_called_while_other_threads_switch() -> None:
    stop = threading.Event()

    def busy() -> None:
        channel: Channel[int] = Channel()

        def send_all() -> None:
            while not stop.is_set():
                channel.send(1)
            channel.close()

        spawn(send_all)
        for _ in channel:
            spawn(len, ()).join()

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    texts = [text_of_dump() for _ in range(50)]
    stop.set()
    for thread in threads:
        thread.join()
    assert all("tasklet main at" in text for text in texts)


def test_threads_that_have_ended_are_gone_from_it() -> None:
    thread = threading.Thread(target=run_until_blocked, name="short lived")
    thread.start()
    thread.join()
    assert "thread short lived" + ":" not in text_of_dump()


ON_SIGNAL = """
import os, signal, threading
from ringlet import Channel, Deadlock, dump, spawn
from ringlet.tools import dump_on_signal
"""


def test_a_signal_brings_it_while_everybody_waits() -> None:
    outcome = run_isolated(
        ON_SIGNAL
        + """
readable, writable = os.pipe()
dump_on_signal(signal.SIGUSR1, open(writable, "w"))
channel = Channel()
spawn(channel.receive)
def help():
    os.kill(os.getpid(), signal.SIGUSR1)
    text = ""
    while not text.endswith("\\n---\\n"):
        text += os.read(readable, 1000).decode()
    print(text)
    channel.send(1)
    channel.send(2)
threading.Timer(0.05, help).start()
channel.receive()
"""
    )
    assert "tasklet Channel.receive at" in outcome.stdout
    assert "tasklet main at" in outcome.stdout
    assert "2 parked; none has the turn" in outcome.stdout


def test_a_signal_brings_it_while_a_tasklet_hogs_the_cpu() -> None:
    outcome = run_isolated(
        ON_SIGNAL
        + """
dump_on_signal()
def hog():
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGQUIT)).start()
    count = threading.active_count()
    while threading.active_count() >= count:
        pass
spawn(hog).join()
"""
    )
    assert re.search(r"tasklet hog at 0x\w+, running\n", outcome.stderr)
    assert "in hog" in outcome.stderr


def test_its_handler_does_not_hide_a_deadlock() -> None:
    outcome = run_isolated(
        ON_SIGNAL
        + """
dump_on_signal()
try:
    Channel().receive()
except Deadlock as error:
    print(error)
"""
    )
    assert "the only tasklet of MainThread waits" in outcome.stdout


def test_a_forked_child_shows_only_its_own_thread() -> None:
    outcome = run_isolated(
        """
import os, sys, threading, warnings
from ringlet import dump, schedule, spawn, sleep
warnings.simplefilter("ignore")
done, ready = threading.Event(), threading.Event()
def elsewhere():
    spawn(sleep, 100)
    schedule()
    ready.set()
    done.wait()
thread = threading.Thread(target=elsewhere, name="left behind")
thread.start()
ready.wait()
sleep(0)
spawn(sleep, 100)
schedule()
child = os.fork()
if not child:
    dump(sys.stdout)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
done.set()
os._exit(0)
"""
    )
    assert "--- ringlet: 1 tasklets" in outcome.stdout
    assert "thread left behind:" not in outcome.stdout

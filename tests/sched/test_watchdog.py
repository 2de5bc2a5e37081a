"""The watchdog: who holds up the others is told about, while that lasts.

Each program here runs until it has been reported, so no time is measured.
"""

import re
import threading
from itertools import pairwise

import pytest

from ringlet import schedule, spawn
from ringlet.sched.watchdog import Watchdog, watchdog
from tests.support.isolated import run_isolated

PRELUDE = """
import io, sys, threading, time
from ringlet import Channel, _core, schedule, sleep, spawn
from ringlet.tools import watchdog

class Reports(io.StringIO):
    count = 0
    def write(self, text):
        super().write(text)
        self.count += 1
    def wait_for(self, count):
        while self.count < count:
            pass

reports = Reports()
"""


def run(program: str, **options: object) -> str:
    return run_isolated(PRELUDE + program).stdout


def test_it_names_the_tasklet_where_it_is_and_for_how_long() -> None:
    text = run(
        """
def crunch():
    reports.wait_for(1)
with watchdog(0.02, file=reports):
    spawn(Channel().receive)
    hog = spawn(crunch)
    spawn(len, ())
    hog.join()
print(reports.getvalue())
"""
    )
    assert re.search(
        r"tasklet crunch at 0x\w+ has run for [\d.]+ m?s without letting others of MainThread run; "
        r"1 of 3 are ready:\n",
        text,
    )
    assert "in crunch" in text


def test_it_reports_again_at_growing_intervals() -> None:
    text = run(
        """
def crunch():
    reports.wait_for(3)
with watchdog(0.02, file=reports):
    spawn(crunch).join()
print(reports.getvalue())
"""
    )
    found = re.findall(r"has run for ([\d.]+) (m?s) ", text)
    seconds = [float(number) / (1000 if unit == "ms" else 1) for number, unit in found]
    assert len(seconds) >= 3
    assert seconds[0] >= 0.02
    # What is printed is rounded to three digits.
    assert all(later >= 1.99 * sooner for sooner, later in pairwise(seconds))


def test_each_overrun_is_reported_anew() -> None:
    text = run(
        """
def crunch():
    reports.wait_for(reports.count + 1)
with watchdog(0.02, file=reports):
    for name in "first", "second":
        spawn(crunch).join()
        print(reports.count)
"""
    )
    assert int(text.split()[0]) >= 1
    assert int(text.split()[1]) > int(text.split()[0])


@pytest.mark.ringlet
def test_who_lets_others_run_is_not_late() -> None:
    """By a time of the test's own: real threads may be held up by other programs."""
    dog = Watchdog(1.0, None, False)
    stop = []

    def polite() -> None:
        while not stop:
            schedule()

    spawn(polite)
    schedule()
    me = threading.get_ident()
    assert dog._overruns(0.0) == {}
    schedule()
    assert dog._overruns(1.5) == {}
    assert dog._overruns(2.0) == {}
    assert dog._overruns(2.5) == {me: 1.0}
    assert dog._overruns(3.0) == {}
    assert dog._overruns(3.5) == {me: 2.0}
    schedule()
    assert dog._overruns(9.0) == {}
    assert dog._overruns(10.0) == {me: 1.0}
    stop.append(True)


def test_waiting_and_being_alone_hold_nobody_up() -> None:
    text = run(
        """
stop = threading.Event()
def crunch():
    reports.wait_for(3)
    stop.set()
def waits():
    channel = Channel()
    helper = threading.Thread(target=lambda: (stop.wait(), channel.send(1)))
    helper.start()
    channel.receive()
def alone():
    schedule()
    stop.wait()
threads = [threading.Thread(target=f, name=f.__name__) for f in (waits, alone)]
threads.append(threading.Thread(target=lambda: spawn(crunch).join(), name="hog"))
with watchdog(0.02, file=reports):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(reports.getvalue())
"""
    )
    assert "others of hog run" in text
    assert "others of waits" not in text
    assert "others of alone" not in text


def test_a_callback_in_the_hub_is_seen_too() -> None:
    text = run(
        """
with watchdog(0.02, file=reports):
    _core.hub().call_soon(reports.wait_for, 1)
    sleep(0.001)
print(reports.getvalue())
"""
    )
    assert "tasklet hub at" in text
    assert "in wait_for" in text


def test_what_keeps_the_gil_is_reported_by_faulthandler() -> None:
    text = run_isolated(
        PRELUDE
        + """
import ctypes, os
readable, writable = os.pipe()
def stuck_in_c():
    # Returns when something is reported; until then no Python code can run.
    ctypes.PyDLL(None).read(readable, ctypes.create_string_buffer(1), 1)
file = open(writable, "w")
with watchdog(0.05, file=file, native=True):
    spawn(stuck_in_c).join()
file.close()
print(open(readable).read())
"""
    ).stdout
    assert "imeout (0:00:00.05" in text
    assert "in stuck_in_c" in text


def test_it_goes_on_in_a_forked_child() -> None:
    text = run(
        """
import os, warnings
warnings.simplefilter("ignore")
dog = watchdog(0.02, file=reports)
spawn(sleep, 100)
schedule()
child = os.fork()
if not child:
    spawn(sleep, 100)
    schedule()
    reports.wait_for(1)
    print(reports.getvalue(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
dog.stop()
os._exit(0)
"""
    )
    assert "tasklet main at" in text
    assert "in wait_for" in text


def test_the_next_one_takes_its_place() -> None:
    text = run(
        """
first = watchdog(100)
second = watchdog(50)
print(first, second)
second.stop()
second.stop()
print(second)
"""
    )
    assert text == (
        "<watchdog, 100 s, stopped> <watchdog, 50 s, watching>\n<watchdog, 50 s, stopped>\n"
    )


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_it_needs_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        watchdog(seconds)

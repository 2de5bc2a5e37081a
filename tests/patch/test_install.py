"""What install() changes and says, and that uninstall() leaves no trace: in child processes."""

import pytest

from tests.support.isolated import run_isolated

# What a program may have taken before it is patched.
BEFORE = """
import concurrent.futures.thread, logging, queue, socket, ssl, sys, threading, time, types
from threading import Lock, get_ident
from time import sleep

class Task:
    nap = time.sleep

    def __init__(self):
        self.wait = sleep

def default(seconds, wait=time.sleep, *, again=time.sleep):
    pass

def enclosing():
    wait = time.sleep
    return lambda: wait

task, enclosed = Task(), enclosing()
lock, rlock, condition, event = Lock(), threading.RLock(), threading.Condition(), threading.Event()
jobs, simple, attributes = queue.Queue(), queue.SimpleQueue(), threading.local()
simple.put("item")
attributes.name = "main"
held = Lock()
held.acquire()
in_a_tuple = (Lock(),)
table = {"sleep": time.sleep}

class Local(threading.local):
    pass

import ringlet, ringlet.patch as patch
from ringlet.patch import primitives
"""

STATE = """
def state():
    "The id() of all that can be seen of the names in the table, and of what was there before."
    seen = {}
    for module in ("time", "threading", "_thread", "queue", "_queue", "socket", "_socket", "ssl"):
        for name, value in vars(sys.modules[module]).items():
            if callable(value):
                seen[f"{module}.{name}"] = id(value)
    seen["class"] = id(ssl.SSLContext.sslsocket_class)
    taken = (
        sleep, Lock, get_ident, task.nap, task.wait, default.__defaults__[0],
        default.__kwdefaults__["again"], enclosed(),
        lock, rlock, condition._lock, event._cond._lock, jobs.mutex, jobs.not_empty._lock,
        jobs.not_full.acquire.__self__, simple, attributes, held, logging._lock,
        threading._active_limbo_lock, concurrent.futures.thread._global_shutdown_lock,
        threading.main_thread()._started._cond._lock,
        *[vars(threading.main_thread()).get(name) for name in
          ("_tstate_lock", "_handle", "_os_thread_handle")],
        *getattr(threading, "_shutdown_locks", ()),
    )
    return seen | {f"taken {index}": id(one) for index, one in enumerate(taken)}
"""


def test_everything_is_replaced_and_put_back():
    run_isolated(
        BEFORE
        + STATE
        + """
before = state()
native = time.sleep, Lock, held
report = patch.install()
assert sleep is task.wait is task.nap is time.sleep is enclosed() is not native[0]
assert default.__defaults__ == (sleep,) and default.__kwdefaults__ == {"again": sleep}
assert Lock is threading.Lock is not native[1]
assert isinstance(socket.create_server(("127.0.0.1", 0)), ringlet.io.socket.socket)
for one in (lock, event._cond._lock, jobs.mutex, jobs.not_empty._lock):
    assert type(one) is primitives.Lock, one
assert jobs.not_full.acquire.__self__ is jobs.mutex is jobs.not_empty._lock
assert type(rlock) is type(condition._lock) is type(logging._lock) is primitives.RLock
assert type(simple) is primitives.SimpleQueue and simple.get_nowait() == "item"
assert type(attributes) is ringlet.local and attributes.name == "main"
assert held is native[2]
simple.put("other")
attributes.name = "changed"
left = patch.uninstall().left
assert left == (), left
after = state()
assert after == before, [name for name in before if after[name] != before[name]]
assert simple.get_nowait() == "other" and attributes.name == "changed"
assert patch.report() == patch.Report()
"""
    )


def test_the_report_names_what_was_done_and_what_was_not():
    run_isolated(
        BEFORE
        + """
report = patch.install()
print(report)
assert "time.sleep" in report.names and "threading.get_ident" in report.names
assert {"__main__.sleep", "__main__.Task.nap", "wait of a __main__.Task",
        "__main__.default(), default argument 1", "__main__.default(), argument again",
        "a variable of an enclosing function"} <= set(report.references), report.references
assert {"__main__.lock (a lock)", "__main__.rlock (a RLock)", "__main__.simple (a SimpleQueue)",
        "__main__.attributes (a local)", "mutex of a queue.Queue (a lock)",
        "threading._active_limbo_lock (a RLock)", "logging._lock (a RLock)"} <= set(report.objects)
left = {each.name: each.why for each in report.left}
assert left["__main__.held (a lock)"] == "it is held"
assert "in_a_tuple[0] refers to it" in left["__main__.in_a_tuple[0] (a lock)"]
assert "time.sleep" in left["__main__.table['sleep']"]
assert "threading.local" in left["class __main__.Local"]
assert len(left) == 4, left
assert patch.report() == report
for name in report.names:
    assert name in str(report)
assert "__main__.held (a lock): it is held" in str(report)
"""
    )


def test_a_plan_changes_nothing_and_says_the_same():
    run_isolated(
        BEFORE
        + STATE
        + """
before = state()
plan = patch.plan()
assert plan == patch.install(dry_run=True)
assert state() == before
assert patch.report() == patch.Report()
assert patch.install() == plan
"""
    )


def test_again_changes_nothing():
    run_isolated(
        BEFORE
        + STATE
        + """
first = patch.install("time", "queue")
before = state()
assert patch.install("queue") == patch.Report()
assert state() == before
second = patch.install()
assert not set(first.names) & set(second.names)
assert patch.report().names == first.names + second.names
patch.uninstall()
assert patch.uninstall() == patch.Report()
"""
    )


def test_only_what_is_asked_for_is_patched():
    run_isolated(
        BEFORE
        + """
native = time.sleep, socket.socket, threading.Lock
report = patch.install("time")
assert report.modules == ("time",) and report.names == ("time.sleep",) and report.objects == ()
assert time.sleep is not native[0] and socket.socket is native[1] and Lock is native[2]
assert patch.install("ssl").modules == ("ssl", "socket")
"""
    )


def test_in_a_block():
    run_isolated(
        BEFORE
        + """
native = time.sleep, socket.socket
with patch.installed("time") as report:
    assert "time.sleep" in report.names and sleep is time.sleep is not native[0]
    with patch.installed("time", "socket") as inner:
        assert "time.sleep" not in inner.names and socket.socket is not native[1]
    assert time.sleep is not native[0] and socket.socket is native[1]
try:
    with patch.installed():
        raise KeyError
except KeyError:
    pass
assert (time.sleep, socket.socket) == native and patch.report() == patch.Report()
"""
    )


def test_the_originals_can_be_had():
    run_isolated(
        BEFORE
        + """
native = time.sleep, ssl.SSLContext.sslsocket_class
names = ("time", "sleep"), ("ssl", "SSLContext.sslsocket_class")
for _ in range(2):
    assert tuple(patch.get_original(*name) for name in names) == native
    assert patch.get_original("time", "monotonic") is time.monotonic
    patch.install()
try:
    patch.get_original("time", "nap")
except AttributeError:
    pass
else:
    raise AssertionError
"""
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        ("patch.install('tme', 'time')", "ValueError", "'tme'; it patches time, _thread"),
        ("patch.plan('os.path')", "ValueError", "'os.path'"),
        ("in_thread(patch.install)", "RuntimeError", "main thread"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, text):
    run_isolated(
        BEFORE
        + f"""
from concurrent.futures import ThreadPoolExecutor

def in_thread(f):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(f).result()

native = time.sleep
try:
    {call}
except {error} as seen:
    assert {text!r} in str(seen), seen
else:
    raise AssertionError
assert time.sleep is native and patch.report() == patch.Report()
"""
    )


def test_what_other_threads_may_be_using_is_left_and_named():
    run_isolated(
        BEFORE
        + """
gate = Lock()
gate.acquire()
thread = threading.Thread(target=gate.acquire, name="early")
thread.start()
report = patch.install()
assert type(lock) is not primitives.Lock and report.objects == ()
left = {each.name: each.why for each in report.left}
assert "early" in left["__main__.lock (a lock)"]
assert left["thread early"] == "runs as a native thread"
gate.release()
thread.join()
"""
    )


def test_what_somebody_else_has_replaced_since_stays():
    run_isolated(
        BEFORE
        + """
patch.install()
time.sleep = task.wait = mine = lambda seconds: None
lock.acquire()
left = {each.name for each in patch.uninstall().left}
assert left == {"time.sleep", "wait of a __main__.Task", "__main__.lock (a lock)"}, left
assert time.sleep is task.wait is mine and sleep is not mine
assert type(lock) is primitives.Lock
lock.release()
"""
    )


def test_what_refers_to_a_lock_unseen_keeps_it():
    """A running call, a weak reference: half of its users would have another lock."""
    run_isolated(
        BEFORE
        + """
import weakref

def in_a_call():
    mine = lock
    return patch.plan()

left = {each.name: each.why for each in in_a_call().left}
assert "not known" in left["__main__.lock (a lock)"]
weak = weakref.ref(rlock)
left = {each.name: each.why for each in patch.plan().left}
assert "not known" in left["__main__.rlock (a RLock)"] and "__main__.lock (a lock)" not in left
"""
    )


def test_sockets_from_before_are_named():
    run_isolated(
        BEFORE
        + """
class Mine(socket.socket):
    pass

old = socket.socket()
left = {each.name: each.why for each in patch.install("socket").left}
assert left[repr(old)] == "was made before the patch"
assert "socket.socket" in left["class __main__.Mine"]
old.close()
"""
    )


def test_functions_do_not_become_methods_and_are_pickled():
    run_isolated(
        """
import ringlet.patch
ringlet.patch.install()
import _thread, pickle, threading, time

class Clock:
    nap, make, ident = time.sleep, threading.Lock, _thread.get_ident

assert Clock().nap(0) is None and Clock().ident() == threading.get_ident()
with Clock().make():
    pass
assert pickle.loads(pickle.dumps(time.sleep)) is time.sleep
assert time.sleep.__name__ == "sleep" and "time.sleep" in repr(time.sleep)
"""
    )

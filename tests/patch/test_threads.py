"""threading in a patched program: threads are tasklets, and end as threads do. In children."""

import pytest

from tests.support.isolated import run_isolated

PATCHED = """
import ringlet, ringlet.patch
ringlet.patch.install()
import _thread, os, signal, sys, threading, time
"""


def test_threads_are_known_by_their_tasklets():
    run_isolated(
        PATCHED
        + """
main = threading.main_thread()
assert threading.current_thread() is main and threading.get_ident() == main.ident
seen, local = [], threading.local()
local.name = "main"
gate = threading.Barrier(3)

def look():
    local.name = threading.current_thread().name
    gate.wait()
    seen.append((local.name, threading.get_ident(), threading.current_thread().native_id))

threads = [threading.Thread(target=look, name=name) for name in "ab"]
for thread in threads:
    thread.start()
assert set(threading.enumerate()) == {main, *threads} and all(t.is_alive() for t in threads)
gate.wait()
for thread in threads:
    thread.join()
    assert not thread.is_alive()
assert sorted(name for name, _, _ in seen) == ["a", "b"] and local.name == "main"
assert {ident for _, ident, _ in seen} == {thread.ident for thread in threads}
assert {native for _, _, native in seen} == {threading.get_native_id()}
assert threading.enumerate() == [main]
"""
    )


def test_tasklets_that_are_no_threads_are_known_until_they_end():
    run_isolated(
        PATCHED
        + """
def look():
    thread = threading.current_thread()
    ringlet.schedule()
    assert threading.current_thread() is thread is not threading.main_thread()
    return thread

first, second = ringlet.spawn(look), ringlet.spawn(look)
assert first.result() is not second.result()
ringlet.sleep(0.001)
assert threading.enumerate() == [threading.main_thread()]
"""
    )


def test_what_ends_a_thread():
    outcome = run_isolated(
        PATCHED
        + """
told = []
threading.excepthook = lambda args: told.append((args.thread.name, args.exc_type))
def fail(error):
    raise error
for error in (ZeroDivisionError(), SystemExit(), ringlet.TaskletExit(), ringlet.Cancelled()):
    thread = threading.Thread(target=fail, args=(error,), name="fails")
    thread.start()
    thread.join()
assert told == [("fails", ZeroDivisionError), ("fails", SystemExit)], told
_thread.start_new_thread(_thread.exit, ())
time.sleep(0.001)
thread = threading.Thread(target=fail, args=(KeyboardInterrupt(),))
try:
    thread.start()
    threading.Event().wait()
except KeyboardInterrupt:
    print("the main thread gets it")
"""
    )
    assert outcome.stdout == "the main thread gets it\n"
    assert outcome.stderr == ""


def test_the_end_of_the_program():
    outcome = run_isolated(
        PATCHED
        + """
def late():
    threading.main_thread().join()
    time.sleep(0.001)
    print("late", flush=True)

def endless():
    try:
        while True:
            time.sleep(10)
    finally:
        print("finally", flush=True)

threading.Thread(target=endless, daemon=True).start()
threading.Thread(target=late).start()
print("main", flush=True)
"""
    )
    assert outcome.stdout == "main\nlate\nfinally\n"
    assert outcome.stderr == ""


def test_several_may_join_one_thread():
    run_isolated(
        PATCHED
        + """
gate, joined = threading.Event(), []
thread = threading.Thread(target=gate.wait)
thread.start()
others = [threading.Thread(target=lambda: joined.append(thread.join())) for _ in range(3)]
for other in others:
    other.start()
thread.join(0.001)
assert thread.is_alive() and joined == []
gate.set()
for other in others:
    other.join()
assert len(joined) == 3 and not thread.is_alive()
"""
    )


def test_threads_made_before_and_ended_after_the_patch():
    run_isolated(
        """
import threading
done = []
early = threading.Thread(target=lambda: done.append(gate.wait(60)), name="early")
import ringlet, ringlet.patch, sys
ringlet.patch.install()
gate = threading.Event()
early.start()
assert early.is_alive() and len(sys._current_frames()) == 1
ringlet.patch.uninstall()
gate.set()
early.join()
assert done == [True] and threading.enumerate() == [threading.main_thread()]
"""
    )


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_fork_leaves_one_thread(where):
    run_isolated(
        PATCHED
        + f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
gate = threading.Event()
others = [threading.Thread(target=gate.wait) for _ in range(2)]
for other in others:
    other.start()

def fork():
    child = os.fork()
    if child == 0:
        me = threading.current_thread()
        assert me is threading.main_thread() and threading.enumerate() == [me]
        assert not any(other.is_alive() for other in others)
        ran = []
        thread = threading.Thread(target=lambda: (time.sleep(0.001), ran.append(True)))
        thread.start()
        thread.join()
        os._exit(7 if ran and not thread.is_alive() else 8)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

statuses = []
if {where!r} == "main":
    statuses.append(fork())
else:
    thread = threading.Thread(target=lambda: statuses.append(fork()))
    thread.start()
    thread.join()
gate.set()
assert statuses == [7], statuses
"""
    )


def test_two_threads_import_one_module(tmp_path):
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.01)\nready = True\n")
    run_isolated(
        PATCHED
        + f"""
sys.path.insert(0, {str(tmp_path)!r})
seen = []
def load():
    import slow
    seen.append(slow.ready)
threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert seen == [True] * 3
"""
    )

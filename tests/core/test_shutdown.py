"""The end of the process, however it comes: nothing hangs, crashes or is lost."""

import pytest

from tests.support.isolated import run_isolated

pytestmark = pytest.mark.no_leak_check("runs in a child process")

PRELUDE = """
import atexit, gc, os, signal, sys, threading, time
import ringlet
from ringlet import getcurrent, greenlet
from tests.core.paths import every_way, park

def suspended(name="child"):
    def body():
        try:
            every_way(park)
        finally:
            print(name, "ended", flush=True)
    child = greenlet(body)
    child.switch()
    return child

"""


def ending(program: str, **options) -> list[str]:
    outcome = run_isolated(PRELUDE + program, **options)
    assert outcome.stderr == ""
    return outcome.stdout.splitlines()


def test_greenlets_that_are_still_suspended_are_no_trouble() -> None:
    ending("keep = [suspended(str(number)) for number in range(200)]")


def test_one_that_refuses_to_end_does_not_hold_up_the_end() -> None:
    ending(
        """
def body():
    while True:
        try:
            park()
        except BaseException:
            pass
keep = [greenlet(body) for _ in range(3)]
for one in keep:
    one.switch()
"""
    )


def test_atexit_functions_can_use_greenlets() -> None:
    said = ending(
        """
child = suspended()
def at_exit():
    print(greenlet(lambda: "started at exit").switch())
    child.switch()
atexit.register(at_exit)
"""
    )
    assert said == ["started at exit", "child ended"]


def test_an_atexit_function_registered_inside_a_greenlet() -> None:
    program = "greenlet(lambda: atexit.register(lambda: print(getcurrent().parent))).switch()"
    assert ending(program) == ["None"]


def test_exit_from_inside_a_greenlet_ends_the_program() -> None:
    assert ending("greenlet(lambda: sys.exit(3)).switch()", exit=3) == []
    nested = "greenlet(lambda: greenlet(lambda: sys.exit(4)).switch()).switch()"
    assert ending(nested, exit=4) == []


def test_the_process_can_end_at_once_inside_a_greenlet() -> None:
    assert ending("keep = suspended(); greenlet(lambda: os._exit(5)).switch()", exit=5) == []


def test_the_interpreter_can_be_told_to_end_inside_a_greenlet() -> None:
    """By C code, which then never returns."""
    ending(
        """
import ctypes
keep = [suspended(str(number)) for number in range(100)]
greenlet(lambda: every_way(lambda: ctypes.pythonapi.Py_Exit(6))).switch()
""",
        exit=6,
    )


@pytest.mark.parametrize("wait", ["time.sleep(1000)", "[1 for _ in iter(int, 1)]"])
@pytest.mark.parametrize("inside", ["greenlet(body).switch()", "body()"])
def test_daemon_threads_may_be_anywhere_at_the_end(inside, wait) -> None:
    said = ending(
        f"""
ready = threading.Event()
def body():
    ready.set()
    {wait}
def work():
    keep = [suspended() for _ in range(5)]
    {inside}
thread = threading.Thread(target=work, daemon=True)
thread.start()
ready.wait()
print("end")
"""
    )
    assert said[:1] == ["end"]


def test_a_thread_that_is_joined_at_the_end_ends_its_greenlets() -> None:
    said = ending(
        """
def work():
    keep.append(suspended())
    main_ended.wait()
keep = []
main_ended = threading.Event()
threading.Thread(target=work).start()
threading._register_atexit(main_ended.set)
"""
    )
    assert said == ["child ended"]


LATE = """
quiet = greenlet(park)
quiet.switch()
class Late:
    def __del__(self, finalizing=sys.is_finalizing, write=os.write, Error=RuntimeError, uses=(
        getcurrent, lambda greenlet=greenlet, run=bool: greenlet(run).switch(), quiet.throw
    ), end=chr(10)):
        # The names of builtins may be gone by now.
        write(1, f"{finalizing()}{end}".encode())
        for use in uses:
            try:
                write(1, f"{use()!r}{end}".encode())
            except Error as error:
                write(1, f"{error}{end}".encode())
"""


def test_greenlets_work_while_modules_are_torn_down() -> None:
    """All but getcurrent(), which greenlet too refuses from there on."""
    said = ending(LATE + "sys.late = Late()")
    assert said == ["True", "greenlet is being finalized", "False", "GreenletExit()"]


def test_greenlets_are_refused_once_the_thread_has_been_torn_down() -> None:
    said = ending(
        LATE
        + """
import ctypes
ctypes.pythonapi.PyThreadState_GetDict.restype = ctypes.c_void_p
address = ctypes.c_void_p(ctypes.pythonapi.PyThreadState_GetDict())
ctypes.pythonapi.PyDict_SetItem(address, ctypes.py_object("late"), ctypes.py_object(Late()))
"""
    )
    assert said == ["True", *["greenlet is being finalized"] * 3]


def test_objects_that_outlive_the_main_module_can_be_dropped_late() -> None:
    ending(
        """
child = suspended()
child.me = child
sys.keep = [child, suspended(), greenlet(print), getcurrent()]
sys.frames = [one.gr_frame for one in sys.keep]
"""
    )


def test_a_fork_at_the_end_of_a_greenlet() -> None:
    said = ending(
        """
keep = suspended()
def body():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child process"
print(greenlet(body).switch(), flush=True)
"""
    )
    assert said[0] == "child process"
    assert "parent" in said


def test_a_signal_that_ends_the_process_inside_a_greenlet() -> None:
    program = "greenlet(lambda: os.kill(os.getpid(), signal.SIGTERM)).switch()"
    ending(program, exit=-15)


def test_an_interrupt_inside_a_greenlet_ends_the_program() -> None:
    outcome = run_isolated(
        PRELUDE
        + "greenlet(lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(100)).switch()",
        exit=-2,
    )
    assert "KeyboardInterrupt" in outcome.stderr


def test_an_uncaught_exception_shows_the_frames_of_both_greenlets() -> None:
    outcome = run_isolated(
        PRELUDE
        + """
def bad():
    raise ValueError("from inside")
def switcher():
    greenlet(bad).switch()
switcher()
""",
        exit=1,
    )
    assert outcome.stderr.splitlines()[-1] == "ValueError: from inside"
    assert "in switcher" in outcome.stderr
    assert "in bad" in outcome.stderr

"""What goes through a switch: values, exceptions, deaths, threads, and what a tracer sees of it."""

import re
import sys
import threading
import traceback

from greenlet import GreenletExit, error, getcurrent, gettrace, greenlet, settrace

from tests.compat.programs.greenlet_objects import ended, in_thread, park, suspended
from tests.compat.programs.transcript import Transcript

CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((), {"x": 1}),
    ((1,), {"x": 1}),
    ((1, 2), {"x": 1}),
    ((None,), {}),
    (((),), {}),
]
THROWN = [
    (),
    (ValueError,),
    (ValueError, "text"),
    (ValueError, ("a", "b")),
    (ValueError("instance"),),
    (ValueError("instance"), 5),
    (ValueError, ValueError("as value")),
    (KeyError, ValueError("of another type")),
    (ValueError, None, None),
    (ValueError, "text", "no traceback"),
    (GreenletExit,),
    (GreenletExit, "text"),
    (GreenletExit("instance"),),
    (StopIteration, 3),
    (SystemExit, 3),
    (5,),
    ("text",),
    (type,),
    (1, 2, 3, 4),
]


def outcome(function, *args, **kwargs):
    """What a call returned or raised, without the names that tell whose greenlet it was."""
    try:
        return repr(function(*args, **kwargs))
    except BaseException as raised:
        return f"raises {type(raised).__name__}: {raised}".replace("ringlet.", "greenlet.")


def values(t: Transcript):
    t.section("switch")
    for args, kwargs in CALLS:
        given = f"{args} {kwargs}"
        t.say(f"{given} to a new one", greenlet(lambda *a, **k: (a, k)).switch(*args, **kwargs))
        t.say(f"{given} to a suspended one", suspended().switch(*args, **kwargs))
        t.say(f"{given} to oneself", getcurrent().switch(*args, **kwargs))
        t.say(f"{given} to a dead one", ended().switch(*args, **kwargs))
        dead, heir = ended(), greenlet(lambda *a, **k: (a, k))
        dead.parent = heir
        t.say(f"{given} to a dead one's new parent", dead.switch(*args, **kwargs), heir.dead)
    starter = greenlet(lambda: child.switch())
    child = greenlet(lambda: 1 // 0, starter)
    t.say("an error through two", outcome(starter.switch), starter.dead, child.dead)
    first = suspended()
    second = greenlet(park, first)
    t.say("a parent that ends by it", second.switch(), first.dead, second.switch(3), second.dead)


def thrown(t: Transcript):
    t.section("throw")
    for args in THROWN:
        for name, make in (
            ("a new one", lambda: greenlet(park)),
            ("a suspended one", suspended),
            ("a dead one", ended),
            ("oneself", getcurrent),
        ):
            g = make()
            t.say(f"{args!r} at {name}", outcome(g.throw, *args), g.dead, bool(g))
    nothing = greenlet()
    t.say("at one without run", outcome(nothing.throw), nothing.dead)

    def stubborn():
        while True:
            try:
                park("in")
            except BaseException as caught:
                t.say("caught", repr(caught), repr(caught.__context__), sys.exc_info()[0])

    g = greenlet(stubborn)
    g.switch()
    t.say("and goes on", g.throw(), g.throw(ValueError, "text"))
    try:
        raise OSError("handled outside")
    except OSError:
        t.say("while one is handled", g.throw(KeyError("inside")), sys.exc_info()[1])
        t.say("which is not seen inside", greenlet(sys.exc_info).switch())


def tracebacks(t: Transcript):
    t.section("traceback")

    def bad():
        raise ValueError

    def mid():
        greenlet(bad).switch()

    def names(function, *args):
        try:
            function(*args)
        except ValueError as raised:
            return [frame.name for frame in traceback.extract_tb(raised.__traceback__)]

    t.say("of both sides", names(mid))
    try:
        raise OSError
    except OSError as raised:
        given = raised.__traceback__
    t.say("one that is given", names(suspended().throw, ValueError, "text", given))
    t.say("given to a new one", names(greenlet(park).throw, ValueError, "text", given))


def ends(t: Transcript):
    t.section("death")

    def tidy():
        try:
            park()
        except GreenletExit as asked:
            t.say("dropped", asked.args)
            raise
        finally:
            t.say("its parent then", getcurrent().parent is main)

    main = getcurrent()
    suspended(tidy)

    def answer():
        try:
            park()
        except GreenletExit:
            return 5

    t.say("an answer to exit", suspended(answer).throw())

    def leave():
        raise GreenletExit(1, 2)

    t.say("exit by itself", greenlet(leave).switch())
    saved = []

    def cat():
        try:
            park()
        except GreenletExit:
            saved.append(getcurrent())
        return "later", park()

    suspended(cat)
    g = saved.pop()
    t.say("come back to life", g.dead, g.parent is main, g.switch(5), g.dead)
    unraisable = []
    sys.unraisablehook = lambda what: unraisable.append(what.exc_type.__name__)

    def fail():
        try:
            park()
        finally:
            raise KeyError("in the end")

    suspended(fail)
    sys.unraisablehook = sys.__unraisablehook__
    t.say("an error at the end", unraisable)


def threads(t: Transcript):
    t.section("threads")
    main = getcurrent()
    made = {"suspended": suspended(), "new": greenlet(park), "dead": ended(), "main": main}

    def elsewhere():
        for name, g in made.items():
            t.say(f"switch to {name}", without_states(outcome(g.switch)))
            t.say(f"throw at {name}", without_states(outcome(g.throw, ValueError)))
            t.say(f"{name} is as it was", g.dead, bool(g))
        t.say("frames can be seen", made["suspended"].gr_frame is not None)
        t.say("another main", getcurrent() is not main, getcurrent().parent)
        left.append(suspended())

    left = []
    in_thread(elsewhere)
    t.refuses("of a thread that has ended", error, left[0].switch)
    t.refuses("of another thread's", error, greenlet(park, left[0]).switch)
    t.say("and how many threads", threading.active_count())


def without_states(text):
    """A refusal that names two greenlets, in one line and without what they are."""
    return re.sub(r"<greenlet\.greenlet object at [^>]*>", "<...>", " ".join(text.split()))


def tracing(t: Transcript):
    t.section("settrace")
    events = []

    def note(event, greenlets):
        events.append((event, *("main" if g is main else "other" for g in greenlets)))

    main = getcurrent()
    t.say("returns the previous one", settrace(note), gettrace() is note)
    for name, act in (
        ("start and end", lambda: ended()),
        ("start and exit", lambda: suspended().throw()),
        ("an error", lambda: outcome(suspended().throw, KeyError)),
        ("thrown at a new one", lambda: outcome(greenlet(park).throw, KeyError)),
        ("dropped", lambda: (suspended(), None)[1]),
        ("oneself", main.switch),
        ("thrown at oneself", lambda: outcome(main.throw)),
    ):
        events.clear()
        act()
        t.say(name, list(events))
    t.say("and None ends it", settrace(None) is note, gettrace())

    def bad(*_):
        raise KeyError("from the callback")

    settrace(bad)
    g = greenlet(str)
    t.say("one that fails is removed", outcome(g.switch), gettrace(), g.dead)
    settrace(5)
    t.say("one that cannot be called", outcome(greenlet(str).switch), gettrace())


SECTIONS = (values, thrown, tracebacks, ends, threads, tracing)

"""What a greenlet is as an object: construction, attributes, parents, states, contexts, frames."""

import contextvars
import copy
import os
import pickle
import re
import threading
import weakref

import greenlet as module
from greenlet import GreenletExit, error, getcurrent, greenlet

from tests.compat.programs.transcript import Transcript


def park(*args):
    return getcurrent().parent.switch(*args)


def suspended(run=park):
    g = greenlet(run)
    g.switch()
    return g


def ended():
    g = greenlet(lambda: None)
    g.switch()
    return g


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
    # greenlet learns of a thread's end when the system's thread ends, a little after join().
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        os.sched_yield()


def shown(g):
    """The state in a repr, without its addresses and module."""
    return re.search(r"\(otid=[^)]*\) (.*)>", repr(g))[1]


def construction(t: Transcript):
    t.section("construction")
    t.refuses("three arguments", TypeError, greenlet, 1, 2, 3)
    t.refuses("an unknown name", TypeError, greenlet, foo=1)
    t.refuses("a parent that is none", TypeError, greenlet, None, 5)
    t.refuses("a parent by name", TypeError, greenlet, parent=5)
    t.say("the parent by default", greenlet().parent is getcurrent())
    t.say("None as parent", greenlet(None, None).parent is getcurrent())
    t.say("run is not looked at", greenlet(5).run, greenlet(None).run, greenlet(run="x").run)
    t.say("by __new__ alone", greenlet.__new__(greenlet).parent is getcurrent())
    t.refuses("of another type", TypeError, greenlet.__new__, int)
    t.refuses("of no type", TypeError, greenlet.__new__)
    t.say("sizes", greenlet.__basicsize__, greenlet.__weakrefoffset__, greenlet.__dictoffset__)
    slotted = type("Slotted", (greenlet,), {"__slots__": ()})
    t.say("without slots", slotted.__basicsize__)


def run(t: Transcript):
    t.section("run")
    t.refuses("none given", AttributeError, lambda: greenlet().run)
    g = greenlet()
    t.refuses("a start without", AttributeError, g.switch)
    g.run = lambda *args: args
    t.say("given later", g.switch(1, 2), g.dead)
    for what in (5, None):
        g = greenlet(what)
        t.refuses(f"{what} is called", TypeError, g.switch)
        t.say("and that ended it", g.dead, bool(g))
    g = greenlet(park)
    del g.run
    t.refuses("deleted", AttributeError, lambda: g.run)
    t.refuses("started then", AttributeError, g.switch)
    for state, g in (("suspended", suspended()), ("ended", ended()), ("main", getcurrent())):
        t.refuses(f"{state}: read", AttributeError, lambda g=g: g.run)
        t.refuses(f"{state}: set", AttributeError, setattr, g, "run", park)
        t.refuses(f"{state}: deleted", AttributeError, delattr, g, "run")

    class Method(greenlet):
        def run(self, *args, **kwargs):
            return self is getcurrent(), args, kwargs

    t.say("a method", Method().switch(1, x=2))
    t.say("an attribute goes before a method", Method(lambda *args: args).switch(3))
    t.say("a method that is never called", Method().throw())

    class Refusing(greenlet):
        @property
        def run(self):
            raise ValueError("no run")

    g = Refusing()
    t.refuses("a property that raises", ValueError, g.switch)
    t.say("can be tried again", g.dead, bool(g))
    t.refuses("and is asked by throw too", ValueError, g.throw)


def attributes(t: Transcript):
    t.section("attributes")
    g = greenlet()
    g.a = 1
    t.say("in a dict", g.__dict__, vars(g))
    t.refuses("that is set to a number", TypeError, setattr, g, "__dict__", 5)
    t.refuses("that is deleted", TypeError, delattr, g, "__dict__")
    g.__dict__ = {"b": 2}
    t.say("that is replaced", g.b, hasattr(g, "a"))
    t.refuses("dead cannot be set", AttributeError, setattr, g, "dead", True)
    t.refuses("gr_frame cannot be set", AttributeError, setattr, g, "gr_frame", None)
    notes = []
    g = suspended()
    reference = weakref.ref(g, lambda _: notes.append("gone"))
    del g
    t.say("weak references", reference(), notes)
    t.say("equality", greenlet() == greenlet(), g_equals_itself())
    for name, serialize in (("copy", copy.copy), ("deepcopy", copy.deepcopy), ("pickle", pickled)):
        t.say(name, serialized(serialize))


def g_equals_itself():
    g = greenlet()
    return g == g and hash(g) == hash(g)


def pickled(g):
    return pickle.dumps(g)


def serialized(serialize):
    """The refusal, without the name that tells whose greenlet it is."""
    try:
        return serialize(greenlet())
    except TypeError as refused:
        return str(refused).replace("ringlet.", "greenlet.")


def parents(t: Transcript):
    t.section("parent")
    main, g = getcurrent(), greenlet()
    t.refuses("a number", TypeError, setattr, g, "parent", 5)
    t.refuses("None", TypeError, setattr, g, "parent", None)
    t.refuses("itself", ValueError, setattr, g, "parent", g)
    t.refuses("its child", ValueError, setattr, g, "parent", greenlet(parent=g))
    t.refuses("deleted", AttributeError, delattr, g, "parent")
    t.refuses("main's is set", AttributeError, setattr, main, "parent", g)
    t.refuses("main's is deleted", AttributeError, delattr, main, "parent")
    t.say("main's", main.parent)
    dead = ended()
    child = greenlet(lambda: "past it", dead)
    t.say("a dead one", child.parent is dead, child.switch())
    failing = greenlet(5)
    t.refuses("one that cannot start", TypeError, greenlet(lambda: 6, failing).switch)
    without = greenlet()
    t.refuses("one without run", AttributeError, greenlet(lambda: 6, without).switch)
    t.say("which can start later", without.dead)

    def elsewhere():
        here = suspended()
        t.refuses("started, to another thread", ValueError, setattr, here, "parent", main)
        g.parent = getcurrent()
        t.say("not started, to another thread", g.parent is getcurrent())

    in_thread(elsewhere)


def states(t: Transcript):
    t.section("state")
    g = greenlet(park)
    for state in ("new", "suspended", "ended"):
        t.say(state, bool(g), g.dead, shown(g) if g else "")
        if not g.dead:
            g.switch()
    t.say("main", shown(getcurrent()), bool(getcurrent()), getcurrent().dead)
    main = getcurrent()
    in_thread(lambda: t.say("main of another thread", shown(main), bool(main), main.dead))
    t.say("exit is no Exception", GreenletExit.__mro__[1], error.__mro__[1])
    names = ("getcurrent", "error", "GreenletExit", "settrace", "gettrace")
    t.say("the type has", [getattr(greenlet, n) is getattr(module, n) for n in names])
    t.say("the module has", module.__version__, sorted(n for n in dir(module) if n[0] != "_"))
    t.refuses("switch of nothing", TypeError, greenlet.switch)
    t.refuses("throw with names", TypeError, lambda: g.throw(typ=ValueError))


def contexts(t: Transcript):
    t.section("context")
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("outside")
    g = greenlet(lambda: (variable.get(), park(), variable.get()))
    t.say("a new one has none", g.gr_context)
    g.switch()
    t.say("nor has it one before it sets something", g.gr_context)
    context = contextvars.Context()
    context.run(variable.set, "given")
    g.gr_context = context
    t.say("given while suspended", g.switch("back"), g.gr_context is context)
    t.refuses("a number", TypeError, setattr, g, "gr_context", 5)
    t.refuses("deleted", AttributeError, delattr, g, "gr_context")
    copied = greenlet(variable.get)
    copied.gr_context = contextvars.copy_context()
    t.say("a copy", copied.switch())
    inside = greenlet(lambda: context.run(lambda: (park("parked"), variable.get())))
    t.say("entered and left", inside.switch())
    t.refuses("entered twice", RuntimeError, context.run, str)
    t.say("and resumed", inside.switch("back"))
    main = getcurrent()

    def elsewhere():
        t.refuses("of a running one elsewhere", ValueError, lambda: main.gr_context)
        t.refuses("set there", ValueError, setattr, main, "gr_context", None)

    in_thread(elsewhere)


def frames(t: Transcript):
    t.section("frames")

    def outer():
        inner()

    def inner():
        park()

    g = greenlet(outer)
    t.say("new", g.gr_frame)
    g.switch()
    frame, names = g.gr_frame, []
    while frame:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    t.say("suspended", names)
    g.switch()
    t.say("ended and running", g.gr_frame, getcurrent().gr_frame)
    main = getcurrent()
    t.say("the parent's", greenlet(lambda: main.gr_frame.f_code.co_name).switch())


SECTIONS = (construction, run, attributes, parents, states, contexts, frames)

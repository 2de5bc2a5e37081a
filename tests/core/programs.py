"""Runs programs of operations on real greenlets, and reports all that happens as events."""

import contextvars
import gc
import queue
import re
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from ringlet import GreenletError, GreenletExit, getcurrent, greenlet, settrace
from tests.core.operations import (
    BRAVE,
    KINDS,
    MORTAL,
    POLITE,
    STUBBORN,
    STYLES,
    Boom,
    Operation,
    arguments,
    choose,
)
from tests.core.paths import WAYS, names

THROWN: tuple[Callable[[], tuple[Any, ...]], ...] = (
    lambda: (),
    lambda: (Boom,),
    lambda: (Boom, 7),
    lambda: (Boom(8),),  # a new one each time: it keeps the frames it has come through
    lambda: (GreenletExit, 9),
    lambda: (3,),
)

whose = contextvars.ContextVar[int]("whose")


def straight(call: Callable[[], Any]) -> Any:
    return call()


def handling(call: Callable[[], Any]) -> Any:
    """Call while an exception is handled, which must still be so afterwards."""
    try:
        raise KeyError("handled")
    except KeyError as error:
        answer = call()
        if sys.exc_info()[1] is not error:
            raise AssertionError("another exception is handled now") from None
        return answer


PATHS = (straight, straight, straight, handling, *WAYS.values())


class Name:
    """How a greenlet shows in the events."""

    def __init__(self, number: object) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"g{self.number}"


class Crew:
    """A thread and where it gets its orders."""

    def __init__(self, number: int, main_name: int) -> None:
        self.number = number
        self.main_name = main_name
        self.orders: queue.SimpleQueue[Operation] = queue.SimpleQueue()
        self.home: greenlet | None = None
        self.thread: threading.Thread | None = None


class Method(greenlet):
    """Has its run as a method."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        del self  # the call refers to it, and no frame
        world = World.current
        arguments = world.text((args, kwargs))
        del args, kwargs
        return world.life(arguments)


class Asking(greenlet):
    """Does an operation when it is asked what to run."""

    @property
    def run(self) -> Any:
        world = World.current
        name = world.name_of(self)
        del self
        world.say("asked", name)
        me = world.name_of(getcurrent())
        world.perform(me, world.next_operation(), False)
        return world.body


class World:
    """The threads and greenlets of one program. Everything is driven from one more thread."""

    current: "World"

    def __init__(self) -> None:
        World.current = self
        self.held: dict[int, greenlet] = {}
        self.styles: dict[int, int] = {}
        self.names: dict[int, int] = {}  # by id()
        self.weak: dict[int, weakref.ref[greenlet]] = {}
        self.crews: list[Crew] = []  # of the threads that have not ended
        self.homes: list[greenlet] = []
        self.begun = 0
        self.events: list[tuple[Any, ...]] = []
        self.ready: queue.SimpleQueue[Crew | None] = queue.SimpleQueue()
        self.by_thread: dict[int, Crew] = {}
        self.obedient = False
        self.begin_thread()

    # ---- What the outside calls

    def begin_thread(self) -> None:
        crew = Crew(self.begun, len(self.weak))
        self.begun += 1
        self.crews.append(crew)
        crew.thread = threading.Thread(target=self.main, args=(crew,), daemon=True)
        crew.thread.start()
        self.ready.get()

    def step(self, operation: Operation) -> list[tuple[Any, ...]]:
        """Have one operation done; all that happened, as events."""
        self.events = []
        if operation.kind == "thread":
            self.begin_thread()
            return self.events
        crew = choose(operation.thread, self.crews)
        crew.orders.put(operation)
        if self.ready.get() is None:
            self.crews.remove(crew)
        return self.events

    def close(self) -> None:
        """Forget all greenlets; no thread is left."""
        assert not self.crews
        self.held.clear()
        self.homes.clear()
        gc.collect()

    def state(self) -> dict[int, tuple[Any, ...]]:
        """What can be asked of the greenlets that the program refers to."""
        states = {}
        for name, each in self.held.items():
            parent = each.parent
            above = None if parent is None else self.name_of(parent)
            states[name] = (bool(each), each.dead, above)
        return states

    def alive(self) -> set[int]:
        return {name for name, reference in self.weak.items() if reference() is not None}

    def look_at_frames(self, name: int, suspended: bool) -> None:
        """Walk the frames of a greenlet; if it is suspended, they lead down to its beginning."""
        frame = self.held[name].gr_frame
        assert (frame is not None) == suspended, (name, frame)
        assert frame is None or names(frame)[-1] in ("body", "run"), names(frame)

    # ---- What greenlets call

    def say(self, *event: Any) -> None:
        self.events.append(event)

    def name_of(self, each: greenlet) -> int:
        return self.names[id(each)]

    def described(self, value: Any) -> Any:
        """A value, for the events, without the greenlets in it."""
        if isinstance(value, greenlet):
            return Name(self.name_of(value))
        if isinstance(value, tuple):
            return tuple(map(self.described, value))
        if isinstance(value, BaseException):
            return told(value)
        return value

    def text(self, value: Any) -> str:
        return repr(self.described(value))

    def next_operation(self) -> Operation:
        crew = self.by_thread[threading.get_ident()]
        self.ready.put(crew)
        return crew.orders.get()

    def adopt(self, made: greenlet, style: int) -> None:
        name = len(self.weak)
        self.names[id(made)] = name
        self.styles[name] = style
        self.weak[name] = weakref.ref(made)
        self.held[name] = made

    def main(self, crew: Crew) -> None:
        """What a thread runs."""
        self.by_thread[threading.get_ident()] = crew
        self.adopt(getcurrent(), STUBBORN)
        self.homes.append(getcurrent())
        whose.set(crew.main_name)
        self.live(crew.main_name, True)
        threading.Thread(target=self.wait_for_end, args=(crew.thread,), daemon=True).start()

    def wait_for_end(self, thread: threading.Thread) -> None:
        thread.join()
        self.ready.put(None)

    def body(self, *args: Any, **kwargs: Any) -> Any:
        """What most greenlets run."""
        arguments = self.text((args, kwargs))
        del args, kwargs
        return self.life(arguments)

    def life(self, arguments: str) -> Any:
        name = self.name_of(getcurrent())
        whose.set(name)
        self.say("started", name, arguments)
        return self.live(name, False)

    def live(self, name: int, is_main: bool) -> Any:
        while True:
            ended, value = False, None
            try:
                ended, value = self.perform(name, self.next_operation(), True)
            except Boom as error:
                self.say("raised", name, told(error))
                if not is_main and self.styles[name] == MORTAL:
                    raise
            except GreenletExit as error:
                self.say("raised", name, told(error))
                if not is_main:
                    if self.styles[name] == POLITE:
                        return "polite"
                    if self.obedient or self.styles[name] in (MORTAL, BRAVE):
                        raise
            except (GreenletError, AttributeError, TypeError, ValueError) as error:
                self.say("raised", name, told(error))
                if not is_main and self.styles[name] == MORTAL:
                    raise
            if ended and value is Boom:
                raise Boom("finished")
            if ended:
                return value
            if whose.get() != name:
                self.say("in the context of another", name)
            if sys.exc_info()[1] is not None:
                self.say("handles", name, told(sys.exc_info()[1]))

    def perform(self, name: int, operation: Operation, living: bool) -> tuple[bool, Any]:
        """Whether the greenlet ends now, and with what value. No frame may refer to a greenlet."""
        kind, _, a, b, c = operation
        self.say("does", name, kind)
        if kind == "home":
            self.got(
                name, self.text(self.homes[self.by_thread[threading.get_ident()].number].switch())
            )
        elif kind == "collect":
            gc.collect()
        elif kind == "trace":
            settrace(choose(a, (None, self.report, self.report_and_raise)))
        elif kind == "finish":
            if living:
                return self.ending(name, operation)
        elif self.held:
            one, other = (choose(each, sorted(self.held)) for each in (a, b))
            way = choose(a + b + c, PATHS)
            if kind == "spawn":
                self.spawn(a, one if b % 2 else None, c)
            elif kind == "switch":
                self.got(name, way(partial(self.switch, one, other, c)))
            elif kind == "throw":
                self.got(name, way(partial(self.throw, one, c)))
            elif kind == "drop":
                del self.held[one]
            elif kind == "parent":
                self.held[one].parent = self.held[other]
            elif c % 3:
                self.held[one].link = self.held[other]
            else:
                vars(self.held[one]).pop("link", None)
        return False, None

    def got(self, name: int, value: str) -> None:
        self.say("got", name, value)

    def switch(self, one: int, other: int, c: int) -> str:
        """Switch in one of the ways that a call may be compiled to."""
        if c % 7 == 0:
            return self.text(self.held[one].switch())
        if c % 7 == 1:
            return self.text(self.held[one].switch(c))
        if c % 7 == 2:
            return self.text(self.held[one].switch(self.held[other]))
        if c % 7 == 5:
            return self.text(self.held[one].switch(self.held[other], x=c, y=1))
        return self.text(self.held[one].switch(*self.args(c, other), **arguments(c, None)[1]))

    def args(self, c: int, other: int) -> tuple[Any, ...]:
        return arguments(c, self.held[other])[0]

    def throw(self, one: int, c: int) -> str:
        return self.text(self.held[one].throw(*choose(c, THROWN)()))

    def ending(self, name: int, operation: Operation) -> tuple[bool, Any]:
        if self.weak[name]() in self.homes:
            return bool(self.by_thread[threading.get_ident()].number or self.obedient), "end"
        if operation.c % 3 == 0 and self.held:
            return True, self.held[choose(operation.a, sorted(self.held))]
        if operation.c % 3 == 1:
            return True, operation.a
        return True, Boom

    def spawn(self, a: int, parent: int | None, style: int) -> None:
        kind = choose(a, KINDS)
        over = () if parent is None else (parent,)
        if kind == "callable":
            self.adopt(greenlet(self.body, *map(self.held.get, over)), style % STYLES)
        elif kind == "none":
            self.adopt(greenlet(None, *map(self.held.get, over)), style % STYLES)
        else:
            make = {"method": Method, "asking": Asking, "missing": greenlet}[kind]
            if parent is None:
                self.adopt(make(), style % STYLES)
            else:
                self.adopt(make(parent=self.held[parent]), style % STYLES)

    def report(self, event: str, args: tuple[greenlet, greenlet]) -> None:
        self.say("traced", self.name_of(args[0]), event, self.name_of(args[1]))

    def report_and_raise(self, event: str, args: tuple[greenlet, greenlet]) -> None:
        self.report(event, args)
        del args
        raise Boom("traced")

    def unraisable(self, report: Any) -> None:
        self.say("unraisable", told(report.exc_value))

    def write(self, message: str) -> None:
        """As sys.stderr."""
        found = re.match(r"GreenletExit did not kill <.*? at (0x[0-9a-f]+)", message)
        if found:
            self.say("did not kill", self.names[int(found[1], 16)])
        elif message.strip():
            self.say("printed", message)


def told(error: BaseException | None) -> str:
    """An exception, for the events."""
    kind = type(error).__name__
    if isinstance(error, Boom | GreenletExit):
        return f"{kind}({''.join(f'{each!r},' for each in error.args)})"
    if isinstance(error, GreenletError):
        message = str(error)
        if message.startswith("Cannot switch to a different thread\n\tCurrent:  <"):
            return f"{kind}: elsewhere"
        if message == "cannot switch to a different thread (which happens to have exited)":
            return f"{kind}: exited"
        if message == "cannot switch to a garbage collected greenlet":
            return f"{kind}: garbage collected"
        return f"{kind}: {message}"
    return kind

"""Greenlets in plain Python, to foretell what the core will do.

Each greenlet is a generator: it yields SWITCH when it has made another one the current greenlet of
its thread, and NEXT when it wants to be told what to do next. References are counted by hand, for
when a greenlet ends because nobody refers to it any more is part of what is foretold.

Where Python leaves open which of two things happens first, the model looks at what was seen.
"""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, Literal

from tests.core.operations import (
    BRAVE,
    KINDS,
    MORTAL,
    POLITE,
    STUBBORN,
    STYLES,
    TRACERS,
    Operation,
    arguments,
    choose,
)

NEXT, SWITCH = "next", "switch"
NEW, RUNNING, SUSPENDED, DEAD = "new", "running", "suspended", "dead"

Steps = Generator[str, Operation, Any]
Found = Literal["found", "changed"]


class Greenlet:
    """One greenlet, with what refers to it counted."""

    def __init__(self, name: int, kind: str, style: int, parent: "Greenlet | None") -> None:
        self.name = name
        self.kind = kind
        self.style = style
        self.parent = parent
        self.thread: Thread | None = None  # while started
        self.state = NEW
        self.link: Greenlet | None = None  # an attribute of it
        self.refs = 0
        self.steps: Steps | None = None
        self.undying = False  # refused to end, unreferenced
        self.finalized = False  # the collector has told it once
        self.was_garbage = False  # weak references to it may be gone
        self.freed = False

    def __repr__(self) -> str:
        return f"g{self.name}"


class Thread:
    """What a thread has of its own."""

    def __init__(self, number: int, main: Greenlet) -> None:
        self.number = number
        self.main = self.current = main
        self.outcome: Outcome | None = None  # what a switch brings
        self.origin: Greenlet | None = None  # and from whom
        self.tracer: str | None = None
        self.started: list[Greenlet] = []  # the last first
        self.doomed: list[Greenlet] = []


class Outcome:
    """What a greenlet is resumed with: a value or an error.

    Owns the greenlets in the value; for an error, `value` is what the exception refers to.
    """

    def __init__(self, value: Any = None, error: str | None = None, kwargs: Any = None) -> None:
        self.value = value
        self.kwargs = kwargs  # with arguments for a start
        self.error = error
        self.ends = False  # the greenlet that has it as the result of an operation
        self.refs = list(greenlets_in(value))
        for greenlet in self.refs:
            greenlet.refs += 1


def greenlets_in(value: Any) -> Iterator[Greenlet]:
    if isinstance(value, Greenlet):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from greenlets_in(each)


def packed(args: tuple[Any, ...], kwargs: dict[str, int]) -> Any:
    """What switch() returns for these arguments."""
    if kwargs:
        return (args, kwargs) if args else kwargs
    return args[0] if len(args) == 1 else args


def ends_with_exit(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error.startswith("GreenletExit")


class Model:
    """All threads and greenlets of one program."""

    def __init__(self) -> None:
        self.greenlets: list[Greenlet] = []  # all there have been
        self.held: dict[int, Greenlet] = {}  # those the program refers to, by name
        self.threads: list[Thread] = []  # those that have not ended
        self.begun = 0
        self.events: list[tuple[Any, ...]] = []  # of the step under way
        self.seen: list[tuple[Any, ...]] = []  # what really happened in it
        self.here: Thread
        self.collecting = False
        self.obedient = False  # at the end of a program nobody refuses to die
        self.begin_thread()

    # ---- What the outside calls

    def begin_thread(self) -> None:
        main = self.made("main", STUBBORN, None)
        thread = Thread(self.begun, main)
        self.begun += 1
        main.state, main.thread = RUNNING, thread
        main.refs += 3  # as current, as main, and from the program's way home
        main.steps = self.main_steps(thread)
        self.threads.append(thread)
        self.here = thread
        next(main.steps)

    def step(self, operation: Operation, seen: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """What happens next, as events."""
        self.events, self.seen = [], seen
        if operation.kind == "thread":
            self.begin_thread()
        else:
            thread = choose(operation.thread, self.threads)
            self.resume(thread, operation)
        return self.events

    def close(self) -> None:
        """The program forgets all greenlets; no thread is left."""
        assert not self.threads
        self.obedient = True
        for _ in range(3):
            for name in list(self.held):
                finished(self.forget(name))
        for greenlet in self.greenlets:
            if greenlet.kind == "main":
                finished(self.drop(greenlet))  # the way home
        finished(self.collect())

    def resume(self, thread: Thread, operation: Operation | None) -> None:
        """Run a thread until somebody wants to be told what to do, or it has ended."""
        self.here = thread
        while True:
            steps = thread.current.steps
            assert steps is not None
            try:
                request = steps.send(operation)  # type: ignore[arg-type]
            except StopIteration:
                self.threads.remove(thread)
                return
            if request == NEXT:
                return
            operation = None

    def say(self, *event: Any) -> None:
        self.events.append(event)

    # ---- References

    def drop(self, greenlet: Greenlet | None) -> Steps:
        """Give up a reference; the last one ends and frees the greenlet."""
        if greenlet is None:
            return
        assert greenlet.refs > 0, greenlet
        greenlet.refs -= 1
        if greenlet.refs:
            return
        if greenlet.state == SUSPENDED:
            greenlet.refs = 1
            yield from self.finalize(greenlet)
            greenlet.refs -= 1
            if greenlet.refs:
                return
            if greenlet.state == SUSPENDED:
                yield from self.abandon(greenlet)
        greenlet.freed = True
        parent, link = greenlet.parent, greenlet.link
        greenlet.parent = greenlet.link = None
        yield from self.drop(parent)
        yield from self.drop(link)

    def drop_all(self, greenlets: Iterable[Greenlet]) -> Steps:
        for greenlet in greenlets:
            yield from self.drop(greenlet)

    def forget(self, name: int) -> Steps:
        yield from self.drop(self.held.pop(name))

    def finalize(self, greenlet: Greenlet) -> Steps:
        """Nobody can reach it."""
        if greenlet.state != SUSPENDED or greenlet.kind == "main":
            return
        thread = greenlet.thread
        assert thread is not None
        here = self.here
        if thread is not here or (self.collecting and here.current is not here.main):
            greenlet.refs += 1
            thread.doomed.append(greenlet)
            return
        yield from self.kill(here, greenlet)
        if greenlet.state == SUSPENDED and greenlet.refs == 1:
            self.say("did not kill", greenlet.name)
            greenlet.refs += 1
            greenlet.undying = True

    def kill(self, thread: Thread, greenlet: Greenlet) -> Steps:
        parent = greenlet.parent
        greenlet.parent = thread.current
        thread.current.refs += 1
        error = "GreenletExit('Killing the greenlet because all references have vanished.',)"
        outcome = yield from self.cross(thread, greenlet, Outcome(error=error))
        if outcome.error:
            self.say("unraisable", outcome.error)
        yield from self.drop_all(outcome.refs)
        stand_in = greenlet.parent
        greenlet.parent = parent
        yield from self.drop(stand_in)

    def abandon(self, greenlet: Greenlet) -> Steps:
        """End it without running it; what its frames refer to is never freed."""
        thread = greenlet.thread
        assert thread is not None
        thread.started.remove(greenlet)
        greenlet.state, greenlet.thread = DEAD, None
        if greenlet.undying:
            yield from self.drop(greenlet)

    def reap(self, thread: Thread) -> Steps:
        while thread.doomed:
            greenlet = thread.doomed.pop()
            if greenlet.refs > 1 and greenlet.state == SUSPENDED:
                yield from self.kill(thread, greenlet)
            yield from self.drop(greenlet)

    # ---- The collector

    def collect(self) -> Steps:
        if self.collecting:
            return
        self.collecting = True
        garbage = self.unreachable([each for each in self.greenlets if not each.freed])
        for greenlet in garbage:
            greenlet.was_garbage = True
        waiting = [each for each in garbage if not each.finalized]
        while waiting:
            greenlet = self.first_seen(waiting)
            waiting.remove(greenlet)
            greenlet.finalized = True
            greenlet.refs += 1
            yield from self.finalize(greenlet)
            yield from self.drop(greenlet)
        garbage = self.unreachable(garbage)
        for greenlet in garbage:
            greenlet.refs += 1
        while garbage:
            greenlet = self.first_seen(garbage)
            garbage.remove(greenlet)
            link, greenlet.link = greenlet.link, None
            if greenlet.kind in ("callable", "none"):
                greenlet.kind = "missing"
            yield from self.drop(link)
            if greenlet.state in (NEW, DEAD):
                parent, greenlet.parent = greenlet.parent, None
                yield from self.drop(parent)
            yield from self.drop(greenlet)
        self.collecting = False

    def unreachable(self, candidates: list[Greenlet]) -> list[Greenlet]:
        """Those that only others of them refer to, as far as the collector can see."""
        outside = {each: each.refs for each in candidates}
        for each in candidates:
            for other in (each.parent, each.link):
                if other in outside:
                    outside[other] -= 1
        reached = [each for each in candidates if outside[each] > 0]
        for each in reached:
            for other in (each.parent, each.link):
                if other in outside and other not in reached:
                    reached.append(other)
        return [each for each in candidates if each not in reached]

    def first_seen(self, greenlets: list[Greenlet]) -> Greenlet:
        """Whose turn came first, in what was seen; else the oldest."""
        by_name = {each.name: each for each in greenlets}
        for event in self.seen[len(self.events) :]:
            if len(event) > 1 and event[1] in by_name:
                return by_name[event[1]]
        return greenlets[0]

    # ---- Switching

    def cross(self, thread: Thread, to: Greenlet, outcome: Outcome) -> Steps:
        origin = thread.current
        origin.state, to.state = SUSPENDED, RUNNING
        to.refs += 1
        thread.origin, thread.outcome, thread.current = origin, outcome, to
        yield SWITCH
        return (yield from self.landed(thread))

    def landed(self, thread: Thread) -> Steps:
        outcome, origin = thread.outcome, thread.origin
        assert outcome is not None
        assert origin is not None
        outcome = yield from self.reported(thread, origin, outcome)
        yield from self.drop(origin)
        return outcome

    def reported(self, thread: Thread, origin: Greenlet, outcome: Outcome) -> Steps:
        """What the callback of settrace() makes of a switch, also of one to where we are."""
        if thread.tracer:
            kind = "throw" if outcome.error else "switch"
            self.say("traced", origin.name, kind, thread.current.name)
            if thread.tracer == "raises":
                thread.tracer = None
                yield from self.drop_all(outcome.refs)
                outcome = Outcome(error="Boom('traced',)")
        return outcome

    def start(self, thread: Thread, greenlet: Greenlet) -> None:
        greenlet.thread = thread
        thread.started.insert(0, greenlet)
        greenlet.steps = self.life(thread, greenlet)

    def switch(self, thread: Thread, to: Greenlet, args: Any, kwargs: Any) -> Steps:
        yield from self.reap(thread)
        target = yield from self.target(thread, to)
        if isinstance(target, Outcome):
            return target
        if target.state == NEW:
            self.start(thread, target)
            return (yield from self.cross(thread, target, Outcome(args, kwargs=kwargs)))
        outcome = Outcome(packed(args, kwargs))
        if target is thread.current:
            return (yield from self.reported(thread, target, outcome))
        return (yield from self.cross(thread, target, outcome))

    def throw(self, thread: Thread, to: Greenlet, error: str) -> Steps:
        yield from self.reap(thread)
        outcome = Outcome(error=error)
        if error.startswith("TypeError"):
            return outcome
        if to.state == DEAD and ends_with_exit(outcome):
            outcome = Outcome(error)
        target = yield from self.target(thread, to)
        if isinstance(target, Outcome):
            return target
        if target is thread.current:
            return (yield from self.reported(thread, target, outcome))
        if target.state == NEW:
            if not outcome.error:
                outcome = Outcome((outcome.value,))
            self.start(thread, target)
        return (yield from self.cross(thread, target, outcome))

    def target(self, thread: Thread, to: Greenlet) -> Steps:
        """The greenlet a switch enters, or the error."""
        while True:
            target: Greenlet | None = to
            while target and target.state == DEAD:
                target = target.parent
            if target is None or owner(target) is not thread:
                return Outcome(error=self.refusal(target or to))
            if target.state != NEW:
                return target
            found = yield from self.find_run(thread, target)
            if isinstance(found, Outcome):
                return found
            if found == "found" and owner(target) is thread:
                return target

    def find_run(self, thread: Thread, greenlet: Greenlet) -> Steps:
        if greenlet.kind == "missing":
            return Outcome(greenlet, error="AttributeError")  # it says of what
        if greenlet.kind != "asking":
            return "found"
        greenlet.refs += 1
        self.say("asked", greenlet.name)
        outcome = yield from self.perform(thread, thread.current, (yield NEXT), False)
        found: Found = "found" if greenlet.state == NEW and greenlet.refs > 1 else "changed"
        if outcome and outcome.error == "AttributeError" and not outcome.refs:
            outcome = Outcome(greenlet, error=outcome.error)
        yield from self.drop(greenlet)
        return outcome or found

    def refusal(self, greenlet: Greenlet) -> str:
        root = greenlet
        while root.parent:
            root = root.parent
        if root.kind != "main":
            return "GreenletError: garbage collected"
        return "GreenletError: " + ("elsewhere" if owner(greenlet) else "exited")

    # ---- Lives

    def made(self, kind: str, style: int, parent: Greenlet | None) -> Greenlet:
        greenlet = Greenlet(len(self.greenlets), kind, style, parent)
        self.greenlets.append(greenlet)
        self.held[greenlet.name] = greenlet
        greenlet.refs += 1
        if parent:
            parent.refs += 1
        return greenlet

    def main_steps(self, thread: Thread) -> Steps:
        yield from self.live(thread, thread.main)
        yield from self.reap(thread)
        while thread.started:
            greenlet = thread.started[0]
            greenlet.refs += 1
            yield from self.kill(thread, greenlet)
            if greenlet.state == SUSPENDED:
                yield from self.abandon(greenlet)
            yield from self.drop(greenlet)
        yield from self.drop_all(thread.doomed)
        main = thread.main
        main.state, main.thread = DEAD, None
        yield from self.drop(main)
        yield from self.drop(main)

    def life(self, thread: Thread, greenlet: Greenlet) -> Steps:
        """From the first switch on, to the end."""
        outcome = yield from self.landed(thread)
        if outcome.error is None:
            args = outcome
            if greenlet.kind == "method":
                greenlet.refs += 1  # from the bound method
            if greenlet.kind == "none":
                outcome = Outcome(error="TypeError")
            else:
                self.say("started", greenlet.name, text((args.value, args.kwargs or {})))
                outcome = yield from self.live(thread, greenlet)
            yield from self.drop_all(args.refs)
            if greenlet.kind == "method":
                yield from self.drop(greenlet)
        if ends_with_exit(outcome):
            outcome = Outcome(outcome.error)
        yield from self.finish(thread, greenlet, outcome)

    def finish(self, thread: Thread, greenlet: Greenlet, outcome: Outcome) -> Steps:
        to = greenlet.parent
        assert to is not None
        to.refs += 1
        while True:
            if to.state != DEAD:
                found: Any = "found"
                if owner(to) is not thread:
                    found = Outcome(error=self.refusal(to))
                elif to.state == NEW:
                    found = yield from self.find_run(thread, to)
                if found == "found":
                    break
                if found == "changed":
                    continue
                yield from self.drop_all(outcome.refs)
                outcome = found
            parent = to.parent or thread.main
            parent.refs += 1
            yield from self.drop(to)
            to = parent
        if greenlet.undying:
            yield from self.drop(greenlet)
        thread.started.remove(greenlet)
        greenlet.state, greenlet.thread = DEAD, None
        if to.state == NEW:
            if not outcome.error:
                outcome.value = (outcome.value,)
            self.start(thread, to)
        to.state = RUNNING
        thread.origin, thread.outcome, thread.current = greenlet, outcome, to
        yield SWITCH
        raise AssertionError("a greenlet runs after its end")

    def live(self, thread: Thread, greenlet: Greenlet) -> Steps:
        """Do what one is told, until that is to end or an exception is not survived."""
        while True:
            outcome = yield from self.perform(thread, greenlet, (yield NEXT), True)
            if outcome is None:
                continue
            if outcome.ends:
                outcome.ends = False
                return outcome
            self.say("raised", greenlet.name, outcome.error)
            if greenlet.kind != "main":
                if ends_with_exit(outcome) and greenlet.style == POLITE:
                    return Outcome("polite")
                if self.dies(greenlet, outcome):
                    return outcome
            yield from self.drop_all(outcome.refs)

    def dies(self, greenlet: Greenlet, outcome: Outcome) -> bool:
        if ends_with_exit(outcome):
            return self.obedient or greenlet.style in (MORTAL, BRAVE)
        return greenlet.style == MORTAL

    # ---- Operations

    def perform(self, thread: Thread, me: Greenlet, operation: Operation, living: bool) -> Steps:
        """None, or the outcome that ends the greenlet or is raised in it."""
        kind, _, a, b, c = operation
        self.say("does", me.name, kind)
        if kind == "home":
            thread.main.refs += 1
            outcome = yield from self.switch(thread, thread.main, (), {})
            yield from self.drop(thread.main)
            return (yield from self.received(me, outcome))
        if kind == "collect":
            yield from self.collect()
            return None
        if kind == "trace":
            thread.tracer = choose(a, TRACERS)
            return None
        if kind == "finish":
            outcome = self.ending(thread, me, operation) if living else None
            if outcome:
                outcome.ends = True
            return outcome
        if not self.held:
            return None
        names = sorted(self.held)
        one, other = self.held[choose(a, names)], self.held[choose(b, names)]
        if kind == "spawn":
            return (yield from self.spawn(thread, one if b % 2 else None, a, c))
        if kind == "switch":
            args, kwargs = arguments(c, other)
            calling = [one, *greenlets_in(args)]
            for each in calling:
                each.refs += 1
            outcome = yield from self.switch(thread, one, args, kwargs)
            yield from self.drop_all(calling)
            return (yield from self.received(me, outcome))
        if kind == "throw":
            one.refs += 1
            outcome = yield from self.throw(thread, one, choose(c, THROWN))
            yield from self.drop(one)
            return (yield from self.received(me, outcome))
        if kind == "drop":
            yield from self.forget(one.name)
        elif kind == "parent":
            one.refs += 1
            other.refs += 1
            error = yield from self.set_parent(one, other)
            yield from self.drop(one)
            yield from self.drop(other)
            return error
        elif kind == "link" and c % 3:
            one.refs += 1
            other.refs += 2
            old, one.link = one.link, other
            yield from self.drop(old)
            yield from self.drop(one)
            yield from self.drop(other)
        elif kind == "link":
            old, one.link = one.link, None
            yield from self.drop(old)
        else:
            raise AssertionError(kind)
        return None

    def received(self, me: Greenlet, outcome: Outcome) -> Steps:
        if outcome.error:
            return outcome
        value = text(outcome.value)
        yield from self.drop_all(outcome.refs)
        self.say("got", me.name, value)
        return None

    def ending(self, thread: Thread, me: Greenlet, operation: Operation) -> Outcome | None:
        if me.kind == "main":
            return Outcome("end") if thread.number or self.obedient else None
        names = sorted(self.held)
        if operation.c % 3 == 0 and names:
            return Outcome(self.held[choose(operation.a, names)])
        return Outcome(operation.a) if operation.c % 3 == 1 else Outcome(error="Boom('finished',)")

    def spawn(self, thread: Thread, parent: Greenlet | None, a: int, c: int) -> Steps:
        if parent:
            parent.refs += 1  # among the arguments
        yield from self.reap(thread)
        error = None
        if parent and root(parent).kind != "main":
            error = Outcome(error="ValueError")
        else:
            self.made(choose(a, KINDS), c % STYLES, parent or thread.current)
        yield from self.drop(parent)
        return error

    def set_parent(self, one: Greenlet, other: Greenlet) -> Steps:
        if one.kind == "main":
            return Outcome(error="AttributeError")
        if one in ancestors(other):
            return Outcome(error="ValueError")
        if root(other).kind != "main" or (one.thread and one.thread is not root(other).thread):
            return Outcome(error="ValueError")
        old, one.parent = one.parent, other
        other.refs += 1
        yield from self.drop(old)
        return None


THROWN = (
    "GreenletExit()",
    "Boom()",
    "Boom(7,)",
    "Boom(8,)",
    "GreenletExit(9,)",
    "TypeError",
)


def owner(greenlet: Greenlet) -> Thread | None:
    """The thread it belongs to, by itself or by its ancestors."""
    for each in ancestors(greenlet):
        if each.thread:
            return each.thread
    return None


def ancestors(greenlet: Greenlet) -> Iterator[Greenlet]:
    """Itself and all above."""
    each: Greenlet | None = greenlet
    while each:
        yield each
        each = each.parent


def root(greenlet: Greenlet) -> Greenlet:
    *_, top = ancestors(greenlet)
    return top


def text(value: Any) -> str:
    """A value as the programs report it."""
    return repr(value)


def finished(steps: Steps) -> None:
    """Go through steps that switch nowhere."""
    for _ in steps:
        raise AssertionError("a switch with no thread left")

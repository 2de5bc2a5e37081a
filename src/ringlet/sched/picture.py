"""Who waits for whom: a picture of the tasklets of one thread or of all, as text.

It is taken while other threads run on, so each line is true by itself, but two lines may be of
different moments. Only the list of tasklets is of one moment; see rings() in the core.
"""

import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from itertools import dropwhile
from typing import Any, NamedTuple

from ringlet import _core
from ringlet.sched import stacks
from ringlet.sched.threads import get_ident
from ringlet.sched.words import label, seconds_in_words, target_in_words

__all__ = ("Picture", "Ring", "describe", "own_ring", "rings")

_Tasklet = _core.Tasklet[Any]

# So many that stand at the same place are shown one by one; the rest is counted.
_ALIKE_SHOWN = 10
# Deeper trees are not indented further.
_DEPTH_SHOWN = 12


class Ring(NamedTuple):
    """The scheduler of one thread, as the core's rings() has it."""

    ident: int
    hub: Any  # a Hub; what of it is used here is its thread
    hub_tasklet: _Tasklet
    main: _Tasklet
    current: _Tasklet
    switches: int
    waits: bool
    others: list[_Tasklet]

    @property
    def name(self) -> str:
        """Its thread's name."""
        return str(self.hub.thread.name)

    @property
    def tasklets(self) -> list[_Tasklet]:
        """All of them, the main one first."""
        # In a forked child the main tasklet is one that was spawned.
        return [self.main, *(tasklet for tasklet in self.others if tasklet is not self.main)]


def rings() -> list[Ring]:
    """The schedulers of all threads, oldest first."""
    return [Ring(*ring) for ring in reversed(_core.rings())]


def own_ring() -> Ring:
    """The scheduler of the calling thread."""
    hub = _core.hub()
    return next(ring for ring in rings() if ring.hub is hub)


class _Node(NamedTuple):
    """Something to be shown in the tree."""

    item: _Tasklet | str
    first: str  # what its first line begins with
    rest: str  # what its other lines, and those of what is below it, begin with
    depth: int


class Picture:
    """Who waits for whom among the tasklets of `rings`."""

    def __init__(self, rings: Iterable[Ring], limit: int = stacks.FRAMES_SHOWN) -> None:
        self.rings = list(rings)
        #: How many calls of each stack are shown; 0 for no stacks at all.
        self.limit = limit
        self._running = {id(ring.current): ring.ident for ring in self.rings}
        self._members: dict[int, list[_Tasklet]] = {}
        for ring in self.rings:
            for tasklet in ring.tasklets:
                if tasklet._owner is not None:
                    self._members.setdefault(id(tasklet._owner), []).append(tasklet)

    def awaited(self, tasklet: _Tasklet) -> list[_Tasklet]:
        """Those without whom `tasklet` cannot go on: each of them has to act first."""
        target = tasklet.waiting_on
        if target is None:
            return []
        if isinstance(target, _core.Tasklet):
            return [target]
        holder = _holder(target)
        if isinstance(holder, _core.Tasklet):
            return [holder]
        members = self._members.get(id(target), [])
        # One of them that wants to spawn another waits for room, and not for all to end.
        return [] if tasklet in members else members

    def circles(self) -> list[list[_Tasklet]]:
        """Tasklets that wait for each other in a circle, each circle once."""
        found = []
        # 1: on the way that is followed now; 2: seen to its end.
        marks: dict[int, int] = {}
        for ring in self.rings:
            for first in ring.tasklets:
                way: list[tuple[_Tasklet, Iterator[_Tasklet]]] = []
                following: Iterator[_Tasklet] = iter([first])
                while True:
                    step = next(following, None)
                    if step is None:
                        if not way:
                            break
                        marks[id(way[-1][0])] = 2
                        way.pop()
                        following = way[-1][1] if way else iter(())
                    elif id(step) not in marks:
                        marks[id(step)] = 1
                        following = iter(self.awaited(step))
                        way.append((step, following))
                    elif marks[id(step)] == 1:
                        members = [tasklet for tasklet, _ in way]
                        found.append(members[next(i for i, t in enumerate(members) if t is step) :])
        return found

    def circle_lines(self) -> list[str]:
        """Each circle in words."""
        lines = []
        for circle in self.circles():
            lines.append("these wait for each other in a circle:")
            lines += [f"  {label(tasklet)} waits for {_reason(tasklet)}" for tasklet in circle]
        return lines

    def tree_lines(self) -> list[str]:
        """All tasklets, thread by thread, each below one that waits for it."""
        lines = []
        children, roots = self._tree()
        for ring in self.rings:
            lines.append(f"thread {ring.name}: {_count(ring)}")
            lines += self._render([t for t in ring.tasklets if id(t) in roots], children)
        return lines

    def _tree(self) -> tuple[dict[int, list[_Tasklet]], set[int]]:
        """Who is shown below whom, and who below nobody."""
        everybody = [tasklet for ring in self.rings for tasklet in ring.tasklets]
        known = {id(tasklet) for tasklet in everybody}
        children: dict[int, list[_Tasklet]] = {}
        parents: dict[int, _Tasklet] = {}
        for tasklet in everybody:
            for awaited in self.awaited(tasklet):
                if id(awaited) in known and id(awaited) not in parents and awaited is not tasklet:
                    parents[id(awaited)] = tasklet
                    children.setdefault(id(tasklet), []).append(awaited)
        # In a circle somebody must be on top: the oldest one.
        roots = {id(tasklet) for tasklet in everybody if id(tasklet) not in parents}
        below: set[int] = set()
        for tasklet in everybody:
            if id(tasklet) in roots:
                _add_below(tasklet, children, below)
        for tasklet in everybody:
            if id(tasklet) not in below:
                roots.add(id(tasklet))
                parent = parents[id(tasklet)]
                children[id(parent)] = [c for c in children[id(parent)] if c is not tasklet]
                _add_below(tasklet, children, below)
        return children, roots

    def _render(self, tops: list[_Tasklet], children: dict[int, list[_Tasklet]]) -> Iterator[str]:
        """The lines of these trees."""
        # What is still to be shown, the next one last.
        todo = list(reversed(self._nodes(tops, children, "", 0)))
        while todo:
            node = todo.pop()
            if isinstance(node.item, str):
                yield node.first + node.item
                continue
            below = children.get(id(node.item), [])
            headline, *stack = self.describe(node.item)
            yield node.first + headline
            for line in stack:
                yield f"{node.rest}{'|' if below else ' '} {line}"
            todo += reversed(self._nodes(below, children, node.rest, node.depth + 1))

    def _nodes(
        self,
        siblings: list[_Tasklet],
        children: dict[int, list[_Tasklet]],
        indent: str,
        depth: int,
    ) -> list["_Node"]:
        """These tasklets, or of those that are much alike the first few and how many there are."""
        places: dict[Hashable, list[_Tasklet]] = {}
        for tasklet in siblings:
            alone = children.get(id(tasklet))
            places.setdefault(tasklet if alone else self._place(tasklet), []).append(tasklet)
        shown: list[_Tasklet | str] = []
        for alike in places.values():
            shown += alike[:_ALIKE_SHOWN]
            if len(alike) > _ALIKE_SHOWN:
                shown.append(f"and {len(alike) - _ALIKE_SHOWN} more that stand where this one does")
        if depth > _DEPTH_SHOWN:
            return [_Node(item, indent, indent, depth) for item in shown]
        nodes = [_Node(item, f"{indent}+- ", f"{indent}|  ", depth) for item in shown]
        if nodes:
            nodes[-1] = nodes[-1]._replace(rest=f"{indent}   ")
        return nodes

    def _place(self, tasklet: _Tasklet) -> Hashable:
        """The same for tasklets that do the same thing at the same place."""
        stack = tuple((id(frame.f_code), line) for frame, line in self.stack(tasklet))
        name = "" if stack else tasklet.name
        return (name, tasklet.state, type(tasklet.waiting_on), stack)

    def stack(self, tasklet: _Tasklet) -> stacks.Stack:
        """Its calls with their line numbers, the innermost first; empty when it has none.

        How ringlet waits is left out: what was called is told by the line that calls it.
        """
        ident = self._running.get(id(tasklet))
        frame = tasklet.frame if ident is None else sys._current_frames().get(ident)
        found = list(stacks.walk(frame))
        own = tasklet.greenlet
        if ident is None and own is not None and own.gr_frame is not frame:
            # It waits in a raw greenlet; what has switched there is part of it.
            found += stacks.walk(own.gr_frame)
        if ident is not None and ident != get_ident():
            return found  # it runs on in there
        return list(dropwhile(stacks.is_ours, found)) or found

    def describe(self, tasklet: _Tasklet) -> list[str]:
        """A tasklet, what it waits for, and where: several lines, the innermost call last."""
        lines = [self._headline(tasklet), *stacks.lines_of(self.stack(tasklet), self.limit)]
        return lines if not self.limit else [*lines, *stacks.origin_lines(tasklet._origin)]

    def _headline(self, tasklet: _Tasklet) -> str:
        words = [label(tasklet), tasklet.state]
        seconds = tasklet.waiting_seconds
        if seconds is not None:
            words[-1] += f" for {seconds_in_words(max(0.0, seconds))}"
        if tasklet.waiting_on is not None:
            words.append(f"waits for {_reason(tasklet)}")
        return ", ".join(words)


def describe(tasklet: _Tasklet, limit: int = stacks.FRAMES_SHOWN) -> str:
    """A tasklet of any thread, what it waits for, and where."""
    of_its_thread = [ring for ring in rings() if ring.ident == tasklet.thread_ident]
    return "\n".join(Picture(of_its_thread, limit).describe(tasklet))


def _holder(target: object) -> object:
    """Who holds a lock or the like: a tasklet, the name of a thread, or None."""
    try:
        return getattr(target, "holder", None)
    except Exception:  # of a class that computes it, and fails
        return None


def _reason(tasklet: _Tasklet) -> str:
    """What a tasklet waits for, and who has it."""
    target = tasklet.waiting_on
    holder = _holder(target)
    words = target_in_words(target)
    if holder is None:
        return words
    who = label(holder) if isinstance(holder, _core.Tasklet) else str(holder)
    # Most say it themselves.
    return words if f"held by {who}" in words else f"{words}, held by {who}"


def _add_below(top: _Tasklet, children: dict[int, list[_Tasklet]], below: set[int]) -> None:
    """Add `top` and all that are shown below it."""
    todo = [top]
    while todo:
        tasklet = todo.pop()
        if id(tasklet) not in below:
            below.add(id(tasklet))
            todo += children.get(id(tasklet), ())


def _count(ring: Ring) -> str:
    states = Counter(tasklet.state for tasklet in ring.tasklets)
    words = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    if ring.current is ring.hub_tasklet:
        words += "; none has the turn"
    return words

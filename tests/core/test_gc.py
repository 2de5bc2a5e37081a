"""What ends when nobody can reach it any more, who ends it, and what the collector sees."""

import gc
import sys
import threading
import weakref

import pytest

from ringlet import GreenletExit, getcurrent, greenlet
from tests.core.paths import WAYS, crowd, every_way, park
from tests.support.marks import freed_where_dropped


class Log(list[str]):
    """What a test has seen; a body adds to it when it ends."""

    def body(self, name: str = "ended") -> None:
        try:
            park()
        finally:
            self.append(name)


def started(log: Log, name: str = "ended", kind: type[greenlet] = greenlet) -> greenlet:
    child = kind(lambda: log.body(name))
    child.switch()
    return child


# ---- The last reference


def test_losing_the_last_reference_ends_a_suspended_greenlet() -> None:
    log = Log()
    child = started(log)
    del child
    assert log == ["ended"]


def test_it_ends_by_greenlet_exit_below_whoever_dropped_it() -> None:
    seen = []

    def body():
        try:
            park()
        except GreenletExit as error:
            seen.append((str(error), getcurrent().parent))
            raise

    child = greenlet(body)
    child.switch()

    def dropper():
        nonlocal child
        child = None
        return getcurrent()

    other = greenlet(dropper)
    assert other.switch() is other
    assert seen == [("Killing the greenlet because all references have vanished.", other)]


def test_what_it_returns_is_ignored_and_what_it_raises_is_reported(monkeypatch) -> None:
    reported = []

    def body(outcome):
        try:
            park()
        except GreenletExit:
            if outcome is not None:
                raise outcome from None
        return "ignored"

    with monkeypatch.context() as patched:
        patched.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_value))
        for outcome in (None, KeyError("reported")):
            child = greenlet(body)
            child.switch(outcome)
            del child
    assert [repr(error) for error in reported] == ["KeyError('reported')"]
    reported.clear()


def test_a_pending_exception_survives_the_end_of_another_greenlet() -> None:
    log = Log()

    def fail():
        child = started(log)
        raise KeyError("kept", child)

    with pytest.raises(KeyError, match="kept"):
        fail()

    def unwind():
        child = started(log, "while unwinding")
        assert child
        raise KeyError("kept")

    with pytest.raises(KeyError, match="kept"):
        unwind()
    gc.collect()
    assert log == ["ended", "while unwinding"]


def test_one_that_stores_itself_lives_on_and_can_be_resumed() -> None:
    kept = []

    def body():
        try:
            park()
        except GreenletExit:
            kept.append(getcurrent())
        return park()

    child = greenlet(body)
    child.switch()
    reference = weakref.ref(child)
    del child
    assert kept[0] is reference()
    assert kept[0]
    assert kept.pop().switch("value") == "value"
    assert reference() is None


@pytest.mark.parametrize("kind", [greenlet, type("Sub", (greenlet,), {"__slots__": ("x",)})])
def test_one_that_comes_back_to_life_ends_as_often_as_it_is_dropped(kind) -> None:
    kept = []
    count = 0

    def body():
        nonlocal count
        for _ in range(3):
            try:
                park()
            except GreenletExit:
                kept.append(getcurrent())
                count += 1
        park()

    references = sys.getrefcount(kind)
    child = kind(body)
    child.switch()
    del child
    while kept:
        kept.pop()
    assert count == 3
    gc.collect()
    assert sys.getrefcount(kind) == references


def test_one_that_refuses_is_reported_and_kept_until_it_ends(capfd) -> None:
    refused = []

    def body():
        while True:
            try:
                park()
            except GreenletExit:
                refused.append(True)

    child = greenlet(body)
    child.switch()
    address = f"{id(child):x}"
    reference = weakref.ref(child)
    del child
    assert refused == [True]
    said = capfd.readouterr().err
    assert said.startswith("GreenletExit did not kill <ringlet.greenlet object at")
    assert address in said
    gc.collect()
    with pytest.raises(KeyError, match="stop"):
        reference().throw(KeyError("stop"))
    assert reference() is None


def test_one_that_was_never_started_ends_without_running() -> None:
    child = greenlet(lambda: pytest.fail("must not run"))
    reference = weakref.ref(child)
    del child
    assert reference() is None


def test_what_a_dropped_greenlet_was_given_is_given_back() -> None:
    class Value:
        pass

    value = Value()
    child = greenlet(lambda given, *, key: (park(), given, key))
    before = sys.getrefcount(value)
    child.switch(value, key=value)
    assert sys.getrefcount(value) > before
    del child
    assert sys.getrefcount(value) == before


@pytest.mark.parametrize("way", list(WAYS))
def test_all_kinds_of_frames_are_unwound(way) -> None:
    log = []

    def body():
        try:
            WAYS[way](park)
        finally:
            log.append(way)

    child = greenlet(body)
    child.switch()
    del child
    assert log == [way]


def test_evicted_ones_are_unwound_too() -> None:
    log = []

    def body(number):
        try:
            every_way(park)
        finally:
            log.append(number)

    children = [greenlet(body) for _ in range(5)]
    for number, child in enumerate(children):
        child.switch(number)
    with crowd():
        while children:
            del child
            child = children.pop()
        del child
    assert log == [4, 3, 2, 1, 0]


def test_dropping_many_in_another_greenlet() -> None:
    log = Log()
    children = [started(log) for _ in range(300)]
    greenlet(children.clear).switch()
    assert len(log) == 300


def test_a_chain_of_greenlets_ends_from_its_end() -> None:
    """Each is held by the frame of the one before only."""
    log = Log()

    def link(depth: int) -> None:
        child = greenlet(link, main)
        try:
            if depth:
                child.switch(depth - 1)
            main.switch()
        finally:
            log.append(str(depth))

    main = getcurrent()
    head = greenlet(link)
    head.switch(20)
    del head
    assert sorted(log, key=int) == [str(depth) for depth in range(21)]


def test_an_end_may_make_start_and_drop_others() -> None:
    log = Log()

    def body():
        try:
            park()
        finally:
            other = started(log, "inner")
            del other
            log.append("outer")

    child = greenlet(body)
    child.switch()
    del child
    assert log == ["inner", "outer"]


def test_a_dying_greenlet_may_switch_elsewhere_and_finish_later(capfd) -> None:
    log = []
    main = getcurrent()

    def body():
        try:
            park()
        finally:
            log.append("dying")
            main.switch()
            log.append("finished")

    child = greenlet(body)
    child.switch()
    reference = weakref.ref(child)
    del child
    assert log == ["dying"]
    assert "did not kill" in capfd.readouterr().err
    reference().switch()
    assert log == ["dying", "finished"]
    assert reference() is None


# ---- Cycles


@pytest.mark.parametrize("where", ["main", "greenlet"])
def test_a_suspended_greenlet_in_a_cycle_is_ended_by_the_collector(where) -> None:
    log = Log()

    def scene():
        child = started(log)
        child.me = child
        del child
        gc.collect()
        # In a greenlet the end waits for the collector: the next use of greenlets does it.
        greenlet(lambda: None).switch()
        return list(log)

    outcome = scene() if where == "main" else greenlet(scene).switch()
    assert outcome == ["ended"]


@pytest.mark.parametrize("where", ["main", "greenlet"])
def test_a_crowd_in_cycles_is_ended_by_the_collector(where) -> None:
    log = Log()

    def scene():
        for _ in range(200):
            child = started(log)
            child.me = [child]
        del child
        gc.collect()
        greenlet(lambda: None).switch()

    if where == "main":
        scene()
    else:
        greenlet(scene).switch()
    assert len(log) == 200


def test_greenlets_that_were_not_started_are_collected_with_their_cycle() -> None:
    class Node:
        pass

    node = Node()
    node.child = greenlet(node.__reduce__)
    node.sub = type("Sub", (greenlet,), {"run": lambda self: None})()
    node.sub.node = node
    reference = weakref.ref(node.child)
    del node
    gc.collect()
    assert reference() is None


def test_dead_greenlets_are_collected_with_their_cycle() -> None:
    child = greenlet(lambda: None)
    child.me = child
    child.switch()
    reference = weakref.ref(child)
    del child
    gc.collect()
    assert reference() is None


def test_what_a_suspended_greenlet_refers_to_stays() -> None:
    class Value:
        pass

    def body():
        value = Value()
        value.me = value
        references.append(weakref.ref(value))
        park()
        return value

    references = []
    child = greenlet(body)
    child.switch()
    gc.collect()
    value = child.switch()
    assert references[0]() is value


def test_the_collector_sees_what_a_greenlet_holds() -> None:
    def run():
        pass

    parent = greenlet(park)
    child = greenlet(run, parent)
    child.attribute = []
    held = gc.get_referents(child)
    assert run in held
    assert parent in held
    assert child.__dict__ in held
    assert gc.is_tracked(child)


def test_an_exception_being_handled_is_seen_by_the_collector() -> None:
    error = KeyError("handled")

    def body():
        try:
            raise error
        except KeyError:
            park()

    child = greenlet(body)
    child.switch()
    assert error in gc.get_referents(child)
    child.switch()
    assert error not in gc.get_referents(child)
    error.__traceback__ = None


def test_collections_may_happen_at_every_switch() -> None:
    thresholds = gc.get_threshold()
    total = 0

    def body(number):
        nonlocal total
        for _ in range(5):
            cycle = [number]
            cycle.append(cycle)
            every_way(park)
            total += cycle[0]

    children = [greenlet(body) for _ in range(20)]
    gc.set_threshold(1)
    try:
        for number, child in enumerate(children):
            child.switch(number)
        for _ in range(5):
            for child in children:
                child.switch()
    finally:
        gc.set_threshold(*thresholds)
    assert all(child.dead for child in children)
    assert total == 5 * sum(range(20))


# ---- Finalizers


def test_a_finalizer_of_a_subclass_comes_before_the_end() -> None:
    log = Log()

    class Watched(greenlet):
        def __del__(self):
            log.append(f"__del__ {bool(self)}")

    child = started(log, kind=Watched)
    del child
    assert log == ["__del__ True", "ended"]


def test_a_finalizer_of_a_subclass_in_a_cycle() -> None:
    log = Log()

    class Watched(greenlet):
        def __del__(self):
            log.append("__del__")

    child = started(log, kind=Watched)
    child.me = child
    del child
    gc.collect()
    assert log == ["__del__", "ended"]


def test_a_finalizer_may_switch() -> None:
    log = []
    other = greenlet(lambda: [log.append(park()) for _ in range(3)])
    other.switch()

    class Switching:
        def __del__(self):
            other.switch(self.name)

    for name in ("dropped", "in a cycle"):
        one = Switching()
        one.name = name
        one.me = one if name == "in a cycle" else None
        del one
        gc.collect()
    assert log == ["dropped", "in a cycle"]
    other.switch("last")


@freed_where_dropped
def test_a_finalizer_may_drop_greenlets_that_end_by_switching() -> None:
    log = Log()

    class Holder:
        def __del__(self):
            self.child = None
            log.append("holder")

    holder = Holder()
    holder.child = started(log)
    holder.me = holder
    del holder
    gc.collect()
    assert log == ["ended", "holder"]


def test_a_weak_reference_callback_may_switch() -> None:
    log = []
    other = greenlet(lambda: log.append(park()))
    other.switch()
    child = greenlet(lambda: None)
    reference = weakref.ref(child, lambda _: other.switch("called"))
    del child
    assert log == ["called"]
    assert reference() is None


# ---- Threads


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


@freed_where_dropped
def test_the_owner_ends_what_another_thread_drops() -> None:
    log = Log()
    children = [started(log) for _ in range(3)]
    in_thread(children.clear)
    assert log == []
    greenlet(lambda: None).switch()
    assert log == ["ended"] * 3


def test_the_owner_ends_what_the_collector_finds_in_another_thread() -> None:
    log = Log()
    child = started(log)
    child.me = child
    del child
    in_thread(gc.collect)
    assert log == []
    getcurrent().switch()
    assert log == ["ended"]


@freed_where_dropped
def test_a_doomed_one_can_be_rescued_by_a_weak_reference_until_then() -> None:
    log = Log()
    children = [started(log)]
    reference = weakref.ref(children[0])
    in_thread(children.clear)
    assert log == []
    assert not reference().dead
    getcurrent().switch()
    assert log == ["ended"]
    assert reference() is None

"""Attributes of one object that each tasklet has for itself."""

import gc
import threading
import weakref

import pytest

from ringlet import local, schedule, spawn


class Thing:
    pass


def test_each_tasklet_has_its_own():
    def work(value):
        assert not hasattr(here, "x")
        here.x = value
        schedule()
        seen.append(here.x)
        del here.x
        assert not hasattr(here, "x")

    seen: list = []
    here = local()
    here.x = "main"
    work_done = [spawn(work, value) for value in range(3)]
    for tasklet in work_done:
        tasklet.result()
    assert seen == [0, 1, 2]
    assert here.x == "main"
    assert here.__dict__ == {"x": "main"}


def test_what_is_missing_is_an_attribute_error():
    here = local()
    with pytest.raises(AttributeError):
        _ = here.x
    with pytest.raises(AttributeError, match="in this tasklet"):
        del here.x


def test_a_subclass_is_initialised_in_each():
    class Counter(local):
        kind = "counter"

        def __init__(self, start, step=1):
            made.append(start)
            self.value = start
            self.step = step

        @property
        def following(self):
            return self.value + self.step

        @following.setter
        def following(self, value):
            self.value = value - self.step

        def advance(self):
            self.value = self.following
            return self.value

    def work():
        return counter.advance(), counter.advance(), counter.kind

    made: list = []
    counter = Counter(10, step=5)
    assert made == [10]
    assert counter.advance() == 15
    assert spawn(work).result() == (15, 20, "counter")
    counter.following = 100
    assert counter.value == 95
    assert made == [10, 10]


def test_an_init_that_fails_is_tried_again():
    class Fragile(local):
        def __init__(self):
            attempts.append(1)
            if len(attempts) == 2:
                raise LookupError
            self.x = 1

    def work():
        with pytest.raises(LookupError):
            _ = fragile.x
        return fragile.x

    attempts: list = []
    fragile = Fragile()
    assert spawn(work).result() == 1


def test_arguments_need_an_init():
    with pytest.raises(TypeError, match="no arguments"):
        local(1)


def test_it_is_freed_when_the_tasklet_ends():
    def work():
        here.thing = Thing()
        freed.append(weakref.ref(here.thing))

    freed: list = []
    here = local()
    tasklet = spawn(work)
    tasklet.join()
    assert freed[0]() is None
    assert tasklet.finished


def test_it_is_freed_with_the_local():
    here = local()
    here.thing = Thing()
    freed = weakref.ref(here.thing)
    del here
    gc.collect()
    assert freed() is None


def test_threads_have_their_own():
    def work():
        seen.append(hasattr(here, "x"))
        here.x = 2
        seen.append(here.x)

    seen: list = []
    here = local()
    here.x = 1
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, 2]
    assert here.x == 1

"""Many threads that start, switch, throw at and drop greenlets, their own and each other's."""

import gc
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ringlet import GreenletError, GreenletExit, getcurrent, greenlet
from tests.core.paths import WAYS

THREADS = 4
STEPS = 250
ways = list(WAYS.values())


@dataclass
class World:
    """What all threads share."""

    pool: list[greenlet] = field(default_factory=list)
    started: int = 0
    ended: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def body(self, number: int) -> None:
        with self.lock:
            self.started += 1
        try:
            while True:
                ways[number % len(ways)](lambda: getcurrent().parent.switch(number))
        finally:
            with self.lock:
                self.ended += 1


class Player:
    """One thread's random moves."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.mine: list[greenlet] = []
        self.refused = 0

    def play(self) -> None:
        moves: list[Callable[[], None]] = [
            *([self.start] * 6),
            *([self.resume] * 8),
            *([self.share] * 3),
            *([self.drop] * 2),
            *([self.drop_shared] * 3),
            self.throw,
            self.resume_shared,
        ]
        for _ in range(STEPS):
            self.random.choice(moves)()

    def pick(self) -> greenlet | None:
        return self.mine[self.random.randrange(len(self.mine))] if self.mine else None

    def start(self) -> None:
        number = self.random.randrange(1000)
        child = greenlet(self.world.body)
        assert child.switch(number) == number
        self.mine.append(child)

    def resume(self) -> None:
        child = self.pick()
        if child is not None:
            child.parent = getcurrent()
            child.switch()

    def share(self) -> None:
        child = self.pick()
        if child is not None:
            self.world.pool.append(child)

    def drop(self) -> None:
        if self.mine:
            self.mine.pop(self.random.randrange(len(self.mine)))

    def drop_shared(self) -> None:
        """Perhaps the last reference to one of a thread that runs, or has ended."""
        with self.world.lock:
            dropped = self.world.pool[-1:]
            del self.world.pool[-1:]
        del dropped

    def throw(self) -> None:
        if self.mine:
            assert isinstance(self.mine.pop().throw(), GreenletExit)

    def resume_shared(self) -> None:
        """Refused, unless it is one's own."""
        for child in self.world.pool[:1]:
            try:
                child.switch()
            except GreenletError:
                self.refused += 1
        child = None  # type: ignore[assignment]


@pytest.mark.parametrize("seed", range(4))
def test_threads_play_with_each_others_greenlets(seed: int) -> None:
    world = World()
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            Player(world, 100 * seed + number).play()
        except BaseException as error:  # told in the main thread
            errors.append(error)

    for generation in range(2):  # the second finds what the threads of the first have left
        threads = [
            threading.Thread(target=run, args=(10 * generation + number,))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    world.pool.clear()
    gc.collect()
    assert world.started == world.ended > THREADS * STEPS / 10

"""Random programs of greenlets: what really happens is compared with what the model foretells.

    python -m tests.core.fuzz --steps 100000 --seed 1

does so many operations, the same ones for the same seed, in a child process. A program that turns
out otherwise than foretold, crashes or hangs is made as short as possible and printed. To do one
again, give `--replay` a file with its operations, one a line, as a crash prints them.
"""

import argparse
import faulthandler
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.core.model import SUSPENDED, Model
from tests.core.operations import Operation
from tests.core.programs import World

LENGTH = 60  # operations of one program
BATCH = 50  # programs with one seed
MOST_GREENLETS = 40  # of one program; more only make it slow
HANGS = 120  # seconds for a batch; one takes 2
HANGS_ALONE = 10  # seconds for one program
MISMATCH = 3  # how a process ends that has seen what was not foretold


class Pair:
    """A program under way, both in the world and in the model."""

    steps = 0  # of all programs
    record: int | None = None  # a file that the operations are written to

    def __init__(self) -> None:
        gc.disable()
        gc.collect(1)
        gc.freeze()
        if Pair.record is not None:
            os.ftruncate(Pair.record, 0)
            os.lseek(Pair.record, 0, os.SEEK_SET)
        self.stderr = sys.stderr
        self.world = World()
        self.model = Model()
        sys.unraisablehook = self.world.unraisable
        sys.stderr = self.world  # type: ignore[assignment]
        self.failed = False

    def step(self, *operation: Any) -> None:
        """Do an operation in both and compare."""
        todo = Operation(*operation)
        if Pair.record is not None:
            os.write(Pair.record, json.dumps(todo).encode() + b"\n")
        Pair.steps += 1
        try:
            self.compare(todo)
        except BaseException:
            self.failed = True
            raise

    def compare(self, todo: Operation) -> None:
        seen = self.world.step(todo)
        foretold = self.model.step(todo, seen)
        assert seen == foretold, difference(todo, seen, foretold)
        model = self.model
        states = {
            name: (
                each.state not in ("new", "dead"),
                each.state == "dead",
                each.parent.name if each.parent else None,
            )
            for name, each in model.held.items()
        }
        assert self.world.state() == states
        alive = {each.name for each in model.greenlets if not each.freed}
        unknown = {each.name for each in model.greenlets if each.was_garbage}
        seen_alive = self.world.alive()
        assert alive - unknown <= seen_alive <= alive, (seen_alive, alive, unknown)
        if model.held:
            name = sorted(model.held)[todo.b % len(model.held)]
            if model.held[name].kind != "main":  # at its thread's end it has no frames
                self.world.look_at_frames(name, model.held[name].state == SUSPENDED)

    def close(self) -> None:
        """End all threads, whoever is current in them, and look what is left."""
        try:
            if not self.failed:
                self.end()
        finally:
            sys.stderr = self.stderr
            sys.unraisablehook = sys.__unraisablehook__
            gc.unfreeze()

    def end(self) -> None:
        self.world.obedient = self.model.obedient = True
        while self.model.threads:
            thread = self.model.threads[0]
            at_home = thread.current is thread.main
            self.step("finish" if at_home else "home", 0, 0, 0, 0)
        self.world.close()
        self.model.close()
        left = {each.name for each in self.model.greenlets if not each.freed}
        unknown = {each.name for each in self.model.greenlets if each.was_garbage}
        seen_left = self.world.alive()
        assert left - unknown <= seen_left <= left, (seen_left, left, unknown)


def difference(todo: Operation, seen: list[Any], foretold: list[Any]) -> str:
    lines = [f"{todo}: seen, and foretold"]
    for number in range(max(len(seen), len(foretold))):
        pair = [each[number] if number < len(each) else "(nothing)" for each in (seen, foretold)]
        lines.append(f"{'  ' if pair[0] == pair[1] else '! '}{pair[0]}   {pair[1]}")
    return "\n".join(lines)


number = st.integers(0, 41)


class Programs(RuleBasedStateMachine):
    """One rule for each kind of operation; the likelier ones have several."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def teardown(self) -> None:
        self.pair.close()

    @rule(thread=number, kind=number, parent=number, style=number)
    def spawn(self, thread: int, kind: int, parent: int, style: int) -> None:
        if len(self.pair.model.greenlets) < MOST_GREENLETS:
            self.pair.step("spawn", thread, kind, parent, style)

    @rule(thread=number, to=number, other=number, shape=number)
    def switch(self, thread: int, to: int, other: int, shape: int) -> None:
        self.pair.step("switch", thread, to, other, shape)

    @rule(thread=number, to=number, other=number, shape=number)
    def switch_again(self, thread: int, to: int, other: int, shape: int) -> None:
        self.pair.step("switch", thread, to, other, shape)

    @rule(thread=number, to=number, error=number)
    def throw(self, thread: int, to: int, error: int) -> None:
        self.pair.step("throw", thread, to, 0, error)

    @rule(thread=number, to=number)
    def kill(self, thread: int, to: int) -> None:
        self.pair.step("throw", thread, to, 0, 0)

    @rule(thread=number, one=number)
    def drop(self, thread: int, one: int) -> None:
        self.pair.step("drop", thread, one, 0, 0)

    @rule(thread=number, one=number, parent=number)
    def set_parent(self, thread: int, one: int, parent: int) -> None:
        self.pair.step("parent", thread, one, parent, 0)

    @rule(thread=number, one=number, other=number, remove=number)
    def link(self, thread: int, one: int, other: int, remove: int) -> None:
        self.pair.step("link", thread, one, other, remove)

    @rule(thread=number, what=number, how=number)
    def finish(self, thread: int, what: int, how: int) -> None:
        self.pair.step("finish", thread, what, 0, how)

    @rule(thread=number)
    def collect(self, thread: int) -> None:
        self.pair.step("collect", thread, 0, 0, 0)

    @rule(thread=number, how=number)
    def trace(self, thread: int, how: int) -> None:
        self.pair.step("trace", thread, how, 0, 0)

    @rule()
    def begin_thread(self) -> None:
        if len(self.pair.model.threads) < 3:
            self.pair.step("thread", 0, 0, 0, 0)


def replay(operations: Iterable[list[Any]]) -> None:
    """Do one program."""
    faulthandler.dump_traceback_later(HANGS_ALONE, exit=True)
    pair = Pair()
    try:
        for operation in operations:
            pair.step(*operation)
    finally:
        pair.close()


def run(steps: int, seed: int) -> None:
    """Do random programs of so many steps in all."""
    begun, shown = time.monotonic(), 0
    while Pair.steps < steps:
        faulthandler.dump_traceback_later(HANGS, exit=True)
        hypothesis.core.global_force_seed = seed  # as --hypothesis-seed does
        run_state_machine_as_test(
            Programs,
            settings=hypothesis.settings(
                max_examples=min(BATCH, (steps - Pair.steps) // LENGTH + 1),
                stateful_step_count=LENGTH,
                deadline=None,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            ),
        )
        seed += 1
        if Pair.steps - shown >= 10_000:
            shown = Pair.steps
            took = time.monotonic() - begun
            print(f"{shown} steps in {took:.0f} s, next seed {seed}", flush=True)
    print(f"{Pair.steps} steps", flush=True)


def in_child(*options: str, quiet: bool = False) -> int:
    """How another process ends that does the work."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.core.fuzz", "--here", *options]
    return subprocess.run(command, stderr=subprocess.DEVNULL if quiet else None).returncode


def shortened(program: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Leave out whatever is not needed for the program to fail."""
    size = len(program)
    while size := size // 2:
        at = 0
        while at < len(program):
            shorter = program[:at] + program[at + size :]
            if fails(shorter):
                program = shorter
            else:
                at += size
    return program


def supervise(steps: int, seed: int) -> int:
    """Run in a child; after a crash or a hang find out which program it was."""
    with tempfile.TemporaryDirectory() as folder:
        record = os.path.join(folder, "record")
        status = in_child("--steps", str(steps), "--seed", str(seed), "--record", record)
        if status in (0, MISMATCH):
            return status

        def fails(program: list[str]) -> bool:
            with open(record, "w") as file:
                file.writelines(program)
            return in_child("--replay", record, quiet=True) not in (0, MISMATCH)

        with open(record) as file:
            program = file.readlines()
        print(f"the process ended with {status} in a program of {len(program)} steps", flush=True)
        if fails(program):
            program = shortened(program, fails)
            print("it fails again; as short as possible:")
        else:
            print("alone it does not fail:")
        print("".join(program), flush=True)
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", help="a file of operations to do instead")
    parser.add_argument("--here", action="store_true", help="in this process")
    parser.add_argument("--record", help="where the program under way is written to")
    options = parser.parse_args()
    if not options.here and not options.replay:
        print(f"{options.steps} steps from seed {options.seed}", flush=True)
        return supervise(options.steps, options.seed)
    if options.record:
        Pair.record = os.open(options.record, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if options.replay:
            with open(options.replay) as file:
                replay(list(map(json.loads, file)))
        else:
            run(options.steps, options.seed)
    except (AssertionError, ExceptionGroup):  # a group when programs fail in several ways
        traceback.print_exc()
        return MISMATCH
    finally:
        faulthandler.cancel_dump_traceback_later()
    return 0


if __name__ == "__main__":
    sys.exit(main())

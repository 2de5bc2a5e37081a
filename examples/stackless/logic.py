"""Digital logic: wires and gates, each gate a tasklet that waits for its inputs to change.

    ringlet run --stackless examples/stackless/logic.py 11 6

Adds two numbers with an adder that is built of AND, OR and XOR gates alone. A gate that has worked
out a new value sends it to its wire, which passes it on to the gates that listen there; when no
wire changes any more the circuit is at rest, and stackless.run() returns.
"""

import operator
import sys
from collections.abc import Callable

try:
    import stackless  # type: ignore[import-not-found]
except ImportError:
    from ringlet.compat import stackless

Logic = Callable[[int, int], int]


class Wire:
    """Has a value, 0 or 1, and tells those who listen when that changes."""

    def __init__(self) -> None:
        self.value = 0
        self.listeners: list[stackless.channel] = []

    def set(self, value: int) -> None:
        """Change the value."""
        if value == self.value:
            return
        self.value = value
        for listener in self.listeners:
            listener.send(self)


class Gate:
    """Works out the value of one wire from those of two others, again and again."""

    count = 0

    def __init__(self, logic: Logic, a: Wire, b: Wire) -> None:
        self.logic = logic
        self.inputs = (a, b)
        self.out = Wire()
        self.changes = stackless.channel()
        # Who changes a wire goes on, and tells all other listeners of it first.
        self.changes.preference = 1
        for wire in self.inputs:
            wire.listeners.append(self.changes)
        Gate.count += 1
        stackless.tasklet(self.work)()

    def work(self) -> None:
        """Follow the inputs, for ever."""
        for _wire in self.changes:
            a, b = self.inputs
            self.out.set(self.logic(a.value, b.value))


def half_adder(a: Wire, b: Wire) -> tuple[Wire, Wire]:
    """The sum of two bits, and what is to be carried."""
    return Gate(operator.xor, a, b).out, Gate(operator.and_, a, b).out


def full_adder(a: Wire, b: Wire, carry: Wire) -> tuple[Wire, Wire]:
    """The sum of three bits, and what is to be carried."""
    first, carry_1 = half_adder(a, b)
    total, carry_2 = half_adder(first, carry)
    return total, Gate(operator.or_, carry_1, carry_2).out


class Adder:
    """Adds numbers of so many bits; the result has one more."""

    def __init__(self, bits: int) -> None:
        self.a = [Wire() for _ in range(bits)]
        self.b = [Wire() for _ in range(bits)]
        self.out: list[Wire] = []
        carry = Wire()
        for a, b in zip(self.a, self.b, strict=True):
            total, carry = full_adder(a, b, carry)
            self.out.append(total)
        self.out.append(carry)
        stackless.run()

    def add(self, x: int, y: int) -> int:
        """Set the inputs, let the circuit come to rest, and read the outputs."""
        for wires, number in ((self.a, x), (self.b, y)):
            for place, wire in enumerate(wires):
                wire.set(number >> place & 1)
        stackless.run()
        return sum(wire.value << place for place, wire in enumerate(self.out))


def main(x: int = 11, y: int = 6) -> None:
    """Add two numbers, and print how they look on the wires."""
    bits = max(x.bit_length(), y.bit_length(), 1)
    adder = Adder(bits)
    total = adder.add(x, y)
    for number in (x, y, total):
        print(f"{number:>4} {number:0{bits + 1}b}")
    print(f"{Gate.count} gates")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

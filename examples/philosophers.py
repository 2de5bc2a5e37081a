"""Philosophers who dine, and what happens when all take the left fork first.

    python -m examples.philosophers
    python -m examples.philosophers --greedy

Each of them needs two forks to eat, and shares each with a neighbour. A greedy one takes the fork
on the left and then waits for the one on the right. When all do that at once everybody holds one
fork, and nobody will ever eat: ringlet reports it, and names the circle. The polite ones take the
fork with the lower number first, and that is enough.
"""

import argparse

from ringlet import Deadlock, Tasklet, schedule
from ringlet.sync import Lock

NAMES = ("Plato", "Hypatia", "Zeno", "Diotima", "Thales")


def dine(name: str, first: Lock, second: Lock, meals: int) -> None:
    """Think and eat in turn, so many times."""
    for meal in range(1, meals + 1):
        schedule()  # thinks
        with first:
            schedule()  # reaches across the table
            with second:
                print(f"{name} eats meal {meal}")


def dinner(meals: int, greedy: bool = False) -> None:
    """All philosophers at one table. Raises Deadlock when they wait for each other for ever."""
    forks = [Lock() for _ in NAMES]
    tasklets = []
    for seat, name in enumerate(NAMES):
        left, right = seat, (seat + 1) % len(NAMES)
        first, second = (left, right) if greedy else sorted((left, right))
        arguments = (name, forks[first], forks[second], meals)
        tasklets.append(Tasklet(dine, arguments, name=name).start())
    try:
        for tasklet in tasklets:
            tasklet.result()
    finally:
        for tasklet in tasklets:
            tasklet.kill(wait=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Philosophers dine.")
    parser.add_argument("--meals", type=int, default=2, metavar="N", help="of each (default: 2)")
    parser.add_argument("--greedy", action="store_true", help="all take the left fork first")
    options = parser.parse_args()
    try:
        dinner(options.meals, options.greedy)
    except Deadlock as deadlock:
        parser.exit(1, f"{deadlock}\n")


if __name__ == "__main__":
    main()

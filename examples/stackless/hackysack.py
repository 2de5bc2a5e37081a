"""Players stand in a circle and kick a hackysack to one another; there are several in the air.

    ringlet run --stackless examples/stackless/hackysack.py 5 2 20

5 players, 2 hackysacks, 20 kicks. Each player is a tasklet with a channel to catch with, and picks
whom to kick to at random, from a seed that is always the same.
"""

import random
import sys
from dataclasses import dataclass, field

try:
    import stackless  # type: ignore[import-not-found]
except ImportError:
    from ringlet.compat import stackless


@dataclass
class Circle:
    """Everybody who plays, and how many kicks are still to come."""

    kicks: int
    chance: random.Random
    players: "list[Player]" = field(default_factory=list)


class Player:
    """One of the circle."""

    def __init__(self, name: str, circle: Circle) -> None:
        self.name = name
        self.circle = circle
        self.kicks = 0
        self.inbox = stackless.channel()
        circle.players.append(self)
        stackless.tasklet(self.play)()

    def play(self) -> None:
        """Kick on whatever comes, to anybody else, as long as the game lasts."""
        for sack in self.inbox:
            if not self.circle.kicks:
                return
            self.circle.kicks -= 1
            self.kicks += 1
            others = [player for player in self.circle.players if player is not self]
            receiver = self.circle.chance.choice(others)
            # A kick must not wait for the receiver, who may be about to kick to us.
            stackless.tasklet(receiver.inbox.send)(sack)


def play(players: int, sacks: int, kicks: int) -> list[tuple[str, int]]:
    """Play until there have been so many kicks. Returns who has kicked how often."""
    circle = Circle(kicks, random.Random(1))
    for number in range(players):
        Player(f"player {number + 1}", circle)
    for number in range(sacks):
        stackless.tasklet(circle.players[number % players].inbox.send)(f"sack {number + 1}")
    stackless.run()
    return [(player.name, player.kicks) for player in circle.players]


def main(players: int = 5, sacks: int = 2, kicks: int = 20) -> None:
    """Play, and print the score."""
    score = play(players, sacks, kicks)
    for name, count in score:
        print(f"{name}: {count}")
    print(f"together: {sum(count for _, count in score)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

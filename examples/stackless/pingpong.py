"""Two players hand each other a ball, through a channel each.

    ringlet run --stackless examples/stackless/pingpong.py 3

A send to somebody who waits switches to him at once, so the lines come in the order of the game.
"""

import sys

try:
    import stackless  # type: ignore[import-not-found]
except ImportError:
    from ringlet.compat import stackless


def player(name: str, inbox: "stackless.channel", outbox: "stackless.channel") -> None:
    """Hit each ball that comes in, until it is None."""
    for strokes in iter(inbox.receive, None):
        print(f"{strokes}: {name}")
        outbox.send(strokes + 1)


def play(strokes: int) -> None:
    """Serve, be the net between two players, and take the ball away after so many strokes."""
    to_ping, to_pong, net = stackless.channel(), stackless.channel(), stackless.channel()
    stackless.tasklet(player)("ping", to_ping, net)
    stackless.tasklet(player)("pong", to_pong, net)
    stackless.run()
    ball, receiver, other = 1, to_ping, to_pong
    while ball <= strokes:
        receiver.send(ball)
        ball = net.receive()
        receiver, other = other, receiver
    for inbox in (to_ping, to_pong):
        inbox.send(None)


if __name__ == "__main__":
    play(int(sys.argv[1]) if len(sys.argv) > 1 else 6)

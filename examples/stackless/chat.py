"""Actors that talk in a chat room: each is a tasklet, and has nothing but its mailbox.

    ringlet run --stackless examples/stackless/chat.py

Nobody calls another's methods. An actor is sent a message, a method's name and arguments, and does
what it says when its turn comes; no two of its methods ever run at the same time.
"""

from collections import deque
from typing import Any

try:
    import stackless  # type: ignore[import-not-found]
except ImportError:
    from ringlet.compat import stackless


class Actor:
    """Does what it is sent, one thing after the other."""

    def __init__(self) -> None:
        self._mail: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._bell = stackless.channel()
        self._bell.preference = 0
        stackless.tasklet(self._live)()

    def tell(self, method: str, *arguments: Any) -> None:
        """Put a message into the mailbox. Never waits."""
        self._mail.append((method, arguments))
        if self._bell.balance < 0:
            self._bell.send(None)

    def retire(self) -> None:
        """End, once this message is read."""
        stackless.getcurrent().kill()

    def _live(self) -> None:
        while True:
            while not self._mail:
                self._bell.receive()
            method, arguments = self._mail.popleft()
            getattr(self, method)(*arguments)


class Room(Actor):
    """Passes on what is said to everybody else."""

    def __init__(self) -> None:
        super().__init__()
        self.guests: dict[str, Guest] = {}

    def join(self, guest: "Guest") -> None:
        """Somebody comes in."""
        self.guests[guest.name] = guest
        self.say(guest.name, "joins")

    def leave(self, name: str) -> None:
        """Somebody goes."""
        self.say(name, "leaves")
        self.guests.pop(name).tell("retire")

    def say(self, name: str, words: str) -> None:
        """Somebody says something."""
        for guest in self.guests.values():
            if guest.name != name:
                guest.tell("hear", name, words)


class Guest(Actor):
    """Hears what is said, and answers those who ask for it."""

    def __init__(self, name: str, room: Room) -> None:
        super().__init__()
        self.name = name
        self.room = room
        room.tell("join", self)

    def hear(self, name: str, words: str) -> None:
        """Somebody else has said something."""
        print(f"{self.name} hears {name}: {words}")
        if words == f"{self.name}?":
            self.room.tell("say", self.name, f"here I am, {name}")


def main() -> None:
    """An evening in the room."""
    room = Room()
    ada, grace, edsger = (Guest(name, room) for name in ("Ada", "Grace", "Edsger"))
    stackless.run()
    for guest, words in ((ada, "Grace?"), (edsger, "considered harmful")):
        room.tell("say", guest.name, words)
        stackless.run()
    for guest in (ada, grace, edsger):
        room.tell("leave", guest.name)
        stackless.run()
    room.tell("retire")
    stackless.run()
    print(f"{stackless.getruncount()} tasklet left")


if __name__ == "__main__":
    main()

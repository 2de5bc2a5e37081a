"""A chat server: telnet or netcat to it, give a name, and talk.

    python -m examples.chat --port 7000
    nc 127.0.0.1 7000

Each connection has a tasklet of its own that reads it line by line, as if nothing else were going
on. Each room has a channel: whoever says something sends it there, and the room's own tasklet
hands it to everybody in it. A member's lines wait in an outbox, so that one who does not read holds
nobody up; when the outbox is full, the server hangs up on him.
"""

import argparse
from collections.abc import Iterator
from contextlib import suppress

from ringlet import Channel, ChannelClosed, WouldBlock, spawn
from ringlet.io.socket import SHUT_RDWR, socket
from ringlet.servers import StreamServer

LONGEST_LINE = 2000  # bytes
OUTBOX = 200  # lines
HELP = "/join ROOM goes to another room, /who tells who is here, /quit leaves"


def lines(sock: socket) -> Iterator[str]:
    """Yield each line a client sends; end when it goes away, in the middle of a line or not."""
    pending = b""
    with suppress(ConnectionError):
        while chunk := sock.recv(4096):
            *complete, pending = (pending + chunk).split(b"\n")
            for line in complete:
                yield line.decode(errors="replace").strip()
            if len(pending) > LONGEST_LINE:
                return


class Member:
    """Somebody connected: a name, a socket, and the lines still to be sent there."""

    def __init__(self, name: str, sock: socket) -> None:
        self.name = name
        self._sock = sock
        self._outbox: Channel[str] = Channel(buffer=OUTBOX)
        self._writer = spawn(self._write)

    def tell(self, line: str) -> None:
        """Put a line into the outbox; never waits."""
        try:
            self._outbox.send_nowait(line)
        except WouldBlock:
            self.hang_up()
        except ChannelClosed:
            pass  # on the way out

    def hang_up(self) -> None:
        """End the connection from this side; the tasklet that reads it sees its end."""
        self._outbox.close()
        with suppress(OSError):
            self._sock.shutdown(SHUT_RDWR)

    def finish(self, seconds: float = 5) -> None:
        """Send what is in the outbox, then hang up."""
        self._outbox.close()
        self._writer.join(timeout=seconds)
        self.hang_up()

    def _write(self) -> None:
        with suppress(OSError):
            for line in self._outbox:
                self._sock.sendall(line.encode() + b"\r\n")


class Room:
    """A channel that everybody in the room talks into, and the tasklet that listens to it."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self._said: Channel[str] = Channel()
        spawn(self._hand_out)

    def say(self, line: str) -> None:
        """Send a line to everybody in the room."""
        self._said.send(line)

    def close(self) -> None:
        """End the room's tasklet."""
        self._said.close()

    def _hand_out(self) -> None:
        for line in self._said:
            for member in self.members:
                member.tell(line)


class Chat:
    """All rooms, and what happens on a connection from its first line to its last."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self._names: set[str] = set()

    def __call__(self, sock: socket, address: object) -> None:
        """Serve one connection; StreamServer runs this in a new tasklet for each."""
        said = lines(sock)
        name = self._ask_name(sock, said)
        if name is None:
            return
        self._names.add(name)
        member = Member(name, sock)
        where = "lobby"
        self._enter(member, where)
        try:
            for line in said:
                match line.split():
                    case []:
                        pass
                    case ["/quit"]:
                        break
                    case ["/who"]:
                        here = sorted(other.name for other in self._rooms[where].members)
                        member.tell(f"* here: {', '.join(here)}")
                    case ["/join", room]:
                        self._leave(member, where)
                        where = room
                        self._enter(member, where)
                    case [command, *_] if command.startswith("/"):
                        member.tell(f"* {HELP}")
                    case _:
                        self._rooms[where].say(f"{name}: {line}")
        finally:
            self._names.discard(name)
            self._leave(member, where)
            member.finish()

    def _ask_name(self, sock: socket, said: Iterator[str]) -> str | None:
        """A name nobody has yet; None if the client goes away before it has one."""
        with suppress(ConnectionError):
            sock.sendall(b"* your name?\r\n")
            for name in said:
                if name.isidentifier() and name not in self._names:
                    return name
                sock.sendall(b"* one word please, that nobody else here goes by; your name?\r\n")
        return None

    def _enter(self, member: Member, where: str) -> None:
        room = self._rooms.get(where) or self._rooms.setdefault(where, Room())
        room.members.append(member)
        room.say(f"* {member.name} comes into {where}")

    def _leave(self, member: Member, where: str) -> None:
        room = self._rooms[where]
        room.members.remove(member)
        if room.members:
            room.say(f"* {member.name} leaves")
        else:
            del self._rooms[where]
            room.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A chat server for telnet and netcat.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7000)
    options = parser.parse_args()
    server = StreamServer((options.host, options.port), Chat())
    try:
        server.start()
    except OSError as error:
        parser.exit(1, f"{error}\n")
    print("chatting on {}:{}, Ctrl-C ends it".format(*server.address), flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()

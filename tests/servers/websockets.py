"""A WebSocket client of wsproto's, whose every event can be looked at."""

from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from ringlet.io import socket

SECONDS = 20


class Client:
    """A client whose events are looked at one by one."""

    def __init__(
        self, address, *, path="/", subprotocols=(), extensions=(), headers=(), context=None
    ):
        self.sock = socket.create_connection(address, SECONDS)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.frames = WSConnection(ConnectionType.CLIENT)
        self._events = []
        request = Request(
            host="a.example",
            target=path,
            subprotocols=list(subprotocols),
            extensions=list(extensions),
            extra_headers=[(name.encode(), value.encode()) for name, value in headers],
        )
        self.send(request)

    def send(self, event):
        self.sock.sendall(self.frames.send(event))

    def event(self):
        """The next event; None at the end of the connection."""
        while not self._events:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.frames.receive_data(data)
            self._events += self.frames.events()
        return self._events.pop(0)

    def message(self):
        """The data of the next message, whatever pieces it comes in."""
        pieces = []
        while True:
            event = self.event()
            pieces.append(event.data)
            if event.message_finished:
                return pieces[0][:0].join(pieces)

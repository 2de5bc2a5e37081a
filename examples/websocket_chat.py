"""A chat in the browser: one page, and a WebSocket for everybody who looks at it.

    python -m examples.websocket_chat --port 8000

Open http://127.0.0.1:8000 in a few windows. The page and the WebSocket come from one WSGI
application, so `ringlet serve examples.websocket_chat:app` runs it, too.

Each WebSocket has a tasklet that reads it and one that writes it. In between is a channel of
messages to be sent, so that one who does not read holds nobody up; when it is full, he is out.
"""

import argparse
from collections.abc import Iterable
from contextlib import suppress
from wsgiref.types import StartResponse, WSGIEnvironment

from ringlet import Channel, ChannelClosed, WouldBlock, spawn
from ringlet.servers import WSGIServer
from ringlet.servers.websocket import WebSocket, WebSocketClosed, websocket

OUTBOX = 200  # messages

PAGE = b"""<!doctype html>
<meta charset="utf-8">
<title>Chat</title>
<ul id="said"></ul>
<form id="form"><input id="text" autofocus autocomplete="off"> <button>Say it</button></form>
<script>
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/chat`, "chat");
  const show = text => {
    const item = document.createElement("li");
    item.textContent = text;
    document.getElementById("said").append(item);
  };
  socket.onmessage = event => show(event.data);
  socket.onclose = event => show(`(closed: ${event.code} ${event.reason})`);
  document.getElementById("form").onsubmit = event => {
    event.preventDefault();
    const text = document.getElementById("text");
    socket.send(text.value);
    text.value = "";
  };
</script>
"""


class Chat:
    """Everybody who is here, by the channel of what is to be sent to them."""

    def __init__(self) -> None:
        self._outboxes: dict[Channel[str], WebSocket] = {}
        self._number = 0

    def __call__(self, ws: WebSocket) -> None:
        """Serve one client until it leaves."""
        self._number += 1
        name = f"guest {self._number}"
        outbox: Channel[str] = Channel(buffer=OUTBOX)
        self._outboxes[outbox] = ws
        spawn(write, ws, outbox)
        self.tell(f"{name} is here")
        try:
            for message in ws:
                if isinstance(message, str):
                    self.tell(f"{name}: {message}")
                else:
                    ws.close(1003, "this chat is for text")
        finally:
            del self._outboxes[outbox]
            outbox.close()
            self.tell(f"{name} has left")

    def tell(self, line: str) -> None:
        """Put a line into every outbox; never waits."""
        for outbox, ws in list(self._outboxes.items()):
            try:
                outbox.send_nowait(line)
            except WouldBlock:
                spawn(ws.close, 1008, "you do not read")
            except ChannelClosed:
                pass  # on the way out


def write(ws: WebSocket, outbox: Channel[str]) -> None:
    """Send what is in the outbox, until it or the WebSocket is closed."""
    try:
        for line in outbox:
            ws.send(line)
    except WebSocketClosed:
        outbox.close()


chat = websocket(Chat(), subprotocols=["chat"], max_message=2000)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page at /, the WebSocket at /chat."""
    if environ["PATH_INFO"] == "/chat":
        return chat(environ, start_response)
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [PAGE]
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"there is only / here\n"]


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    server = WSGIServer((options.host, options.port), app)
    server.start()
    print(f"the chat is at http://{options.host}:{server.address[1]}", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()

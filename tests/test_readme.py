"""README's programs do what README says."""

import re
from pathlib import Path

import pytest

from tests.support.isolated import run_isolated

README = Path(__file__).parents[1] / "README.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)

# The server of README never ends and has a fixed port: here it takes any port and one client.
ONE_CLIENT = """
import ringlet.io.socket
import ringlet.servers

class Server(ringlet.servers.StreamServer):
    def __init__(self, address, handler):
        super().__init__((address[0], 0), handler)

    def serve_forever(self):
        self.start()
        with ringlet.io.socket.create_connection(self.address) as client:
            client.sendall(b"echo")
            print(client.recv(100))
        self.stop()

ringlet.servers.StreamServer = Server
"""


@pytest.mark.parametrize(
    ("program", "output"),
    list(
        zip(
            PROGRAMS,
            ["hello, Ada\nhello, Grace\n", "[1, 2, 3, 4, 5]\n", "b'echo'\n"],
            strict=True,
        )
    ),
    ids=["channel", "generator", "server"],
)
def test_program(program, output):
    prelude = ONE_CLIENT if "StreamServer" in program else ""
    assert run_isolated(prelude + program).stdout == output


def test_pages_it_points_to_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert len(links) > 2
    assert [link for link in links if not (README.parent / link).exists()] == []

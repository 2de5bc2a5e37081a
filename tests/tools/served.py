"""`ringlet serve` in a process of its own, and clients that count what they lose."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

SECONDS = 30

PIDS = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{WORD} {os.getpid()}".encode()]
"""


def application(folder, word="first", name="shop.py"):
    """Write an application that says a word and its process."""
    # Another size each time: the times of two versions may be the same.
    text = f"WORD = {word!r}\n{PIDS}"
    temporary = folder / f"{name}.new"
    temporary.write_text(text)
    temporary.replace(folder / name)


class Served:
    """The running command."""

    def __init__(self, process):
        self.process = process
        self.pid = process.pid
        self.log = ""

    def until(self, pattern):
        """Read the log until it has `pattern`, which it gets rid of with all before it."""
        deadline = time.monotonic() + SECONDS
        while not (match := re.search(pattern, self.log)):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stderr], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} was not logged: {self.log}")
            data = os.read(self.process.stderr.fileno(), 65536).decode()
            if not data:
                raise AssertionError(f"{pattern!r} was not logged, and it ended: {self.log}")
            self.log += data
        self.log = self.log[match.end() :]
        return match

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Stop it; its status, and the rest of its log."""
        self.send(number)
        _, rest = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, self.log + rest.decode()


@contextmanager
def serving(folder, *arguments, app="shop:app", port=True, env=None, command=None, **popen):
    """Run the command until it serves; gives it, with `address` or `url` of its first address.

    `command` is how to start Python, if that is not all of it.
    """
    command = command or [sys.executable]
    where = ["--port", "0"] if port else []
    process = subprocess.Popen(
        [*command, "-W", "error", "-m", "ringlet", "serve", app, *where, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        **popen,
    )
    served = Served(process)
    try:
        line = process.stdout.readline().decode()
        match = re.match(r"serving \S+ on (https?://([^, ]*):(\d+)|unix:[^, ]*)", line)
        assert match, (line, process.communicate(timeout=SECONDS))
        served.url = match[1]
        served.line = line
        if match[3]:
            served.address = match[2].strip("[]"), int(match[3])
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()


class Lost(Exception):
    """A request that the server took and did not answer."""


class Client:
    """One connection at a time; requests in plain HTTP."""

    def __init__(self, address, *, keep=False, path="/"):
        self.address = address
        close = "" if keep else "Connection: close\r\n"
        self.request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{close}\r\n".encode()
        self.sock = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def connect(self):
        """False while nobody listens."""
        try:
            if isinstance(self.address, str):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(SECONDS)
                self.sock.connect(self.address)
            else:
                self.sock = socket.create_connection(self.address, SECONDS)
        except (ConnectionRefusedError, FileNotFoundError):
            self.close()
            return False
        return True

    def ask(self):
        """The body of an answer, None if nobody listens. Raises Lost."""
        if self.sock is None and not self.connect():
            return None
        data = b""
        try:
            self.sock.sendall(self.request)
            while b"\r\n\r\n" not in data:
                data += self._more()
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            while len(body) < length:
                body += self._more()
        except OSError as error:
            self.close()
            raise Lost(f"{error!r} after {data!r}") from error
        if re.search(rb"(?i)connection: close", head):
            self.close()
        assert head.startswith(b"HTTP/1.1 200 "), head
        return body.decode()

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the end")
        return data

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def ask(served, **options):
    """One request: the word and the pid of who answers."""
    client = Client(served.address, **options)
    try:
        word, pid = client.ask().split()
        return word, int(pid)
    finally:
        client.close()


class Crowd:
    """Clients in threads that ask without a pause until told to stop.

    `answers` counts them by word and process, `lost` says what was lost.
    """

    def __init__(self, address, *, fresh=2, kept=2, path="/"):
        self.answers = Counter()
        self.lost = []
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._clients = [Client(address, keep=n >= fresh, path=path) for n in range(fresh + kept)]
        self._threads = [
            threading.Thread(target=self._run, args=(client,)) for client in self._clients
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        for thread in self._threads:
            thread.join()
        for client in self._clients:
            client.close()

    @property
    def count(self):
        return sum(self.answers.values())

    def until(self, count):
        """Wait until there are so many answers more."""
        wanted = self.count + count
        deadline = time.monotonic() + SECONDS
        while self.count < wanted and time.monotonic() < deadline:
            self._done.wait(0.005)
        assert self.count >= wanted, (self.count, self.lost)

    def _run(self, client):
        while not self._done.is_set():
            try:
                answer = client.ask()
            except Lost as lost:
                with self._lock:
                    self.lost.append(str(lost))
                continue
            if answer is None:  # nobody listens any more
                return
            with self._lock:
                self.answers[tuple(answer.split())] += 1

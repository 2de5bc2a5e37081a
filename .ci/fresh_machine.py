"""The inner part of fresh-machine: give README's two commands to a shell as a person would.

Needs only the standard library of a bare Debian python3. Prints what it sees, and exits with
status 1 after saying what went wrong.
"""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8000/"
INSTALL_SECONDS = 300
SUITE_SECONDS = 900
STOP_SECONDS = 20


class Terminal:
    """A shell command on a terminal of its own, so that Ctrl-C means what it means to a person."""

    def __init__(self, command: str, folder: str) -> None:
        pid, self._fd = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execv("/bin/bash", ["bash", "-c", command])
        self._pid = pid
        self._seen: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # the last process on the terminal has gone
                return
            self._seen.append(data)

    @property
    def output(self) -> str:
        return b"".join(self._seen).decode(errors="replace").replace("\r\n", "\n")

    def press_ctrl_c(self) -> None:
        os.write(self._fd, b"\x03")

    def ended(self) -> bool:
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, seconds: float) -> int:
        """The exit status of the command, which has so long to end."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                fail(f"still running after {seconds} s", self)
            time.sleep(0.05)
        _, status = os.waitpid(self._pid, 0)
        self._reader.join(5)
        return os.waitstatus_to_exitcode(status)


def fail(why: str, terminal: Terminal | None = None) -> None:
    if terminal is not None:
        print(terminal.output[-20000:])
    print(f"FAILED: {why}")
    sys.exit(1)


def serving_process() -> int:
    """The process id of the server itself, below the shell that started it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"serve" in words and any(word.endswith(b"/ringlet") for word in words):
                return int(entry.name)
    raise LookupError("no process is called ringlet serve")


def wait_until_served(server: Terminal) -> None:
    deadline = time.monotonic() + INSTALL_SECONDS
    while time.monotonic() < deadline:
        if server.ended():
            fail("the first command ended instead of serving", server)
        try:
            urllib.request.urlopen(URL, timeout=5).close()
        except urllib.error.HTTPError as error:
            fail(f"the server answers {error.code}", server)
        except OSError:
            time.sleep(0.2)
        else:
            return
    fail(f"nothing serves {URL} after {INSTALL_SECONDS} s", server)


def load(server: Terminal) -> None:
    body = subprocess.run(["curl", "-fsS", URL], capture_output=True, text=True)
    if body.returncode != 0 or not body.stdout:
        fail(f"curl: {body.stderr or 'an empty answer'}", server)
    print(f"curl {URL}: {body.stdout.strip()!r}")
    report = subprocess.run(
        ["wrk", "-t1", "-c64", "-d5s", URL], capture_output=True, text=True
    ).stdout
    print(report.strip())
    if "Socket errors" in report or "Non-2xx" in report:
        fail("wrk saw errors", server)
    answered = re.search(r"(\d+) requests in", report)
    if answered is None or int(answered[1]) == 0:
        fail("wrk got no answer", server)


def check_server(command: str, folder: str) -> None:
    for manner in ("Ctrl-C", "SIGTERM"):
        began = time.monotonic()
        server = Terminal(command, folder)
        wait_until_served(server)
        print(f"serving {time.monotonic() - began:.0f} s after the command was given")
        load(server)
        if manner == "Ctrl-C":
            server.press_ctrl_c()
        else:
            os.kill(serving_process(), signal.SIGTERM)
        status = server.wait(STOP_SECONDS)
        if status != 0 or "Traceback" in server.output:
            fail(f"stopped by {manner}, the command exits {status}", server)
        print(f"stopped by {manner}: exit 0; it said:\n{server.output.strip()}")


def check_suite(command: str, folder: str) -> None:
    suite = Terminal(command, folder)
    status = suite.wait(SUITE_SECONDS)
    if status != 0:
        fail(f"the test command exits {status}", suite)
    print(suite.output.strip().splitlines()[-1])


def main(folder: str, serve: str, test: str) -> None:
    try:
        urllib.request.urlopen(URL, timeout=5).close()
    except OSError:
        pass
    else:
        fail(f"something else already serves {URL} on this machine")
    print(f"$ {serve}")
    check_server(serve, folder)
    print(f"$ {test}")
    check_suite(test, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Real servers, from Debian's packages: each in a folder of its own, at a port of its own.

Each is a context manager that gives the port. They listen to 127.0.0.1 only, keep nothing, and end
with the block. Run by root, those that refuse root run as the user that their package has made.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SECONDS = 50
#: A port is free when it is chosen, and may be taken when the server gets there.
ATTEMPTS = 5


def tool(name: str, *folders: str) -> str:
    """The path of a program that a package has installed."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    assert found, f"there is no {name}; tests/thirdparty needs the packages that .ci/run installs"
    return found


@contextmanager
def folder(owner: str | None = None) -> Iterator[Path]:
    """An empty folder, which is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="ringlet-", ignore_cleanup_errors=True) as name:
        if owner is not None:
            shutil.chown(name, owner)
        yield Path(name)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(
    place: Path,
    command: Callable[[int], Sequence[str]],
    stop: signal.Signals = signal.SIGTERM,
    user: str | None = None,
) -> Iterator[int]:
    """Run command(port) with its output in a file in `place`, and give the port once it listens."""
    said = place / "output"
    for _ in range(ATTEMPTS):
        port = free_port()
        with said.open("wb") as output:
            identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
            server = subprocess.Popen(
                command(port),
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **identity,  # type: ignore[call-overload]
            )
        try:
            if wait_until_it_listens(server, port):
                yield port
                return
        finally:
            end(server, stop)
    raise AssertionError(f"{server.args} did not come up:\n{said.read_text(errors='replace')}")


def wait_until_it_listens(server: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def end(server: "subprocess.Popen[bytes]", stop: signal.Signals) -> None:
    if server.poll() is None:
        server.send_signal(stop)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@contextmanager
def redis() -> Iterator[int]:
    with folder() as place:
        program = tool("redis-server")
        # The values that are empty keep it from writing to the disk.
        options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with running(place, lambda port: [program, "--port", str(port), *options]) as port:
            yield port


@contextmanager
def mariadb() -> Iterator[int]:
    user = "mysql" if os.getuid() == 0 else None
    with folder(user) as place:
        data = place / "data"
        common = ["--no-defaults", f"--datadir={data}", *([f"--user={user}"] if user else [])]
        make = [tool("mariadb-install-db"), *common, "--auth-root-authentication-method=normal"]
        subprocess.run([*make, "--skip-test-db"], check=True, capture_output=True, timeout=SECONDS)
        program = tool("mariadbd")

        def command(port: int) -> list[str]:
            options = ["--bind-address=127.0.0.1", f"--port={port}", "--max-connections=200"]
            files = [f"--socket={place}/socket", f"--pid-file={place}/pid"]
            return [program, *common, *options, *files, "--innodb-buffer-pool-size=8M"]

        # What it keeps is thrown away: it need not put that in order first.
        with running(place, command, signal.SIGKILL) as port:
            yield port


@contextmanager
def postgresql() -> Iterator[int]:
    user = "postgres" if os.getuid() == 0 else None
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    with folder(user) as place:
        data = place / "data"
        make = [tool("initdb", *folders), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"]
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        subprocess.run(
            [*make, "--locale=C", "--encoding=UTF8"],
            check=True,
            capture_output=True,
            timeout=SECONDS,
            cwd=place,
            **identity,  # type: ignore[call-overload]
        )
        program = tool("postgres", *folders)
        options = ["-c", "fsync=off", "-c", "max_connections=150", "-c", "shared_buffers=16MB"]

        def command(port: int) -> list[str]:
            return [
                program,
                "-D",
                str(data),
                "-h",
                "127.0.0.1",
                "-k",
                "",
                "-p",
                str(port),
                *options,
            ]

        # SIGINT ends it without waiting for clients to go.
        with running(place, command, signal.SIGINT, user) as port:
            yield port


SSHD_CONFIG = """\
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
"""


@contextmanager
def sshd() -> Iterator[tuple[int, str, Path]]:
    """Gives the port, the user's name, and the file with the user's key."""
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it puts itself in a jail
    with folder() as place:
        for name in ("host", "user"):
            make = [tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
            subprocess.run(make, check=True, timeout=SECONDS)
        config = place / "config"
        config.write_text(SSHD_CONFIG.format(place=place))
        program = tool("sshd")
        command = [program, "-D", "-e", "-f", str(config), "-p"]
        with running(place, lambda port: [*command, str(port)]) as port:
            yield port, pwd.getpwuid(os.getuid()).pw_name, place / "user"

"""`ringlet run`: a program finds everything as if Python had been started with it."""

import subprocess
import sys
import zipfile

import pytest

from ringlet.tools import run_command

SHOW = """
import sys
print(sys.argv, sys.path[0], __name__, vars(sys.modules["__main__"]) is globals())
"""

MOVES = """
import os
os.chdir("tree")
print(open(__file__).read() == __loader__.get_data(__file__).decode())
print(__file__, __loader__.path, sorted(globals()))
"""

WHAT_IS_GREENLET = """
import sys, ringlet.core
try:
    import greenlet
except ImportError:
    print("none")
else:
    print(greenlet.greenlet is ringlet.core.greenlet)
"""


@pytest.fixture
def folder(tmp_path):
    """A user's folder."""
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "which.py").write_text(WHAT_IS_GREENLET)
    (tmp_path / "fails.py").write_text("def f():\n    1 / 0\n\nf()\n")
    (tmp_path / "odd.py").write_text("class Odd(BaseException): pass\nraise Odd('no Exception')\n")
    (tmp_path / "moves.py").write_text(MOVES)
    (tmp_path / "typo.py").write_text("def f(:\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(7)\n")
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "__main__.py").write_text(SHOW)
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    return tmp_path


def ringlet(folder, *arguments):
    command = [sys.executable, "-W", "error", "-m", "ringlet", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)


def python(folder, *arguments):
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    "program",
    [
        ["show.py"],
        ["show.py", "--help", "-m", "x"],
        ["-m", "show", "--greenlet"],
        ["moves.py"],
        ["./moves.py"],
        ["tree", "argument"],
        ["tree.zip"],
        ["-m", "tree"],
    ],
    ids=" ".join,
)
def test_it_is_as_if_python_had_been_started_with_it(folder, program):
    ours, expected = ringlet(folder, "run", *program), python(folder, *program)
    assert (ours.stdout, ours.stderr) == (expected.stdout, expected.stderr)
    assert ours.returncode == expected.returncode == 0
    assert "True" in ours.stdout


def test_an_absolute_path(folder):
    path = str(folder / "show.py")
    assert ringlet("/", "run", path).stdout == python("/", path).stdout


@pytest.mark.parametrize(
    ("program", "status"), [("fails.py", 1), ("odd.py", 1), ("typo.py", 1), ("leaves.py", 7)]
)
def test_errors_look_and_end_as_they_would(folder, program, status):
    ours, expected = ringlet(folder, "run", program), python(folder, program)
    assert ours.returncode == expected.returncode == status
    assert ours.stderr == expected.stderr


def test_an_interrupt(folder):
    ours = ringlet(folder, "run", "interrupted.py")
    assert ours.returncode == 130
    assert ours.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "interrupted.py" in ours.stderr.splitlines()[1]


def test_greenlet_is_ringlets_only_where_asked_for(folder):
    assert ringlet(folder, "run", "--greenlet", "which.py").stdout == "True\n"
    assert ringlet(folder, "run", "--greenlet", "-m", "which").stdout == "True\n"
    assert ringlet(folder, "run", "which.py").stdout in ("False\n", "none\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.py"], "ringlet run: can't open 'missing.py': No such file or directory\n"),
        ([], "ringlet run: which program? see 'ringlet run --help'\n"),
    ],
)
def test_what_cannot_be_run_is_one_line(folder, arguments, says):
    ours = ringlet(folder, "run", *arguments)
    assert (ours.returncode, ours.stdout, ours.stderr) == (1, "", says)


def test_an_unknown_option_before_the_program_is_refused(folder):
    ours = ringlet(folder, "run", "--grenlet", "show.py")
    assert ours.returncode == 2
    assert "unrecognized arguments: --grenlet" in ours.stderr


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("run p.py --greenlet", "run p.py"),
        ("run --greenlet p.py -m x", "run --greenlet p.py"),
        ("run --greenlet -m x --greenlet y", "run --greenlet -m x"),
        ("run --greenlet", "run --greenlet"),
        ("run -m", "run -m"),
    ],
)
def test_options_after_the_program_belong_to_the_program(words, own):
    head, rest = run_command.split(words.split())
    assert head == own.split()
    assert head + rest == words.split()


MEET = """
import os, threading
meeting = threading.Barrier(51, timeout=20)
threads = [threading.Thread(target=meeting.wait) for _ in range(50)]
for thread in threads:
    thread.start()
print(len(os.listdir("/proc/self/task")) > 50)
meeting.wait()
for thread in threads:
    thread.join()
print(meeting.broken)
"""


@pytest.mark.parametrize(("options", "native"), [([], True), (["--patch"], False)])
def test_patched_threads_are_tasklets(folder, options, native):
    (folder / "meet.py").write_text(MEET)
    said = ringlet(folder, "run", *options, "meet.py")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"{native}\nFalse\n", "")


def test_what_was_patched_is_said(folder):
    said = ringlet(folder, "run", "--patch-report", "show.py")
    assert said.returncode == 0
    assert "patched: time, " in said.stderr
    assert "  threading." in said.stderr

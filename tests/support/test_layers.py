"""Each law of the layers notices what breaks it, and only that."""

from pathlib import Path

import pytest

from tests.support import layers


@pytest.fixture
def write(tmp_path: Path):
    """Writes files, given as path=text with slashes for folders; returns the folder above them."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("sched/hub.py", "from ringlet.errors import Deadlock"),
        ("sched/hub.py", "from ringlet.sched.clock import Clock"),
        ("sched/hub.py", "from .timers import Timers"),
        ("sched/hub.py", "from ringlet import core"),
        ("io/socket.py", "import ringlet.sched.wait"),
        ("tools/cli.py", "from ringlet.patch import install"),
        ("__init__.py", "from ringlet.channels import Channel"),
        ("sched/hub.py", "import ringletter, collections.abc"),
    ],
)
def test_downward_imports_pass(write, file, statement):
    assert layers.upward_imports(write({f"ringlet/{file}": statement})) == []


@pytest.mark.parametrize(
    ("file", "statement", "why"),
    [
        ("errors.py", "from ringlet.sched import hub", "sched is not below errors"),
        ("errors.py", "from .sched import hub", "sched is not below errors"),
        ("sched/hub.py", "from ..io import socket", "io is not below sched"),
        ("sched/hub.py", "from ringlet import io", "io is not below sched"),
        ("sched/hub.py", "from ringlet import spawn", "only users import the package's face"),
        ("sched/hub.py", "import ringlet", "only users import the package's face"),
        ("channels/channel.py", "from ringlet.sync import Lock", "sync is not below channels"),
        ("sched/hub.py", "from ringlet.generators import x", "generators is not below sched"),
        ("io/socket.py", "import ringlet.tools.cli", "tools is not below io"),
        ("patch/install.py", "import ringlet.compat", "compat is not below patch"),
        ("__init__.py", "from .servers import StreamServer", "the face does not show it"),
        ("web/app.py", "import ringlet.errors", "web stands in no layer"),
        ("sched/hub.py", "def f():\n    from ringlet.web import app", "web stands in no layer"),
    ],
)
def test_other_imports_are_breaches(write, file, statement, why):
    [breach] = layers.upward_imports(write({f"ringlet/{file}": statement}))
    assert breach.startswith(f"ringlet/{file}:")
    assert breach.endswith(why)


def test_star_imports(write):
    root = write({"ringlet/errors.py": "import os\nfrom os.path import *\n"})
    assert layers.star_imports(root) == ["ringlet/errors.py:2: star import"]


def test_late_imports(write):
    late = "import os\nclass A:\n    import sys\n    def f(self):\n        import re\n"
    root = write({"ringlet/errors.py": late, "ringlet/compat/greenlet.py": late})
    assert layers.late_imports(root) == [
        "ringlet/errors.py:5: ringlet.errors imports re inside a function"
    ]


def test_one_gate(write):
    root = write(
        {
            "ringlet/sched/wait.py": "from ringlet import _core\n_core.park()",
            "ringlet/io/socket.py": "from ringlet.sched import wait\nwait.park()",
            "ringlet/sync/lock.py": "from ringlet import _core\nlet_go = _core.park",
            "ringlet/sync/event.py": "from ringlet._core import park as let_go",
            "ringlet/sync/queue.py": "import ringlet._core\nringlet._core.park()",
        }
    )
    assert layers.gates(root) == [
        "ringlet/sync/event.py:1: imports park from the core",
        "ringlet/sync/lock.py:2: uses the core's park",
        "ringlet/sync/queue.py:2: uses the core's park",
    ]


def test_versions_belong_to_one_file(write):
    code = "/* PY_VERSION_HEX\n */\n// PY_VERSION_HEX\n#if PY_VERSION_HEX >= 0x030c0000\n#endif\n"
    root = write({"pystate.c": code, "greenlet.c": code, "tests/test.c": code})
    assert layers.versions_elsewhere(root) == ["greenlet.c:4: PY_VERSION_HEX"]


def test_cpus_belong_to_their_folder(write):
    code = "#ifdef __x86_64__\n#endif\n"
    root = write({"switch/amd64.c": code, "stack.h": code})
    assert layers.cpus_elsewhere(root) == ["stack.h:1: __x86_64__"]


def test_python_stays_above_the_line(write):
    root = write(
        {
            "switch/amd64.c": '#include "switch.h"\n#include <stdint.h>\n',
            "switch/switch.h": '#include "../greenlet.h"\n',
            "slab.c": '#include "slab.h"\n',
            "slab.h": '#include "slab.h"\n',
            "stack.h": "#  include <Python.h>\n",
            "greenlet.h": '#include "Python.h"\n',
        }
    )
    assert layers.python_below_the_line(root) == [
        "stack.h: includes Python.h by way of stack.h",
        "switch/amd64.c: includes Python.h by way of amd64.c > switch.h > greenlet.h",
        "switch/switch.h: includes Python.h by way of switch.h > greenlet.h",
    ]

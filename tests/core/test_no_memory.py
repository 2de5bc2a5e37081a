"""Each request for memory of what can be done with greenlets is refused in turn."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.isolated import SCRIPTS, run_isolated

COMPILER = os.environ.get("CC", "cc").split()


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that refuses memory, to be preloaded."""
    library = tmp_path_factory.mktemp("refuse") / "refuse.so"
    source = SCRIPTS / "refuse.c"
    subprocess.run([*COMPILER, "-O1", "-fPIC", "-shared", "-o", library, source], check=True)
    return library


@pytest.mark.no_leak_check("runs in a child process")
@pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="needs a C compiler")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another library is preloaded")
@pytest.mark.skipif(
    hasattr(sys, "gettotalrefcount") and sys.version_info < (3, 12),
    reason="debug builds of 3.11 abort in `raise` without memory, greenlets or not",
)
@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="an interpreter that can run without the GIL has an allocator of its own built in",
)
@pytest.mark.timeout(150)
@pytest.mark.parametrize("width", [1, 30])
@pytest.mark.parametrize("slots", [1, 64])
def test_without_memory_all_greenlets_stay_usable(refusing: Path, slots: int, width: int) -> None:
    env = {
        "LD_PRELOAD": str(refusing),
        "PYTHONMALLOC": "malloc",
        # CPython 3.15 ends the process when it has no memory to compile its first hot loop in.
        "PYTHON_JIT": "0",
        "RINGLET_SLOTS": str(slots),
        "RINGLET_HARD": os.environ.get("RINGLET_HARD", "0"),
    }
    said = run_isolated("without_memory.py", str(width), env=env, timeout=120).stdout
    assert " rounds\n" in said

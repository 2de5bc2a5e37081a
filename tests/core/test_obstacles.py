"""Where stacks cannot be switched, the import says so."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.isolated import run_isolated

SOURCE = Path(__file__).parent / "extensions" / "shadow_stack.c"


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="CET is x86-64's"
)
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer has to be preloaded first")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.no_leak_check("compiles a library")
def test_shadow_stacks_are_refused_at_import(tmp_path: Path) -> None:
    library = tmp_path / "shadow_stack.so"
    subprocess.run(["cc", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl"], check=True)
    outcome = run_isolated("import ringlet", env={"LD_PRELOAD": str(library)}, exit=1)
    error = outcome.stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError: ringlet cannot be used: this process runs with CET")
    assert "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off" in error

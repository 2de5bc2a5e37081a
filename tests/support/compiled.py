"""Extensions that tests compile for themselves."""

import importlib.util
import os
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType


def compile_extension(compiler: str, source: Path, folder: Path) -> Path:
    """Make an extension module of one source file, with warnings as errors; the file it is in.

    AssertionError with what the compiler said if it refuses.
    """
    __tracebackhide__ = True
    target = folder / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = {sysconfig.get_path(name) for name in ("include", "platinclude")}
    flags = ["-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    if os.uname().sysname == "Darwin":
        flags += ["-undefined", "dynamic_lookup"]
    done = subprocess.run(
        [
            compiler,
            *flags,
            *(f"-isystem{path}" for path in include),
            str(source),
            "-o",
            str(target),
        ],
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{compiler} refuses {source.name}:\n{done.stderr}"
    return target


def load_extension(path: Path) -> ModuleType:
    """Import an extension module from its file."""
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""Declares the one C extension; everything else about the project is in pyproject.toml."""

import os
import sys
from glob import glob


def obstacle() -> str | None:
    """Why the core cannot be built for this Python, or None if it can."""
    if sys.platform == "win32":
        return "its core switches C stacks as Linux and macOS lay them out; use WSL or a container"
    if sys.implementation.name != "cpython":
        return f"its core is made for CPython's frames, and this is {sys.implementation.name}"
    return None


if why_not := obstacle():
    sys.exit(f"ringlet cannot be built for this Python ({sys.platform}): {why_not}")

from setuptools import Extension, setup  # noqa: E402 - not needed to say that it cannot be built

# RINGLET_CFLAGS adds flags behind these; CI turns warnings into errors with it.
FLAGS = ["-std=c11", "-O2", "-fvisibility=hidden", "-fno-plt", "-fno-strict-aliasing"]

setup(
    ext_modules=[
        Extension(
            "ringlet._core",
            sources=sorted(glob("corelib/*.c") + glob("corelib/switch/*.c")),
            depends=sorted(
                glob("corelib/*.h") + glob("corelib/switch/*.h") + glob("src/ringlet/include/*.h")
            ),
            include_dirs=["corelib", "src/ringlet/include"],
            extra_compile_args=FLAGS + os.environ.get("RINGLET_CFLAGS", "").split(),
        )
    ]
)

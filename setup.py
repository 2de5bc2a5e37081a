"""Declares the one C extension; everything else about the project is in pyproject.toml."""

import os
from glob import glob

from setuptools import Extension, setup

# RINGLET_CFLAGS adds flags behind these; CI turns warnings into errors with it.
FLAGS = ["-std=c11", "-O2", "-fvisibility=hidden", "-fno-plt", "-fno-strict-aliasing"]

setup(
    ext_modules=[
        Extension(
            "ringlet._core",
            sources=sorted(glob("corelib/*.c") + glob("corelib/switch/*.c")),
            depends=sorted(glob("corelib/*.h") + glob("corelib/switch/*.h")),
            include_dirs=["corelib"],
            extra_compile_args=FLAGS + os.environ.get("RINGLET_CFLAGS", "").split(),
        )
    ]
)

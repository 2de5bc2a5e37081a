"""List a folder and everything below it, with a generator that has no `yield` in it.

    python -m examples.walk src --limit 10

`walk` gives what `os.walk` gives. The recursion is in `visit`, an ordinary function that calls
itself; `yield_` hands each folder out from however deep the calls are just then, and the walk
goes no further than somebody asks.
"""

import argparse
import os
from collections.abc import Iterator
from itertools import islice

from ringlet import generator, yield_

Folder = tuple[str, list[str], list[str]]


@generator
def walk(top: str | os.PathLike[str]) -> None:
    """Yield (folder, names of folders in it, names of files in it) for `top` and all below.

    A folder that cannot be read is left out, and links to folders are named but not followed. Take
    names out of the list of folders to keep the walk out of them.
    """
    visit(os.fspath(top))


def visit(folder: str) -> None:
    """Yield `folder`, then visit the folders in it."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except OSError:
        return
    yield_((folder, folders, files))
    for name in folders:
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            visit(path)


def files_below(top: str) -> Iterator[str]:
    """The path of every file below `top`, hidden folders aside, in alphabetical order."""
    for folder, folders, files in walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            yield os.path.join(folder, name)


def main() -> None:
    parser = argparse.ArgumentParser(description="List the files below a folder.")
    parser.add_argument("folder", nargs="?", default=".", help="where to begin (default: here)")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N files")
    options = parser.parse_args()
    for path in islice(files_below(options.folder), options.limit):
        print(path)


if __name__ == "__main__":
    main()

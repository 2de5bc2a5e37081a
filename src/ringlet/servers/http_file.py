"""`wsgi.file_wrapper`: files as response bodies, which the kernel sends where it can."""

import io
import os
import stat
import tempfile
from typing import Any
from wsgiref.util import FileWrapper


class BlockFileWrapper(FileWrapper):
    """`wsgi.file_wrapper`: the blocks of a file, 64 KiB each unless told otherwise.

    Returned as it is, a regular file goes out from its position on, to its end or as far as the
    Content-Length says, without passing through the process.
    """

    def __init__(self, filelike: Any, blksize: int = 65536) -> None:
        super().__init__(filelike, blksize)


def plain_file(file: Any) -> tuple[int, int] | None:
    """Position and length of the rest of a regular file whose descriptor has just its bytes.

    None for everything else. Many file-like objects have the `fileno` of a file that holds
    something else than what they read: the compressed form of it, for example.
    """
    if type(file) is tempfile._TemporaryFileWrapper:
        file = file.file
    if type(file) is io.BufferedReader:
        raw: Any = file.raw
    elif type(file) is io.BufferedRandom:
        raw = file.raw
    else:
        raw = file
    if type(raw) is not io.FileIO or raw.closed or not raw.readable():
        return None
    try:
        if type(file) is io.BufferedRandom:
            file.flush()
        found = os.fstat(raw.fileno())
        position = file.tell()
    except OSError:
        return None
    # What has no size, as files in /proc, has to be read to be known.
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return None
    return position, max(0, found.st_size - position)

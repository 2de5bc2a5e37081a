"""Files of which opening, reading, writing and closing park the tasklet, and not the thread.

What the kernel has in memory is read at once where it can tell, as Linux does for most file
systems; all else is done in the threads of to_thread(). Pipes, terminals and devices are waited for
by the poller.
"""

import io
from collections.abc import Callable
from typing import Any

from ringlet.io.attempts import is_on_disk
from ringlet.io.bufferedfile import BufferedRandom, BufferedReader, BufferedWriter, TextFile
from ringlet.io.rawfile import DiskFile, PipeFile, RawFile, UnbufferedPipeFile
from ringlet.io.threadpool import to_thread

__all__ = ("buffer_of", "open", "wrap")

#: Bytes read at once. A thread is asked for each, so they are more than in the standard library.
BUFFER_SIZE = 1 << 16


def open(  # noqa: A001
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
) -> Any:
    """Open `file`, a path or a descriptor, as the built-in open() does, with the same arguments.

    All methods of the file park only the calling tasklet. Several tasklets and threads may use it:
    one that calls while another is at it waits for its turn. Closing it wakes who waits to read
    from a pipe with OSError (EBADF). When a tasklet is killed, or its time is over, while a thread
    is at the file, the thread goes on, and how much it reads or writes is not known.

    Raises what open() raises.
    """
    raw_mode, is_text = _parse(mode, encoding, errors, newline)
    if buffering == 0 and is_text:
        raise ValueError("can't have unbuffered text I/O")
    if isinstance(file, int):
        raw = io.FileIO(file, raw_mode, closefd, opener)
    else:
        raw = to_thread(io.FileIO, file, raw_mode, closefd, opener)
    on_disk = is_on_disk(raw.fileno())
    if buffering == 0:
        return DiskFile(raw) if on_disk else UnbufferedPipeFile(raw)
    file = DiskFile(raw) if on_disk else PipeFile(raw)
    try:
        buffered = buffer_of(file, buffering if buffering > 1 else BUFFER_SIZE)
        if not is_text:
            return buffered
        by_line = buffering == 1 or (buffering < 0 and file.isatty())
        text: Any = TextFile(buffered, io.text_encoding(encoding), errors, newline, by_line)
        text.mode = mode
        return text
    except BaseException:
        file.close()
        raise


def wrap(
    file: Any,
    mode: str | None = None,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Any:
    """A file for the descriptor of `file`, a number or an open file, which stays open.

    It is for descriptors that others have made, the standard input for one: their mode, blocking
    or not, is left alone. Text files keep their mode, encoding and errors unless others are
    given; numbers are read as text. What `file` has in its buffer is not seen.

    Raises what open() raises.
    """
    if isinstance(file, int):
        fd = file
    else:
        fd = file.fileno()
        mode = mode or str(getattr(file, "mode", "r"))
        if "b" not in mode:
            encoding = encoding or getattr(file, "encoding", None)
            errors = errors or getattr(file, "errors", None)
    return open(fd, mode or "r", buffering, encoding, errors, newline, closefd=False)


def _parse(
    mode: str, encoding: str | None, errors: str | None, newline: str | None
) -> tuple[str, bool]:
    """What FileIO is to be told, and whether it is a text. Raises as the built-in open() does."""
    if not isinstance(mode, str):
        raise TypeError(f"open() argument 'mode' must be str, not {type(mode).__name__}")
    kinds = set(mode)
    if kinds - set("axrwb+t") or len(mode) > len(kinds):
        raise ValueError(f"invalid mode: {mode!r}")
    if {"t", "b"} <= kinds:
        raise ValueError("can't have text and binary mode at once")
    if not kinds & set("axrw"):
        raise ValueError(
            "Must have exactly one of create/read/write/append mode and at most one plus"
        )
    if len(kinds & set("axrw")) != 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    if "b" in kinds:
        for name, given in (("encoding", encoding), ("errors", errors), ("newline", newline)):
            if given is not None:
                words = "a newline" if name == "newline" else f"an {name}"
                raise ValueError(f"binary mode doesn't take {words} argument")
    return "".join(kind for kind in mode if kind in "axrw+"), "b" not in kinds


def buffer_of(raw: RawFile, size: int = BUFFER_SIZE) -> Any:
    """A buffer around `raw` that reads, writes or does both, as that does."""
    if raw.readable() and raw.writable():
        return BufferedRandom(raw, size)
    return BufferedReader(raw, size) if raw.readable() else BufferedWriter(raw, size)

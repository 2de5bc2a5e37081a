"""`ringlet run`: start a program as `python PROGRAM` would, on ringlet."""

import io
import os
import runpy
import sys
import zipfile
from collections.abc import Sequence
from traceback import walk_tb
from types import CodeType, ModuleType, TracebackType


class ProgramError(Exception):
    """There is no such program: one line for the user."""


def run_program(path: str, arguments: Sequence[str]) -> int:
    """Run the script, folder or zip file `path` as `__main__`; returns its exit status.

    It finds `sys.argv`, `sys.path` and `__main__` as if Python itself had been started with it.
    Its SystemExit is raised; any other uncaught exception goes to `sys.excepthook`, and the status
    is 1, or 130 for KeyboardInterrupt. Raises ProgramError if it cannot be read.
    """
    if os.path.isdir(path) or zipfile.is_zipfile(path):
        sys.path.insert(0, os.path.abspath(path))
        return _as_main("__main__", [path, *arguments])
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    main = ModuleType("__main__")
    main.__file__ = path
    vars(main).update(__builtins__=__builtins__, __cached__=None)
    try:
        code = _read(path)
        sys.modules["__main__"] = main
        exec(code, vars(main))
    except ProgramError:
        raise
    except Exception as error:
        return _report(error, 1)
    except KeyboardInterrupt as error:
        return _report(error, 130)
    return 0


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Run the module `name` as `python -m` does; returns as `run_program`."""
    sys.path.insert(0, os.getcwd())
    return _as_main(name, [name, *arguments])


def _as_main(name: str, argv: list[str]) -> int:
    """Run a module that Python's import system finds as `__main__`."""
    sys.argv = argv
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        # What `python -m` itself calls. Its public sister puts the old __main__ back at the end,
        # before threads and exit handlers of the program are through with theirs.
        runpy._run_module_as_main(name, alter_argv=name != "__main__")  # type: ignore[attr-defined]
    except Exception as error:
        return _report(error, 1)
    except KeyboardInterrupt as error:
        return _report(error, 130)
    return 0


def _read(path: str) -> CodeType:
    """The code of a script. Raises ProgramError, or SyntaxError."""
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        raise ProgramError(f"can't open {path!r}: {error.strerror}") from None
    return compile(source, path, "exec", dont_inherit=True)


def _report(error: BaseException, status: int) -> int:
    """Have an uncaught exception shown without the frames that are ours."""
    own = {__file__, runpy.__file__, "<frozen runpy>"}
    traceback: TracebackType | None = error.__traceback__
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename not in own or traceback is None:
            break
        traceback = traceback.tb_next
    sys.excepthook(type(error), error.with_traceback(traceback), traceback)
    return status

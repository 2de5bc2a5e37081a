"""`ringlet run`: start a program as `python PROGRAM` would, on ringlet."""

import io
import os
import runpy
import sys
import zipfile
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from traceback import walk_tb
from types import CodeType, ModuleType, TracebackType


class ProgramError(Exception):
    """There is no such program: one line for the user."""


def run_program(path: str, arguments: Sequence[str]) -> int:
    """Run the script (source text), folder or zip file `path` as `__main__`; returns its status.

    It finds `sys.argv`, `sys.path` and `__main__` as if Python itself had been started with it.
    Its SystemExit is raised; any other uncaught exception goes to `sys.excepthook`, and the status
    is 1, or 130 for KeyboardInterrupt. Raises ProgramError if it cannot be read.
    """
    if os.path.isdir(path) or zipfile.is_zipfile(path):
        sys.path.insert(0, os.path.abspath(path))
        return _as_main("__main__", [path, *arguments])
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    # Python makes it absolute: the program may change its folder, and look for files beside it.
    place = os.path.join(os.getcwd(), path)
    main = _new_main()
    main.__file__ = place
    main.__loader__ = SourceFileLoader("__main__", place)
    vars(main).update(__builtins__=__builtins__)
    if sys.version_info < (3, 15):
        vars(main).update(__cached__=None)
    try:
        code = _read(path, place)
        sys.modules["__main__"] = main
        exec(code, vars(main))
    except (ProgramError, SystemExit):
        raise
    except BaseException as error:
        return _report(error)
    return 0


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Run the module `name` as `python -m` does; returns as `run_program`."""
    sys.path.insert(0, os.getcwd())
    return _as_main(name, [name, *arguments])


def _as_main(name: str, argv: list[str]) -> int:
    """Run a module that Python's import system finds as `__main__`."""
    sys.argv = argv
    sys.modules["__main__"] = _new_main()
    try:
        # What `python -m` itself calls. Its public sister puts the old __main__ back at the end,
        # before threads and exit handlers of the program are through with theirs.
        runpy._run_module_as_main(name, alter_argv=name != "__main__")  # type: ignore[attr-defined]
    except SystemExit:
        raise
    except BaseException as error:
        return _report(error)
    return 0


def _new_main() -> ModuleType:
    """An empty `__main__`, with what Python puts there before it runs anything."""
    main = ModuleType("__main__")
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    return main


def _read(path: str, place: str) -> CodeType:
    """The code of the script `path`, which is at `place`. Raises ProgramError, or SyntaxError."""
    try:
        with io.open_code(place) as file:
            source = file.read()
    except OSError as error:
        raise ProgramError(f"can't open {path!r}: {error.strerror}") from None
    return compile(source, place, "exec", dont_inherit=True)


def _report(error: BaseException) -> int:
    """Have an uncaught exception shown without the frames that are ours; returns the status."""
    own = {__file__, runpy.__file__, "<frozen runpy>"}
    traceback: TracebackType | None = error.__traceback__
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename not in own or traceback is None:
            break
        traceback = traceback.tb_next
    sys.excepthook(type(error), error.with_traceback(traceback), traceback)
    return 130 if isinstance(error, KeyboardInterrupt) else 1

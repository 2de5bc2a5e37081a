"""Finding the application that a command line names, and telling what is wrong with it."""

import importlib
import os
import traceback
from collections.abc import Iterator
from typing import Any

from ringlet.tools.command import CommandError

__all__ = ("files_behind", "load", "load_module")


def load(app_name: str) -> Any:
    """The application that MODULE:APP names. Raises CommandError."""
    module_name, colon, path = app_name.partition(":")
    names = [*module_name.split("."), *path.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise CommandError(
            f"{app_name!r} is not of the form MODULE:APP: give a module as Python imports it, "
            "a colon and a name in it, as in examples.hello:app"
        )
    found: Any = load_module(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise CommandError(
                f"module {module_name} was imported but has no {path!r}: name the application in it"
            ) from None
    if not callable(found):
        raise CommandError(
            f"{app_name} is no application but {type(found).__name__}: "
            "name a callable that takes (environ, start_response)"
        )
    return found


def load_module(name: str) -> Any:
    """Import a module, and tell "there is none" from "it failed"."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself or a package around it; anything else is missing inside the module.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            hint = "leave out .py" if name.endswith(".py") else "check its spelling, or cd to it"
            raise CommandError(
                f"there is no module {name!r} in {os.getcwd()} or among the installed ones: {hint}"
            ) from None
        raise import_failure(name, error) from error
    except (Exception, SystemExit) as error:
        raise import_failure(name, error) from error


def import_failure(name: str, error: BaseException) -> CommandError:
    """What to say when a module was found and its own code raised `error`."""
    # By hand, for the traceback module may import what is missing once more to give advice.
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    what = f"{type(error).__name__}: {text}".strip().partition("\n")[0]
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen importlib")
        ]
        where = f"{frames[-1].filename}, line {frames[-1].lineno}"
    todo = "install what is missing" if isinstance(error, ModuleNotFoundError) else "correct that"
    return CommandError(f"module {name} failed while it was imported: {what} ({where}); {todo}")


def files_behind(error: BaseException) -> set[str]:
    """The files of whoever had a part in `error`: a change in one of them may better it."""
    return {
        os.path.abspath(name)
        for cause in _causes(error)
        for name in [
            getattr(cause, "filename", None) if isinstance(cause, SyntaxError) else None,
            *(frame.filename for frame in traceback.extract_tb(cause.__traceback__)),
        ]
        if name and os.path.exists(name)
    }


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What `error` was raised from, and that in turn."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
        yield error

"""Child processes as in the standard library, except that waiting parks the tasklet.

Every public name of the standard library's `subprocess` is here. Those that do not wait are the
very same objects.
"""

import subprocess as stdlib
from subprocess import PIPE, CalledProcessError, CompletedProcess
from typing import Any

from ringlet.io.process import Popen

# What differs from the standard library, and then everything.
__all__ = [
    "Popen",
    "call",
    "check_call",
    "check_output",
    "getoutput",
    "getstatusoutput",
    "run",
]
__all__ += [name for name in stdlib.__all__ if name not in __all__]


def __getattr__(name: str) -> Any:
    """What is the same there and here, such as constants."""
    return getattr(stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(
    *popenargs: Any,
    input: Any = None,  # noqa: A002
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **kwargs: Any,
) -> CompletedProcess[Any]:
    """Start a process, wait for its end, and return what it has said and its status.

    The other arguments are Popen's; `input` is written to its standard input. When the process has
    not ended after `timeout` seconds, or the wait ends by another exception, it is killed; the
    first raises TimeoutExpired with what it has said by then. With `check` a status other than 0
    raises CalledProcessError. Raises ValueError for what contradicts `input` or `capture_output`.
    """
    if input is not None:
        if kwargs.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        kwargs["stdin"] = PIPE
    if capture_output:
        if kwargs.get("stdout") is not None or kwargs.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        kwargs["stdout"] = kwargs["stderr"] = PIPE
    with Popen(*popenargs, **kwargs) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except BaseException:
            # Leaving the block waits for its end.
            process.kill()
            raise
    status = process.returncode
    if check and status:
        raise CalledProcessError(status, process.args, output=stdout, stderr=stderr)
    return CompletedProcess(process.args, status, stdout, stderr)


def call(*popenargs: Any, timeout: float | None = None, **kwargs: Any) -> int:
    """Start a process, wait for its end, and return its status.

    After `timeout` seconds it is killed, and TimeoutExpired raised.
    """
    with Popen(*popenargs, **kwargs) as process:
        try:
            return process.wait(timeout=timeout)
        except BaseException:
            process.kill()
            raise


def check_call(*popenargs: Any, **kwargs: Any) -> int:
    """call(), but raises CalledProcessError for another status than 0."""
    status = call(*popenargs, **kwargs)
    if status:
        args = kwargs.get("args")
        raise CalledProcessError(status, popenargs[0] if args is None else args)
    return 0


def check_output(*popenargs: Any, timeout: float | None = None, **kwargs: Any) -> Any:
    """What a process says on its standard output.

    As run() with check=True; raises ValueError for the arguments `stdout` and `check`.
    """
    for name in ("stdout", "check"):
        if name in kwargs:
            raise ValueError(f"{name} argument not allowed, it will be overridden.")
    if "input" in kwargs and kwargs["input"] is None:
        # None is nothing to read, of the kind that the pipes are of.
        texts = ("text", "encoding", "errors", "universal_newlines")
        kwargs["input"] = "" if any(kwargs.get(name) for name in texts) else b""
    return run(*popenargs, stdout=PIPE, timeout=timeout, check=True, **kwargs).stdout


def getstatusoutput(
    cmd: Any, *, encoding: str | None = None, errors: str | None = None
) -> tuple[int, str]:
    """The status and the output, standard error included, of a command of the shell."""
    try:
        data = check_output(
            cmd, shell=True, text=True, stderr=stdlib.STDOUT, encoding=encoding, errors=errors
        )
        status = 0
    except CalledProcessError as error:
        data, status = error.output, error.returncode
    return status, data.removesuffix("\n")


def getoutput(cmd: Any, *, encoding: str | None = None, errors: str | None = None) -> str:
    """The output, standard error included, of a command of the shell."""
    return getstatusoutput(cmd, encoding=encoding, errors=errors)[1]

"""The child's side: runs one function of one question and prints what it returns.

``python -m tests.perf.worker MODULE:FUNCTION JSON`` pins itself to the measuring core, calls
``FUNCTION(**parameters)`` with the decoded JSON object and prints the result as one line of JSON.
A function that serves prints its port with that line instead, and never returns.
"""

import importlib
import json
import os
import sys

from tests.perf import children


def main(target: str, parameters: str) -> None:
    """Runs the one function named on the command line."""
    os.sched_setaffinity(0, {children.cores()[0]})
    module, _, name = target.partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(parameters))
    print(json.dumps(result), flush=True)
    # A hundred thousand suspended greenlets need not be unwound one by one.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

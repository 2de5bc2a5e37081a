"""What the programs here share: a hundred threads, each of which does something slow.

None of them knows of ringlet: they are programs as anybody may have.
"""

import json
import os
import threading
import time

COUNT = 100
SECONDS = 50


def crowd(slow, at_once, release, threads=COUNT):
    """Have `threads` threads call slow(number), and print what was seen of that.

    at_once() says how many operations are under way, of COUNT that are to be; release() then lets
    them end. Nothing ends before that, so they can only be so many if none makes others wait.
    """
    results, errors = [], []

    def one(number):
        try:
            results.append(slow(number))
        except BaseException as error:
            errors.append(repr(error))
            raise

    group = [threading.Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in group:
        thread.start()
    most, deadline = 0, time.monotonic() + SECONDS
    while most < COUNT and not errors and time.monotonic() < deadline:
        time.sleep(0.01)
        most = max(most, at_once())
    native = len(os.listdir("/proc/self/task"))
    release()
    for thread in group:
        thread.join()
    print(json.dumps({"at_once": most, "native": native, "results": results, "errors": errors}))

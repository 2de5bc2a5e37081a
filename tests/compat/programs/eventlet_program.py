"""A day of eventlet: green threads, pools, piles, queues, time-outs, threads, sockets and WSGI."""

# ruff: noqa: E402 - eventlet asks for its patches before any other import

import warnings

warnings.simplefilter("ignore")  # eventlet says at every import that it is deprecated

import eventlet

eventlet.monkey_patch()

from tests.compat.programs import eventlet_outside, eventlet_tasks
from tests.compat.programs.transcript import Transcript


def main():
    t = Transcript()
    for section in (*eventlet_tasks.SECTIONS, *eventlet_outside.SECTIONS):
        section(t)
    t.close()


if __name__ == "__main__":
    main()

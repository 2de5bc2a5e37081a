"""A day of gevent: greenlets, pools, queues, events, time-outs, threads, sockets and servers."""

# ruff: noqa: E402 - gevent asks for its patches before any other import

from gevent import monkey

monkey.patch_all()

from tests.compat.programs import gevent_outside, gevent_tasks, gevent_waiting
from tests.compat.programs.transcript import Transcript


def main():
    t = Transcript()
    parts = (gevent_tasks, gevent_waiting, gevent_outside)
    for section in (section for part in parts for section in part.SECTIONS):
        section(t)
    t.close()


if __name__ == "__main__":
    main()

"""Scheduling: tasklets, the hub of each thread, timers, and the one gate to block."""

from ringlet.sched.dumping import dump
from ringlet.sched.environment import obey
from ringlet.sched.future import Future
from ringlet.sched.hub import Hub, call_threadsafe
from ringlet.sched.lifecycle import install
from ringlet.sched.local import local
from ringlet.sched.tasklet import (
    Tasklet,
    current,
    excepthook,
    main,
    run,
    spawn,
    spawn_later,
    tasklets,
)
from ringlet.sched.timeout import shield, timeout
from ringlet.sched.wait import schedule, sleep

__all__ = (
    "Future",
    "Hub",
    "Tasklet",
    "call_threadsafe",
    "current",
    "dump",
    "excepthook",
    "local",
    "main",
    "run",
    "schedule",
    "shield",
    "sleep",
    "spawn",
    "spawn_later",
    "tasklets",
    "timeout",
)

install()
obey()

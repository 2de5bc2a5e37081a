"""To look into a program that runs: what every tasklet does, in which order, and for how long."""

from ringlet.sched.dumping import dump, dump_on_signal
from ringlet.sched.watchdog import Watchdog, watchdog
from ringlet.tools.tracing import Event, Trace, trace

__all__ = ("Event", "Trace", "Watchdog", "dump", "dump_on_signal", "trace", "watchdog")

"""To look into a program that runs: what every tasklet does, and who holds up the others."""

from ringlet.sched.dumping import dump, dump_on_signal
from ringlet.sched.watchdog import Watchdog, watchdog

__all__ = ("Watchdog", "dump", "dump_on_signal", "watchdog")

"""To look into a program that runs: what every tasklet does, and who holds up the others."""

from ringlet.sched.dump import dump, dump_on_signal

__all__ = ("dump", "dump_on_signal")

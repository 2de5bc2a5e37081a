"""What a program does for whoever has set an environment variable, without a change to its code."""

import os
import signal
from collections.abc import Mapping

from ringlet import _core
from ringlet.sched.dumping import dump_on_signal
from ringlet.sched.threads import current_thread, main_thread
from ringlet.sched.watchdog import watchdog

__all__ = ("obey",)


def obey(environment: Mapping[str, str] = os.environ) -> None:
    """Do what the environment asks for. Called once, on import.

    RINGLET_DUMP is a signal, by its name with or without SIG or by its number, that dump() shall
    answer, with where each tasklet was started; only the main thread can see to that, so elsewhere
    it is not done. RINGLET_WATCHDOG is
    the number of seconds for a watchdog(). Raises ValueError for what makes no sense.
    """
    signal_name = environment.get("RINGLET_DUMP", "")
    if signal_name and current_thread() is main_thread():
        dump_on_signal(_signal_number(signal_name))
        _core.note_origins(True)
    seconds = environment.get("RINGLET_WATCHDOG", "")
    if seconds:
        try:
            watchdog(float(seconds))
        except ValueError:
            raise ValueError(
                f"RINGLET_WATCHDOG={seconds} is no number of seconds greater than 0"
            ) from None


def _signal_number(name: str) -> int:
    if name.isdecimal():
        number = int(name)
    else:
        number = getattr(signal, f"SIG{name.upper().removeprefix('SIG')}", 0)
    if number not in signal.valid_signals():
        raise ValueError(f"RINGLET_DUMP={name} names no signal; SIGQUIT or SIGUSR1 would")
    return number

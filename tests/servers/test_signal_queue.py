"""Signals that are read."""

import os
import select
import signal

from ringlet.servers.signal_queue import SignalQueue, signal_name


def test_signals_are_read_in_the_order_they_came():
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)
    with SignalQueue((signal.SIGUSR1, signal.SIGUSR2)) as queue:
        assert queue.take() == []
        for number in (signal.SIGUSR2, signal.SIGUSR1):
            os.kill(os.getpid(), number)
            signal.getsignal(number)  # handlers run between two steps of the program
        assert select.select([queue.fd], [], [], 20)[0]
        assert queue.take() == [signal.SIGUSR2, signal.SIGUSR1]
        assert queue.take() == []
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)) == before


def test_names():
    assert signal_name(signal.SIGKILL) == "SIGKILL"
    assert signal_name(63) == "signal 63"

"""Waiting for nothing but the clock and other threads."""

import os
import select

__all__ = ("IdlePoller",)


class IdlePoller:
    """A poller of no descriptors: poll() ends by time, or when its own eventfd is written to."""

    def __init__(self) -> None:
        self.wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self.wakeup_fd, select.POLLIN)

    @property
    def waits(self) -> bool:
        """Whether any tasklet waits for a descriptor."""
        return False

    def poll(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds, or without end."""
        # Milliseconds, rounded up: a timer must not be found to be not yet due.
        if self._poll.poll(None if timeout is None else int(timeout * 1000 + 0.999)):
            os.eventfd_read(self.wakeup_fd)

    def wakeup(self) -> None:
        """End a poll() under way, or the next one. From any thread and any signal handler."""
        os.eventfd_write(self.wakeup_fd, 1)

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.wakeup_fd)

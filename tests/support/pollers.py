"""Every kind of poller that the tests of waiting run on."""

import selectors
from collections.abc import Callable

from ringlet.sched.pollers import READ, WRITE, Poller, SelectorPoller, import_selectors2


class AroundAnother:
    """What reports in its own way what another one finds."""

    def __init__(self):
        self.inner = SelectorPoller(selectors.DefaultSelector())
        self.arm = self.inner.arm
        self.forget = self.inner.forget
        self.close = self.inner.close


class OnceOnlyPoller(AroundAnother):
    """Reports each descriptor once and then not again, as the contract allows."""

    def poll(self, timeout):
        ready = self.inner.poll(timeout)
        for fd, _ in ready:
            self.inner.forget(fd)
        return ready


class NoisyPoller(AroundAnother):
    """Reports what nobody asked for, and everything for both directions."""

    def poll(self, timeout):
        ready = self.inner.poll(timeout)
        return [(fd, READ | WRITE) for fd, _ in ready] + [(0, READ), (100_000, WRITE), (-1, READ)]


POLLERS: dict[str, Callable[[], Poller | None]] = {
    "native": lambda: None,
    "select": lambda: SelectorPoller(selectors.SelectSelector()),
    "poll": lambda: SelectorPoller(selectors.PollSelector()),
    "epoll": lambda: SelectorPoller(selectors.EpollSelector()),
    "once": OnceOnlyPoller,
    "noisy": NoisyPoller,
    "selectors2": lambda: SelectorPoller(import_selectors2().DefaultSelector()),
}

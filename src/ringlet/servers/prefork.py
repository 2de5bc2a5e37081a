"""Workers: processes forked from one parent, which keeps as many of them running as are wanted.

The parent does nothing but that. It waits in poll(), without threads, hub or tasklets, so that a
fork at any moment copies nothing that is half done; signals only leave a byte for it to read.
"""

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ringlet.servers.reload import FileWatch
from ringlet.servers.signal_queue import SignalQueue, signal_name
from ringlet.servers.worker import Message, ParentLink, read_messages, run_child

__all__ = ("Supervisor",)

logger = logging.getLogger("ringlet.serve")

#: Seconds a worker that was told to stop gets on top of its own grace, before it is killed.
LAST_SECONDS = 3.0
#: A worker that dies within so many seconds of its start is started again only after a pause,
#: which doubles each time, between these two.
QUICK_DEATH = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
#: Signs of life in the time after which a worker is taken to hang.
BEATS = 4
#: Seconds between two looks at the files that are watched.
WATCH_SECONDS = 0.5

STOP = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*STOP, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD)


@dataclass(eq=False)
class Child:
    """What the parent knows of a worker."""

    pid: int
    #: Where its messages come from; None once it has closed its end.
    link: socket.socket | None
    #: When it was forked, by the monotonic clock, and by the wall's.
    begun: float
    begun_at: float
    #: It serves.
    ready: bool = False
    #: It is to be replaced.
    stale: bool = False
    #: When it was last heard of, by the monotonic clock.
    heard: float = 0.0
    #: When it is killed, after it was told to stop.
    deadline: float | None = None
    #: Why it cannot serve, in its own words.
    failure: str | None = None
    #: A change in one of its files may better that.
    mendable: bool = False
    #: What has come of a message that is not whole yet.
    unread: bytearray = field(default_factory=bytearray)


class Supervisor:
    """Keeps `count` workers running. Each is a forked child that calls `work(link)`.

    `work` gets everything ready, calls `link.ready()`, serves until SIGTERM, and returns the
    child's exit status; `link.failed(why)` says that it cannot. run() returns once all have ended:

    - SIGTERM, SIGINT: calls `before_stop()`, sends the workers SIGTERM, and kills those that have
      not ended `grace` seconds later. The second one kills them at once.
    - SIGHUP: replaces the workers, one after the other. A new one is ready before an old one is
      told to stop; if it does not get ready, the old ones stay.
    - SIGTTIN, SIGTTOU: one worker more, one less.

    Of these signals a worker minds SIGTERM only; a terminal sends some to all of them.

    A worker that dies is replaced. `when_ready()` is called once, when all are ready for the first
    time. With `reload` the files a worker has imported, and those in `watched`, are watched, and a
    change is like SIGHUP. A worker that is not ready after `boot_timeout` seconds is killed. One
    whose tasklets have had no turn for `hang_timeout` seconds, None for never, shows its stack on
    standard error, is killed and replaced.

    For the main thread of a program without other threads. Everything is logged to "ringlet.serve"
    with the worker's pid and the reason.
    """

    def __init__(
        self,
        work: Callable[[ParentLink], int],
        count: int,
        *,
        grace: float = 30.0,
        boot_timeout: float = 60.0,
        hang_timeout: float | None = None,
        reload: bool = False,
        watched: Iterable[str] = (),
        when_ready: Callable[[], object] = lambda: None,
        before_stop: Callable[[], object] = lambda: None,
    ) -> None:
        if count < 1:
            raise ValueError(f"{count} workers would serve nobody: give 1 or more")
        self.count = count
        #: Why the workers could not begin, when run() returns 1.
        self.failure: str | None = None
        self._work = work
        self._grace = grace
        self._boot_timeout = boot_timeout
        self._hang_timeout = hang_timeout
        self._watch = FileWatch(watched) if reload else None
        self._when_ready = when_ready
        self._before_stop = before_stop
        self._children: list[Child] = []
        self._was_ready = False
        self._stopping = False
        #: With reload, nothing is started before a file has changed.
        self._awaits_change = False
        #: Not to start a worker before; and the pause that led to it.
        self._not_before = 0.0
        self._pause = 0.0

    def run(self) -> int:
        """Supervise until told to stop; the exit status. See the class."""
        with SignalQueue(HANDLED) as signals:
            self._signals = signals
            while True:
                self._manage()
                if self._stopping and not self._children:
                    return 0 if self.failure is None else 1
                self._wait()

    # --- what there should be -------------------------------------------------------------------

    def _manage(self) -> None:
        """Bring the workers nearer to what they should be, by what is known now."""
        now = time.monotonic()
        for child in self._children:
            if child.deadline is not None and now >= child.deadline:
                logger.warning("worker %d has not ended in time and is killed", child.pid)
                child.deadline = now + LAST_SECONDS
                _send(child, signal.SIGKILL)
        if self._stopping:
            return
        live = [child for child in self._children if child.deadline is None]
        for child in live:
            if not child.ready and now - child.begun >= self._boot_timeout:
                child.failure = f"it was not ready after {self._boot_timeout:g} s"
                child.deadline = now + LAST_SECONDS
                _send(child, signal.SIGKILL)
            elif self._hangs(child, now):
                logger.error(
                    "worker %d has let no tasklet run for %g s and is killed",
                    child.pid,
                    self._hang_timeout,
                )
                child.deadline = now + LAST_SECONDS
                _send(child, signal.SIGABRT)  # which shows where it is
        booting = [child for child in live if not child.ready]
        ready = [child for child in live if child.ready]
        ready.sort(key=lambda child: (not child.stale, child.begun))
        if len(ready) > self.count:
            for child in ready[: len(ready) - self.count]:
                self._stop(child, "is replaced" if child.stale else "is one too many")
        elif now >= self._not_before and not self._awaits_change:
            missing = self.count - len(live)
            if missing <= 0 and not booting and any(child.stale for child in ready):
                missing = 1  # one more than wanted, until it is ready and one that is stale leaves
            for _ in range(missing):
                self._start()
        if not self._was_ready and len(ready) >= self.count:
            self._was_ready = True
            self._when_ready()

    def _hangs(self, child: Child, now: float) -> bool:
        limit = self._hang_timeout
        return limit is not None and child.ready and now - child.heard >= limit

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
        except OSError as error:  # of processes or memory there will be more later
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            ours.close()
            theirs.close()
            logger.error("cannot start a worker for now: %s", error)
            self._not_before = time.monotonic() + LONGEST_PAUSE / 10
            return
        if pid == 0:
            self._signals.forget()
            for child in self._children:
                if child.link is not None:
                    child.link.close()
            ours.close()
            beat = None if self._hang_timeout is None else self._hang_timeout / BEATS
            run_child(self._work, ParentLink(theirs, self._watch is not None, beat), blocked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        ours.setblocking(False)
        self._children.append(Child(pid, ours, time.monotonic(), time.time()))
        logger.info("worker %d started", pid)

    def _stop(self, child: Child, why: str) -> None:
        logger.info("worker %d %s and stops", child.pid, why)
        child.deadline = time.monotonic() + self._grace + LAST_SECONDS
        _send(child, signal.SIGTERM)

    def _stop_all(self) -> None:
        """The end, or when it had begun already, the end at once."""
        if self._stopping:
            logger.warning("told to stop once more: the workers are killed")
            for child in self._children:
                _send(child, signal.SIGKILL)
            return
        self._stopping = True
        self._before_stop()
        for child in self._children:
            if child.deadline is None:
                self._stop(child, "was serving")

    def _replace_all(self, why: str) -> None:
        if self._stopping:
            return
        logger.info("%s: the workers are replaced", why)
        self._awaits_change = False
        self._not_before = self._pause = 0.0
        for child in self._children:
            child.stale = True
            if not child.ready and child.deadline is None:
                self._stop(child, "is out of date before it is ready")

    # --- what happens ---------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for something to happen, and take note of it."""
        poll = select.poll()
        poll.register(self._signals.fd, select.POLLIN)
        links = {child.link.fileno(): child for child in self._children if child.link is not None}
        for fd in links:
            poll.register(fd, select.POLLIN)
        seconds = self._seconds_left()
        for fd, _ in poll.poll(None if seconds is None else max(0.0, seconds) * 1000 + 1):
            if fd in links:
                self._hear(links[fd])
        # A service manager sends SIGTERM to the workers, too: those it ends are not to be replaced.
        for number in sorted(self._signals.take(), key=lambda number: number not in STOP):
            self._obey(number)
        if self._watch is not None and (changed := self._watch.changed()):
            self._replace_all(f"{changed} has changed")

    def _seconds_left(self) -> float | None:
        """Until there is something to do although nothing has happened."""
        moments = [child.deadline for child in self._children if child.deadline is not None]
        if not self._stopping:
            moments += [
                child.begun + self._boot_timeout
                for child in self._children
                if not child.ready and child.deadline is None
            ]
            if self._hang_timeout is not None:
                moments += [
                    child.heard + self._hang_timeout
                    for child in self._children
                    if child.ready and child.deadline is None
                ]
            if self._not_before:
                moments.append(self._not_before)
        now = time.monotonic()
        if self._not_before and now >= self._not_before:
            self._not_before = 0.0
        if self._watch is not None and not self._stopping:
            moments.append(now + WATCH_SECONDS)
        return min(moments) - now if moments else None

    def _obey(self, number: int) -> None:
        if number == signal.SIGCHLD:
            for child in list(self._children):
                self._reap(child)
        elif number in STOP:
            if not self._stopping:
                logger.info("told to stop by %s", signal.Signals(number).name)
            self._stop_all()
        elif number == signal.SIGHUP:
            self._replace_all("told to by SIGHUP")
        elif number == signal.SIGTTIN:
            self.count += 1
            logger.info("told to by SIGTTIN: %d workers from now on", self.count)
        elif number == signal.SIGTTOU and self.count > 1:
            self.count -= 1
            logger.info("told to by SIGTTOU: %d workers from now on", self.count)

    def _hear(self, child: Child) -> None:
        """Read what a worker says."""
        assert child.link is not None
        messages, ended = read_messages(child.link, child.unread)
        child.heard = time.monotonic()
        for message in messages:
            self._note(child, message)
        if ended:
            child.link.close()
            child.link = None

    def _note(self, child: Child, message: Message) -> None:
        if "ready" in message:
            child.ready = True
            logger.info("worker %d is ready", child.pid)
        if "failed" in message:
            child.failure = str(message["failed"])
            child.mendable = bool(message["mendable"])
        if self._watch is not None and "files" in message:
            self._watch.add(message["files"], child.begun_at)

    def _reap(self, child: Child) -> None:
        """See whether a worker has ended, and what follows from it."""
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            return
        if child.link is not None:
            self._hear(child)
        if child.link is not None:  # somebody it has started holds its end open
            child.link.close()
        self._children.remove(child)
        code = os.waitstatus_to_exitcode(status)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with status {code}"
        if (child.deadline is not None or self._stopping) and child.failure is None:
            logger.info("worker %d has stopped (it %s)", child.pid, how)
        elif child.ready:
            logger.warning("worker %d %s: another one takes its place", child.pid, how)
            self._slow_down(child)
        else:
            self._could_not_begin(child, child.failure or f"it {how} before it was ready")

    def _could_not_begin(self, child: Child, why: str) -> None:
        if self._stopping or child.stale:
            return
        if self._watch is not None and (child.mendable or self._was_ready):
            logger.error("worker %d could not begin: %s; waiting for a change", child.pid, why)
            self._awaits_change = True
        elif not self._was_ready:
            self.failure = why
            self._stop_all()
            return
        else:
            logger.error("worker %d could not begin: %s", child.pid, why)
            self._slow_down(child)
        if any(other.stale for other in self._children):
            logger.error("the workers there are stay as they were")
            for other in self._children:
                other.stale = False

    def _slow_down(self, child: Child) -> None:
        """Do not start workers as fast as they die."""
        now = time.monotonic()
        if now - child.begun >= QUICK_DEATH:
            self._pause = 0.0
            return
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._not_before = now + self._pause


def _send(child: Child, number: int) -> None:
    # It has not been waited for, so the pid is still its own.
    os.kill(child.pid, number)

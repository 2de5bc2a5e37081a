"""What gevent's programs do among themselves: spawn, kill, limit time, and work in pools."""

import sys

import gevent
import gevent.event
import gevent.local
import gevent.lock
import gevent.pool
import gevent.queue
import gevent.server
import gevent.socket
import gevent.threadpool
import gevent.util
from gevent import monkey

from tests.compat.programs.transcript import Transcript


def spawning(t: Transcript):
    t.section("spawn")
    t.say("get", gevent.spawn(pow, 2, 10).get())
    one, two = gevent.spawn(sorted, [3, 1, 2]), gevent.spawn("text".upper)
    t.say("joinall", [g.value for g in gevent.joinall([one, two])], one.successful())
    t.say("before and after the first turn", one.dead, gevent.spawn(int).dead)
    order = []
    for name in "abc":
        gevent.spawn(twice, name, order)
    for _ in range(3):
        gevent.sleep(0)
    t.say("turns", order)
    late = [gevent.spawn_later(delay / 1000, order.append, delay) for delay in (30, 10, 20)]
    gevent.joinall(late)
    t.say("spawn_later", order[-3:])
    raw = gevent.event.AsyncResult()
    gevent.spawn_raw(lambda: raw.set("raw"))
    t.say("spawn_raw", raw.get())
    t.say("iwait", sorted(g.value for g in gevent.iwait([gevent.spawn(int, n) for n in "456"])))
    t.say(
        "wait count", len(gevent.wait([gevent.spawn(int), gevent.spawn(gevent.sleep, 5)], count=1))
    )
    seen = []
    linked = gevent.spawn(lambda: "linked")
    linked.link(lambda g: seen.append(g.value))
    linked.link_value(lambda g: seen.append("value"))
    linked.link_exception(lambda g: seen.append("exception"))
    linked.join()
    gevent.sleep(0)
    t.say("link", seen)
    deep = gevent.spawn(lambda: gevent.spawn(lambda: gevent.spawn(lambda: "deep").get()).get())
    t.say("nested", deep.get())
    t.say(
        "name",
        gevent.spawn(int).name.startswith("Greenlet-"),
        repr(deep).startswith("<Greenlet at"),
    )

    class Counter(gevent.Greenlet):
        def __init__(self, limit):
            super().__init__()
            self.limit, self.count = limit, 0

        def _run(self):
            while self.count < self.limit:
                self.count += 1
                gevent.sleep(0)
            return self.count

    counters = [Counter(n) for n in (3, 1, 2)]
    for counter in counters:
        counter.start()
    t.say("subclass", [counter.get() for counter in counters])
    many = [gevent.spawn(lambda n=n: (gevent.sleep(0), n)[1]) for n in range(2000)]
    t.say("two thousand", sum(g.value for g in gevent.joinall(many)))


def twice(name, order):
    for i in "12":
        order.append(f"{name}{i}")
        gevent.sleep(0)


def ending(t: Transcript):
    t.section("kill")
    gevent.get_hub().exception_stream = None
    failed = gevent.spawn(int, "x")
    t.refuses("get raises", ValueError, failed.get)
    t.say("exception", failed.successful(), type(failed.exception), failed.exc_info[0])
    log = []

    def stubborn():
        for _ in range(2):
            try:
                gevent.sleep(60)
            except gevent.GreenletExit:
                log.append("exit")
        return "left by itself"

    g = gevent.spawn(stubborn)
    gevent.sleep(0)
    g.kill(block=False)
    gevent.sleep(0)
    t.say("kill, refused", log, g.dead)
    g.kill()
    t.say("kill again", log, g.dead, g.value)
    sleeper = gevent.spawn(gevent.sleep, 60)
    gevent.sleep(0)
    sleeper.kill(KeyError("why"))
    t.say("kill with an error", sleeper.dead, repr(sleeper.exception))
    unborn = gevent.spawn(log.append, "never")
    unborn.kill()
    t.say("kill before the start", log, repr(unborn.value))
    group = [gevent.spawn(gevent.sleep, 60) for _ in range(5)]
    gevent.sleep(0)
    gevent.killall(group)
    t.say("killall", [g.ready() for g in group])

    def tidy():
        try:
            gevent.sleep(60)
        finally:
            gevent.sleep(0)
            log.append("tidied")

    g = gevent.spawn(tidy)
    gevent.sleep(0)
    g.kill()
    t.say("finally that blocks", log[-1])
    own = gevent.spawn(lambda: gevent.getcurrent().kill())
    own.join()
    t.say("suicide", repr(own.value), own.successful())
    t.say("nobody left to wake", gevent.get_hub().threadpool.apply(wait_alone))
    t.say(
        "exc_info apart",
        [g.value for g in gevent.joinall([gevent.spawn(handler, n) for n in range(3)])],
    )


def wait_alone():
    """What waiting for nothing raises, in a native thread with a hub of its own."""
    try:
        return gevent.event.Event().wait()
    except gevent.exceptions.LoopExit as error:
        return f"LoopExit: {error.args[0]}"


def handler(n):
    try:
        raise LookupError(n)
    except LookupError:
        gevent.sleep(0)
        return repr(sys.exc_info()[1])


def timing(t: Transcript):
    t.section("Timeout")
    t.refuses("with", gevent.Timeout, sleep_for, gevent.Timeout(0.01))
    with gevent.Timeout(0.01, False):
        gevent.sleep(60)
    t.say("silent", "went on")
    t.say("with_timeout", gevent.with_timeout(0.01, gevent.sleep, 60, timeout_value="late"))
    t.refuses("own error", KeyError, sleep_for, gevent.Timeout(0.01, KeyError("slow")))
    with gevent.Timeout(60) as unused:
        t.say("pending", unused.pending)
    t.say("closed", unused.pending)
    outer, inner = gevent.Timeout(0.01), gevent.Timeout(60)
    with outer:
        try:
            with inner:
                gevent.sleep(60)
        except gevent.Timeout as raised:
            t.say("nested", raised is outer, raised is inner)
    t.refuses("get", gevent.Timeout, gevent.spawn(gevent.sleep, 60).get, timeout=0.01)
    t.say("join", gevent.spawn(gevent.sleep, 60).join(timeout=0.01))


def sleep_for(timeout):
    with timeout:
        gevent.sleep(60)


def pools(t: Transcript):
    t.section("pool")
    pool = gevent.pool.Pool(3)
    running, most = [0], [0]

    def work(n):
        running[0] += 1
        most[0] = max(most[0], running[0])
        gevent.sleep(0.001 * (n % 3))
        running[0] -= 1
        return n * n

    t.say("map", pool.map(work, range(12)), most)
    t.say("imap", list(pool.imap(work, range(6))))
    t.say("imap_unordered", sorted(pool.imap_unordered(work, range(6))))
    t.say("apply", pool.apply(work, (7,)))
    t.say("apply_async", pool.apply_async(work, (8,)).get())
    heard = []
    pool.apply_cb(work, (9,), callback=heard.append)
    gevent.sleep(0)
    t.say("apply_cb", heard)
    t.say("starmap by hand", pool.map(lambda pair: divmod(*pair), [(7, 2), (9, 4)]))
    holders = [pool.spawn(gevent.sleep, 60) for _ in range(3)]
    t.say("full", pool.full(), pool.free_count(), len(pool))
    t.say("wait_available", pool.wait_available(timeout=0.001))
    pool.kill()
    t.say("killed", len(pool), all(g.dead for g in holders))
    group = gevent.pool.Group()
    t.say("Group.map", group.map(str.title, ["ada", "grace"]))
    g = group.spawn(gevent.sleep, 60)
    t.say("in", g in group, len(group))
    group.killone(g)
    t.say("killone", g in group, len(group))
    t.refuses("map raises", ZeroDivisionError, group.map, lambda n: 1 // n, [1, 0])
    threads = gevent.threadpool.ThreadPool(2)
    t.say("ThreadPool.map", threads.map(len, ["a", "bb", "ccc"]))
    t.say("ThreadPool.apply", threads.apply(sum, ([1, 2, 3],)))
    t.refuses("ThreadPool raises", ValueError, threads.spawn(int, "x").get)
    ident = monkey.get_original("threading", "get_ident")
    t.say("another thread", threads.apply(ident) != ident())
    t.say(
        "a hub in it",
        threads.apply(lambda: gevent.spawn(lambda: gevent.sleep(0.001) or "inner").get()),
    )
    threads.join()
    done, start = [], monkey.get_original("_thread", "start_new_thread")
    start(lambda: done.append(leave_a_hub_behind()), ())
    while not done:
        gevent.sleep(0.001)
    t.say("a hub left in a thread", done)
    with gevent.threadpool.ThreadPoolExecutor(2) as executor:
        t.say("executor", list(executor.map(abs, [-1, 2, -3])))


def leave_a_hub_behind():
    """A hub that nobody destroys before its thread ends, and a greenlet asleep in it."""
    gevent.spawn(gevent.sleep, 60)
    gevent.sleep(0)
    return "left"


SECTIONS = (spawning, ending, timing, pools)

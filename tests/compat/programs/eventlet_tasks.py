"""What eventlet's programs do among themselves: spawn, kill, wait, share, and be timed out."""

import contextvars
import sys
import traceback

import eventlet
import greenlet
from eventlet import (
    corolocal,
    dagpool,
    debug,
    event,
    greenpool,
    greenthread,
    hubs,
    pools,
    queue,
    semaphore,
)

from tests.compat.programs.transcript import Transcript

number = contextvars.ContextVar("number", default=0)


def turns(name, log):
    for i in "12":
        log.append(f"{name}{i}")
        eventlet.sleep(0)


def spawning(t: Transcript):
    t.section("spawn")
    t.say("wait", eventlet.spawn(pow, 2, 10).wait())
    log = []
    for g in [eventlet.spawn(turns, name, log) for name in "abc"]:
        g.wait()
    t.say("turns", log)
    for delay in (150, 50, 100):
        last = eventlet.spawn_after(delay / 1000, log.append, delay)
    eventlet.sleep(0.2)
    t.say("spawn_after", log[-3:], last.dead)
    eventlet.spawn_n(log.append, "spawn_n")
    eventlet.sleep(0)
    t.say("spawn_n", log[-1])
    g = eventlet.spawn(lambda: "linked")
    g.link(lambda g, word: log.append((word, g.wait())), "with an argument")
    g.wait()
    t.say("link", log[-1])
    nested = eventlet.spawn(lambda: eventlet.spawn(lambda: eventlet.spawn(str, 3).wait()).wait())
    t.say("nested", nested.wait())
    many = [eventlet.spawn(lambda n: (eventlet.sleep(0), n)[1], n) for n in range(2000)]
    t.say("two thousand", sum(g.wait() for g in many))
    hub = hubs.get_hub()
    parent = eventlet.spawn(lambda: greenthread.getcurrent().parent is hub.greenlet)
    t.say("parent", parent.wait())
    g = eventlet.spawn(eventlet.sleep, 60)
    t.say("frame, unborn", g.gr_frame)
    eventlet.sleep(0)
    t.say("frames", [f.f_code.co_name for f, _ in traceback.walk_stack(g.gr_frame)][:3])
    g.kill()
    t.say("frame, dead", g.gr_frame)
    greenthread.spawn_after_local(0.001, log.append, "local")
    eventlet.sleep(0.01)
    t.say("spawn_after_local", log[-1])
    main = greenthread.getcurrent()
    raw = greenlet.greenlet(lambda x: main.switch(x + 1) and "end")
    t.say("switch by hand", raw.switch(1), raw.switch(True), raw.dead)


def ending(t: Transcript):
    t.section("kill")
    debug.hub_exceptions(False)
    t.refuses("wait raises", ValueError, eventlet.spawn(int, "x").wait)
    log = []

    def stubborn():
        for _ in range(2):
            try:
                eventlet.sleep(60)
            except greenlet.GreenletExit:
                log.append("exit")
        return "left by itself"

    g = eventlet.spawn(stubborn)
    eventlet.sleep(0)
    g.kill()
    t.say("kill, refused", log, g.dead)
    g.kill()
    t.say("kill again", log, g.dead, g.wait())
    sleeper = eventlet.spawn(eventlet.sleep, 60)
    eventlet.sleep(0)
    sleeper.kill(KeyError("why"))
    t.refuses("kill with an error", KeyError, sleeper.wait)
    unborn = eventlet.spawn(log.append, "never")
    unborn.kill()
    t.refuses("kill before the start", greenlet.GreenletExit, unborn.wait)
    t.say("it never ran", log)
    late = eventlet.spawn_after(60, log.append, "never")
    late.cancel()
    t.say("cancel", late.dead)
    started = eventlet.spawn(turns, "t", log)
    eventlet.sleep(0)
    started.cancel()
    started.wait()
    t.say("cancel once started", log[-2:])

    def tidy():
        try:
            eventlet.sleep(60)
        finally:
            eventlet.sleep(0)
            log.append("tidied")

    g = eventlet.spawn(tidy)
    eventlet.sleep(0)
    g.kill()
    eventlet.sleep(0)
    t.say("finally that blocks", log[-1], g.dead)

    def handle(n):
        try:
            raise LookupError(n)
        except LookupError:
            eventlet.sleep(0)
            return repr(sys.exc_info()[1])

    t.say("exc_info apart", [g.wait() for g in [eventlet.spawn(handle, n) for n in range(3)]])
    t.say("killed by itself", killed_by_itself())


def killed_by_itself():
    g = eventlet.spawn(lambda: greenthread.kill(greenthread.getcurrent()))
    try:
        return g.wait()
    except greenlet.GreenletExit as error:
        return repr(error)


def sleep_in(limit):
    with limit:
        eventlet.sleep(60)


def timing(t: Transcript):
    t.section("Timeout")
    t.refuses("with", eventlet.Timeout, sleep_in, eventlet.Timeout(0.01))
    sleep_in(eventlet.Timeout(0.01, False))
    t.say("silent", "went on")
    t.say("with_timeout", eventlet.with_timeout(0.01, eventlet.sleep, 60, timeout_value="late"))
    t.refuses("own error", KeyError, sleep_in, eventlet.Timeout(0.01, KeyError("slow")))
    outer, inner = eventlet.Timeout(0.01), eventlet.Timeout(60)
    try:
        sleep_in(inner)
    except eventlet.Timeout as raised:
        t.say("nested", raised is outer, raised is inner, inner.pending)
    with eventlet.Timeout(60) as unused:
        t.say("pending", unused.pending)
    t.say("closed", unused.pending)
    t.say("is_timeout", eventlet.is_timeout(inner), eventlet.is_timeout(OSError()))
    alarm = greenthread.exc_after(0.01, LookupError("alarm"))
    t.refuses("exc_after", LookupError, eventlet.sleep, 60)
    t.say("its timer", alarm.called)


def pooling(t: Transcript):
    t.section("pool")
    pool, running, most = eventlet.GreenPool(3), [0], [0]

    def work(n):
        running[0] += 1
        most[0] = max(most[0], running[0])
        eventlet.sleep(0.001 * (n % 3))
        running[0] -= 1
        return n * n

    t.say("imap", list(pool.imap(work, range(12))), most)
    t.say("starmap", list(pool.starmap(divmod, [(7, 2), (9, 4)])))
    t.say("spawn", pool.spawn(work, 7).wait(), pool.free(), pool.running())
    heard = []
    for n in range(5):
        pool.spawn_n(heard.append, n)
    pool.waitall()
    t.say("spawn_n, waitall", heard, pool.waiting())
    pool.resize(1)
    t.say("resize", pool.free())
    pile = eventlet.GreenPile(pool)
    for n in range(5):
        pile.spawn(work, n)
    t.say("GreenPile", list(pile))
    t.refuses("GreenPile raises", ZeroDivisionError, list, failing_pile())
    t.say("map over nothing", list(greenpool.GreenPool().imap(work, [])))
    items = pools.Pool(max_size=2, create=iter("ABC").__next__)
    with items.item() as first, items.item() as second:
        waiter = eventlet.spawn(items.get)
        eventlet.sleep(0)
        t.say("Pool", first, second, items.free(), items.waiting())
    t.say("Pool, handed on", waiter.wait(), items.free())
    tokens = pools.TokenPool(max_size=4)
    t.say("TokenPool", type(tokens.get()).__name__, tokens.free())
    dag = dagpool.DAGPool({"a": 1})
    dag.spawn("c", ("a", "b"), lambda key, results: sum(value for _, value in results))
    dag.spawn("b", ("a",), lambda key, results: 10 * dict(results)["a"])
    t.say("DAGPool", dict(sorted(dag.wait().items())))
    dag.spawn("d", ("e",), lambda key, results: list(results))
    t.say("DAGPool waiting", dag.waiting_for("d"), dag.kill("d"))


def failing_pile():
    pile = eventlet.GreenPile()
    for n in (1, 0):
        pile.spawn(lambda n: 1 // n, n)
    return pile


def queues(t: Transcript):
    t.section("queue")
    q, log = eventlet.Queue(2), []

    def produce():
        for n in range(5):
            q.put(n)
            log.append(f"+{n}")
        q.put(None)

    eventlet.spawn(produce)
    for n in iter(q.get, None):
        log.append(f"-{n}")
    t.say("bounded, in turns", " ".join(log))
    t.refuses("empty", queue.Empty, q.get_nowait)
    t.refuses("get timeout", queue.Empty, q.get, timeout=0.01)
    q.put(1)
    q.put(2)
    t.refuses("full", queue.Full, q.put_nowait, 3)
    t.refuses("put timeout", queue.Full, q.put, 3, timeout=0.01)
    q.resize(4)
    t.say("resize", q.qsize(), q.full(), q.putting(), q.getting())
    ranked, stack = queue.PriorityQueue(), queue.LifoQueue()
    for item in (3, 1, 2):
        ranked.put(item)
        stack.put(item)
    t.say("PriorityQueue", [ranked.get() for _ in range(3)])
    t.say("LifoQueue", [stack.get() for _ in range(3)])
    jobs, done = eventlet.Queue(), []

    def worker():
        while True:
            job = jobs.get()
            eventlet.sleep(0)
            done.append(job)
            jobs.task_done()

    workers = [eventlet.spawn(worker) for _ in range(3)]
    for job in range(9):
        jobs.put(job)
    jobs.join()
    t.say("join", done)
    for g in workers:
        g.kill()
    meeting = queue.LightQueue(0)
    sender = eventlet.spawn(lambda: [meeting.put(n) for n in "xyz"])
    t.say("LightQueue(0)", [meeting.get() for _ in range(3)], sender.wait())


def synchronisation(t: Transcript):
    t.section("lock")
    done, log = event.Event(), []
    waiters = [eventlet.spawn(lambda n: (n, done.wait()), n) for n in range(4)]
    eventlet.sleep(0)
    t.say("Event before", done.ready(), done.poll("nothing yet"))
    done.send("sent")
    t.say("Event after", [g.wait() for g in waiters], done.has_result())
    t.refuses("sent twice", AssertionError, done.send, "again")
    t.say("Event timeout", event.Event().wait(timeout=0.01))
    broken = event.Event()
    broken.send_exception(OSError("broken"))
    t.refuses("Event error", OSError, broken.wait)
    lock, inside, most = semaphore.Semaphore(2), [0], [0]

    def enter(n):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            log.append(n)
            eventlet.sleep(0)
            inside[0] -= 1

    for g in [eventlet.spawn(enter, n) for n in range(7)]:
        g.wait()
    t.say("Semaphore", most, log, lock.balance)
    t.say("acquire timeout", semaphore.Semaphore(0).acquire(timeout=0.01))
    t.say("not blocking", semaphore.Semaphore(0).acquire(blocking=False))
    t.refuses("released too often", ValueError, semaphore.BoundedSemaphore().release)
    capped = semaphore.CappedSemaphore(0, 1)
    eventlet.spawn(capped.release)
    t.say("CappedSemaphore", capped.acquire(), capped.bounded())
    local = corolocal.local()
    local.x = "main"

    def change(value):
        before = getattr(local, "x", "unset")
        local.x = value
        eventlet.sleep(0)
        return f"{before}/{local.x}"

    t.say("local", [eventlet.spawn(change, v).wait() for v in "ab"], local.x)

    def count(to):
        number.set(to)
        eventlet.sleep(0)
        return number.get()

    t.say("contextvars", [g.wait() for g in [eventlet.spawn(count, n) for n in (1, 2)]])


SECTIONS = (spawning, ending, timing, pooling, queues, synchronisation)

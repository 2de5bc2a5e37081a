"""What gevent's programs wait for: queues, events, locks, patched threads, the hub itself."""

import contextvars
import queue as standard_queue
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

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
import greenlet

from tests.compat.programs.transcript import Transcript

number = contextvars.ContextVar("number", default=0)


def queues(t: Transcript):
    t.section("queue")
    q = gevent.queue.Queue(2)
    log = []

    def producer():
        for n in range(5):
            q.put(n)
            log.append(f"+{n}")
        q.put(StopIteration)

    gevent.spawn(producer)
    for n in q:
        log.append(f"-{n}")
    t.say("bounded, in turns", " ".join(log))
    t.refuses("empty", gevent.queue.Empty, q.get_nowait)
    t.refuses("get timeout", gevent.queue.Empty, q.get, timeout=0.01)
    q.put(1), q.put(2)
    t.refuses("full", gevent.queue.Full, q.put_nowait, 3)
    t.refuses("put timeout", gevent.queue.Full, q.put, 3, timeout=0.01)
    t.say("peek", q.peek(), q.qsize(), q.full())
    ranked = gevent.queue.PriorityQueue()
    for item in [(3, "c"), (1, "a"), (2, "b")]:
        ranked.put(item)
    t.say("PriorityQueue", [ranked.get()[1] for _ in range(3)])
    stack = gevent.queue.LifoQueue(items=[1, 2, 3])
    t.say("LifoQueue", [stack.get() for _ in range(3)])
    jobs = gevent.queue.JoinableQueue()
    done = []

    def worker():
        while True:
            job = jobs.get()
            gevent.sleep(0)
            done.append(job)
            jobs.task_done()

    workers = [gevent.spawn(worker) for _ in range(3)]
    for job in range(9):
        jobs.put(job)
    jobs.join()
    gevent.killall(workers)
    t.say("JoinableQueue", done)
    channel = gevent.queue.Channel()
    sender = gevent.spawn(lambda: [channel.put(n) for n in "xyz"])
    t.say("Channel", [channel.get() for _ in range(3)], sender.ready())
    simple = gevent.queue.SimpleQueue()
    gevent.spawn(simple.put, "simple")
    t.say("SimpleQueue", simple.get())
    patched = standard_queue.Queue()
    gevent.spawn_later(0.001, patched.put, "patched")
    t.say("queue.Queue", patched.get(timeout=30))


def synchronisation(t: Transcript):
    t.section("lock")
    event, log = gevent.event.Event(), []
    waiters = [gevent.spawn(lambda n=n: event.wait() and log.append(n)) for n in range(4)]
    gevent.sleep(0)
    t.say("Event before", log, event.is_set())
    event.set()
    gevent.joinall(waiters)
    t.say("Event after", log, event.is_set())
    event.clear()
    t.say("Event timeout", event.wait(0.01))
    result = gevent.event.AsyncResult()
    readers = [gevent.spawn(result.get) for _ in range(3)]
    result.set("answer")
    t.say("AsyncResult", [g.get() for g in readers], result.ready())
    failed = gevent.event.AsyncResult()
    failed.set_exception(OSError("broken"))
    t.refuses("AsyncResult error", OSError, failed.get)
    t.refuses("AsyncResult timeout", gevent.Timeout, gevent.event.AsyncResult().get, timeout=0.01)
    source, sink = gevent.spawn(lambda: "from a greenlet"), gevent.event.AsyncResult()
    source.link(sink)
    t.say("link to AsyncResult", sink.get())
    semaphore, inside, most = gevent.lock.BoundedSemaphore(2), [0], [0]

    def enter():
        with semaphore:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            gevent.sleep(0)
            inside[0] -= 1

    gevent.joinall([gevent.spawn(enter) for _ in range(7)])
    t.say("BoundedSemaphore", most, inside)
    t.refuses("released too often", ValueError, semaphore.release)
    lock = gevent.lock.RLock()
    with lock, lock:
        t.say("RLock", gevent.spawn(lock.acquire, blocking=False).get(), lock._is_owned())
    t.say("acquire timeout", gevent.lock.Semaphore(0).acquire(timeout=0.01))
    local = gevent.local.local()
    local.x = "main"

    def change(value):
        before = getattr(local, "x", "unset")
        local.x = value
        gevent.sleep(0)
        return f"{before}/{local.x}"

    t.say("local", [gevent.spawn(change, v).get() for v in "ab"], local.x)

    def count(to):
        number.set(to)
        gevent.sleep(0)
        return number.get()

    both = gevent.joinall([gevent.spawn(count, n) for n in (1, 2)])
    t.say("contextvars", [g.value for g in both], number.get())


def patched_threads(t: Transcript):
    t.section("threading")
    log = []
    threads = [
        threading.Thread(target=lambda n=n: (time.sleep(0.001 * n), log.append(n)))
        for n in (3, 1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    t.say("Thread", sorted(log), [thread.is_alive() for thread in threads])
    condition, items = threading.Condition(), []

    def consume():
        with condition:
            condition.wait_for(lambda: items)
            log.append(items.pop())

    consumer = threading.Thread(target=consume)
    consumer.start()
    with condition:
        items.append("item")
        condition.notify()
    consumer.join()
    t.say("Condition", log[-1])
    barrier = threading.Barrier(3)
    gathered = gevent.joinall([gevent.spawn(barrier.wait) for _ in range(3)])
    t.say("Barrier", sorted(g.value for g in gathered))
    fired = threading.Event()
    threading.Timer(0.001, fired.set).start()
    t.say("Timer", fired.wait(30))
    with ThreadPoolExecutor(3) as executor:
        t.say("ThreadPoolExecutor", list(executor.map(lambda n: n + 1, range(5))))
    local = threading.local()
    local.x = 1
    t.say("local", gevent.spawn(hasattr, local, "x").get(), local.x)


def hubs(t: Transcript):
    t.section("hub")
    hub, log = gevent.get_hub(), []
    hub.loop.run_callback(log.append, "callback")
    timer = hub.loop.timer(0.001)
    timer.start(log.append, "timer")
    gevent.sleep(0.01)
    t.say("callbacks", log, timer.active)
    timer.close()
    with hub.loop.timer(0.001) as timer:
        hub.wait(timer)
        t.say("hub.wait", "back")
    watcher = hub.loop.async_()
    watcher.start(lambda: log.append("async"))
    hub.threadpool.apply(watcher.send)
    gevent.sleep(0.001)
    watcher.close()
    t.say("async watcher", log[-1])
    t.refuses("switch out of the hub", AssertionError, from_the_hub)
    gevent.idle()
    t.say("idle", "back")
    t.say("tree", "".join(gevent.util.format_run_info()).count("Hub") > 0)
    waiter = gevent.hub.Waiter()
    hub.loop.run_callback(waiter.switch, "waited")
    t.say("Waiter", waiter.get())
    current = gevent.getcurrent()
    t.say("parents", gevent.spawn(lambda: gevent.getcurrent().parent is hub).get(), current.parent)
    g = gevent.spawn(gevent.with_timeout, 60, gevent.sleep, 60)
    t.say("frame, unborn", g.gr_frame)
    gevent.sleep(0)
    t.say("frames", [frame.f_code.co_name for frame, _ in traceback.walk_stack(g.gr_frame)])
    g.kill()
    t.say("frame, dead", g.gr_frame)
    t.say("switch by hand", by_hand())


def by_hand():
    """Raw greenlets beside gevent's, moved by this program alone."""
    main, log = gevent.getcurrent(), []
    raw = greenlet.greenlet(lambda x: log.append(x) or main.switch("out") or "end")
    log += [raw.switch("in"), raw.switch(0), raw.dead]
    return log


def from_the_hub():
    result = gevent.event.AsyncResult()

    def call():
        try:
            gevent.sleep(1)
        except BaseException as error:
            result.set_exception(error)

    gevent.get_hub().loop.run_callback(call)
    result.get()


SECTIONS = (queues, synchronisation, patched_threads, hubs)

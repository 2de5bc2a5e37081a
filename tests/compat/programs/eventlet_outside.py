"""What eventlet's programs do with the world: threads, hubs, sockets, servers and processes."""

import http.client
import io
import os
import queue
import select
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import eventlet
from eventlet import debug, event, greenio, hubs, patcher, tpool, wsgi

from tests.compat.programs.transcript import Transcript


def native_threads(t: Transcript):
    t.section("tpool")
    here = patcher.original("threading").get_ident
    t.say("execute", tpool.execute(sum, [1, 2, 3]))
    t.say("another thread", tpool.execute(here) != here())
    t.refuses("raises", ValueError, tpool.execute, int, "x")
    pile = eventlet.GreenPile()
    for n in range(6):
        pile.spawn(tpool.execute, pow, n, 2)
    t.say("six at once", list(pile))
    proxied = tpool.Proxy([3, 1, 2])
    proxied.sort()
    t.say("Proxy", proxied[0], len(proxied), list(proxied))
    done = event.Event()
    tpool.execute(hubs.get_hub().schedule_call_global, 0, done.send, "scheduled")
    t.say("schedule from a thread", done.wait())
    t.say("a hub in a thread", tpool.execute(lambda: eventlet.spawn(hub_in_a_thread).wait()))
    tpool.killall()


def hub_in_a_thread():
    eventlet.sleep(0.001)
    return sum(g.wait() for g in [eventlet.spawn(int, n) for n in "123"])


def patched_threads(t: Transcript):
    t.section("threading")
    log = []

    def work(n):
        time.sleep(0.001 * n)
        log.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 1, 2)]
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
    gathered = [eventlet.spawn(barrier.wait) for _ in range(3)]
    t.say("Barrier", sorted(g.wait() for g in gathered))
    fired = threading.Event()
    threading.Timer(0.001, fired.set).start()
    t.say("Timer", fired.wait(30))
    with ThreadPoolExecutor(3) as executor:
        t.say("ThreadPoolExecutor", list(executor.map(lambda n: n + 1, range(5))))
    local = threading.local()
    local.x = 1
    t.say("local", eventlet.spawn(hasattr, local, "x").wait(), local.x)
    q = queue.Queue()
    eventlet.spawn_after(0.001, q.put, "patched")
    t.say("queue.Queue", q.get(timeout=30))
    lock = threading.RLock()
    with lock, lock:
        t.say("RLock", eventlet.spawn(lock.acquire, blocking=False).wait())


def hub(t: Transcript):
    t.section("hub")
    hub, log = hubs.get_hub(), []
    t.say("kind", type(hub).__module__)
    for delay in (0.1, 0.05):
        hub.schedule_call_local(delay, log.append, delay)
    eventlet.sleep(0.15)
    t.say("timers", log)
    timer = hub.schedule_call_global(0.001, log.append, "cancelled")
    timer.cancel()
    eventlet.sleep(0.01)
    t.say("cancelled", log)
    reader, writer = os.pipe()
    eventlet.spawn_after(0.001, os.write, writer, b"piped")
    hubs.trampoline(reader, read=True, timeout=30)
    t.say("trampoline", os.read(reader, 100))
    t.refuses("its timeout", TimeoutError, trampoline_in_vain, reader)
    eventlet.spawn_after(0.001, os.write, writer, b"green")
    t.say("green os.read", os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    t.say("listeners", debug.format_hub_listeners().count("fileno"))

    def second_reader(sock):
        try:
            hubs.trampoline(sock, read=True, timeout=1)
        except RuntimeError as error:
            return type(error).__name__
        return "allowed"

    left, right = socket.socketpair()
    first = eventlet.spawn(right.recv, 10)
    eventlet.sleep(0)
    t.say("second reader", second_reader(right))
    left.send(b"for the first")
    t.say("first reader", first.wait())
    left.close()
    right.close()


def trampoline_in_vain(reader):
    hubs.trampoline(reader, read=True, timeout=0.01, timeout_exc=TimeoutError("no byte"))


def sockets(t: Transcript):
    t.section("socket")
    listener = eventlet.listen(("127.0.0.1", 0))
    address = listener.getsockname()

    def echo(sock, peer):
        with sock.makefile("rwb") as lines:
            for line in lines:
                lines.write(line[::-1].strip() + b"\n")
                lines.flush()
        sock.close()

    server = eventlet.spawn(eventlet.serve, listener, echo, concurrency=4)

    def talk(words):
        sock, answers = eventlet.connect(address), []
        with sock.makefile("rwb") as lines:
            for word in words:
                lines.write(word.encode() + b"\n")
                lines.flush()
                answers.append(lines.readline().strip().decode())
        sock.close()
        return answers

    talks = [eventlet.spawn(talk, [f"w{n}{i}" for i in range(5)]) for n in range(8)]
    for n, g in enumerate(talks):
        t.say(f"client {n}", g.wait())
    server.kill()
    left, right = socket.socketpair()
    data = bytes(range(256)) * 8192
    eventlet.spawn(lambda: (left.sendall(data), left.shutdown(socket.SHUT_WR)))
    received = b"".join(iter(lambda: right.recv(65536), b""))
    t.say("sendall of 2 MiB", received == data)
    t.say("GreenSocket", isinstance(left, greenio.GreenSocket))
    left2, right2 = socket.socketpair()
    right2.settimeout(0.01)
    t.refuses("recv timeout", TimeoutError, right2.recv, 1)
    eventlet.spawn_after(0.001, left2.send, b"!")
    t.say("select", select.select([right2], [], [], 30)[0] == [right2], right2.recv(1))
    buffer = bytearray(4)
    left2.send(b"into")
    t.say("recv_into", right2.recv_into(buffer), bytes(buffer))
    for sock in (left, right, left2, right2):
        sock.close()
    udp, peer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    udp.bind(("127.0.0.1", 0))
    eventlet.spawn(peer.sendto, b"datagram", udp.getsockname())
    t.say("datagram", udp.recvfrom(100)[0])
    udp.close()
    peer.close()
    numeric = socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    t.say("getaddrinfo", numeric[0][4])


def web(t: Transcript):
    t.section("wsgi")

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        eventlet.sleep(0.001)
        body = environ["wsgi.input"].read()
        return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode(), body.upper()]

    log = io.StringIO()
    listener = eventlet.listen(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = eventlet.spawn(wsgi.server, listener, application, log=log)

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = f"{answer.status} {answer.read().decode()}"
        connection.close()
        return text

    for g in [eventlet.spawn(ask, "GET", f"/{n}") for n in range(6)]:
        t.say("GET", g.wait())
    t.say("POST", ask("POST", "/form", b"shout"))
    server.kill()
    t.say("logged", log.getvalue().count('HTTP/1.1" 200'))


def processes(t: Transcript):
    t.section("subprocess")
    t.say("check_output", subprocess.check_output(["echo", "from a child"]).strip())
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.say("communicate", child.communicate(b"through cat"), child.returncode)
    sleeper = subprocess.Popen(["sleep", "60"])
    t.refuses("timeout", subprocess.TimeoutExpired, sleeper.wait, 0.01)
    sleeper.terminate()
    t.say("terminate", sleeper.wait())


SECTIONS = (native_threads, patched_threads, hub, sockets, web, processes)

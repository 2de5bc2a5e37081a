"""What gevent's programs do with the world: sockets, servers, processes."""

import http.client
import select
import socket
import subprocess

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
from gevent import pywsgi

from tests.compat.programs.transcript import Transcript


def network(t: Transcript):
    t.section("socket")

    def echo(sock, address):
        with sock.makefile("rwb") as lines:
            for line in lines:
                lines.write(line[::-1].strip() + b"\n")
                lines.flush()

    server = gevent.server.StreamServer(("127.0.0.1", 0), echo)
    server.start()

    def talk(words):
        with socket.create_connection(("127.0.0.1", server.server_port)) as sock:
            lines, answers = sock.makefile("rwb"), []
            for word in words:
                lines.write(word.encode() + b"\n")
                lines.flush()
                answers.append(lines.readline().strip().decode())
            lines.close()
            return answers

    talks = [gevent.spawn(talk, [f"w{n}{i}" for i in range(5)]) for n in range(8)]
    for n, g in enumerate(talks):
        t.say(f"client {n}", g.get())
    server.stop()
    t.say("stopped", server.started)
    left, right = socket.socketpair()
    data = bytes(range(256)) * 8192
    gevent.spawn(lambda: (left.sendall(data), left.shutdown(socket.SHUT_WR)))
    received = b"".join(iter(lambda: right.recv(65536), b""))
    t.say("sendall of 2 MiB", received == data)
    right.settimeout(0.01)
    left2, right2 = socket.socketpair()
    right2.settimeout(0.01)
    t.refuses("recv timeout", TimeoutError, right2.recv, 1)
    gevent.spawn_later(0.001, left2.send, b"!")
    t.say("select", select.select([right2], [], [], 30)[0] == [right2], right2.recv(1))
    poller = select.poll()
    poller.register(right2, select.POLLIN)
    gevent.spawn_later(0.001, left2.close)
    t.say("poll", len(poller.poll(30_000)), right2.recv(1))
    for sock in (left, right, right2):
        sock.close()
    udp, peer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    udp.bind(("127.0.0.1", 0))
    gevent.spawn(peer.sendto, b"datagram", udp.getsockname())
    t.say("datagram", udp.recvfrom(100)[0])
    udp.close(), peer.close()
    t.say("getaddrinfo", socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4])


def web(t: Transcript):
    t.section("pywsgi")

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        gevent.sleep(0.001)
        body = environ["wsgi.input"].read()
        yield f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode()
        yield body.upper()

    server = pywsgi.WSGIServer(("127.0.0.1", 0), application, log=None)
    server.start()

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = f"{answer.status} {answer.read().decode()}"
        connection.close()
        return text

    requests = [gevent.spawn(ask, "GET", f"/{n}") for n in range(6)]
    for g in requests:
        t.say("GET", g.get())
    t.say("POST", ask("POST", "/form", b"shout"))
    server.stop()


def processes(t: Transcript):
    t.section("subprocess")
    t.say("check_output", subprocess.check_output(["echo", "from a child"]).strip())
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.say("communicate", child.communicate(b"through cat"), child.returncode)
    sleeper = subprocess.Popen(["sleep", "60"])
    t.refuses("timeout", subprocess.TimeoutExpired, sleeper.wait, 0.01)
    sleeper.terminate()
    t.say("terminate", sleeper.wait())


SECTIONS = (network, web, processes)

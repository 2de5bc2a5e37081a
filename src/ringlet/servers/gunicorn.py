"""A worker for gunicorn: its master, configuration and logs, with ringlet's HTTP server.

Used as `gunicorn -k ringlet.servers.gunicorn.Worker MODULE:APP` or `-k egg:ringlet`.
"""

import os
import sys
from datetime import timedelta
from types import FrameType, SimpleNamespace
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers import base

from ringlet.io.socket import socket
from ringlet.sched import Tasklet, spawn
from ringlet.servers.http_access import Access
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.listeners import Address
from ringlet.servers.wsgi import WSGIServer
from ringlet.sync import Event

__all__ = ("Worker",)

#: Seconds between two signs of life for the master.
HEARTBEAT = 1.0


class Worker(base.Worker):  # type: ignore[misc]
    """Serves each connection in a tasklet, up to `worker_connections` of them at once.

    Of gunicorn's settings these are obeyed here, and all that the master obeys: keepalive,
    limit_request_line, limit_request_fields, worker_connections, max_requests, graceful_timeout,
    timeout, forwarded_allow_ips (X-Forwarded-Proto), proxy_protocol and proxy_allow_ips, the ssl
    ones, and those of the access log.

    The application blocks others unless it uses ringlet's modules, or is patched: call
    ringlet.patch.install() in `post_fork` of the configuration, or where the application begins.
    """

    #: Set by gunicorn when it is time to stop.
    alive: bool

    def init_process(self) -> None:
        """For gunicorn: begin in the forked process."""
        #: Set when there is something to do before the next heartbeat.
        self._awake = Event()
        super().init_process()

    def run(self) -> None:
        """For gunicorn: serve until told to stop."""
        server = self._server()
        server.start()
        heart = spawn(self._beat)
        heart.name = "heartbeat"
        try:
            while self.alive:
                self._awake.clear()
                self._awake.wait(HEARTBEAT)
                if self.ppid != os.getppid():
                    self.log.info("Parent changed, shutting down: %s", self)
                    self.alive = False
            server.stop(self.cfg.graceful_timeout)
        finally:
            server.stop(0)
            _end(heart)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """For gunicorn: SIGTERM."""
        super().handle_exit(sig, frame)
        self._awake.set()

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """For gunicorn: no sign of life for too long. Raises SystemExit in whoever holds us up."""
        self._awake.set()
        super().handle_abort(sig, frame)

    def _beat(self) -> None:
        """Tell the master that tasklets get their turns. Else it kills us after `timeout`."""
        pause = Event()
        while True:
            self.notify()
            pause.wait(HEARTBEAT)

    def _server(self) -> WSGIServer:
        cfg = self.cfg
        # Duplicates: what the master has made is neither ours to close nor to refuse.
        listeners: list[Address] = [
            socket(s.sock.family, s.sock.type, s.sock.proto, os.dup(s.sock.fileno()))
            for s in self.sockets
        ]
        server = WSGIServer(
            listeners,
            self.wsgi,
            ssl=ssl_context(cfg) if cfg.is_ssl else None,
            limit=cfg.worker_connections,
            http_limits=_limits(cfg),
            access_log=self._answered,
            trusted_proxies=_networks(cfg.forwarded_allow_ips),
            forwarded_headers=("X-Forwarded-Proto",),
            proxy_protocol=_proxies(cfg),
            multiprocess=cfg.workers > 1,
        )
        if cfg.workers > 1:
            server.takes_per_turn = 1
        return server

    def _answered(self, access: Access) -> None:
        """A request has been answered."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
            self._awake.set()
        if self.cfg.accesslog or self.cfg.logconfig or self.cfg.syslog:
            self.log.access(*_in_gunicorns_terms(access))


def _limits(cfg: Any) -> HTTPLimits:
    """gunicorn's limits; 0 is none there."""
    usual = HTTPLimits()
    return HTTPLimits(
        idle_timeout=cfg.keepalive or usual.idle_timeout,
        max_request_line=cfg.limit_request_line or sys.maxsize,
        max_headers=cfg.limit_request_fields or sys.maxsize,
    )


def _networks(setting: Any) -> list[str]:
    """A setting that names addresses, as text or as a list; '*' is everybody."""
    words = setting.split(",") if isinstance(setting, str) else setting
    return [word.strip() for word in map(str, words) if word.strip()]


def _proxies(cfg: Any) -> bool | list[str]:
    """Who sends the header of the PROXY protocol."""
    if not cfg.proxy_protocol or cfg.proxy_protocol == "off":
        return False
    networks = _networks(cfg.proxy_allow_ips)
    return True if "*" in networks else [*networks, "unix"]


def _in_gunicorns_terms(access: Access) -> tuple[Any, ...]:
    """The arguments of gunicorn's Logger.access: response, request, environ and duration."""
    path, _, query = access.target.partition("?")
    headers = {"host": access.host, "referer": access.referer, "user-agent": access.user_agent}
    environ = {
        "REMOTE_ADDR": access.remote_addr,
        "REMOTE_USER": access.remote_user,
        "REQUEST_METHOD": access.method or "-",
        "RAW_URI": access.target or "-",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": access.protocol or "-",
        "HTTP_REFERER": access.referer or "-",
        "HTTP_USER_AGENT": access.user_agent or "-",
    }
    response = SimpleNamespace(status=str(access.status), sent=access.sent, headers=[])
    request = SimpleNamespace(headers=[(name, text) for name, text in headers.items() if text])
    return response, request, environ, timedelta(seconds=access.seconds)


def _end(tasklet: Tasklet[Any]) -> None:
    tasklet.kill(wait=False)

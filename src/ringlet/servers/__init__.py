"""Servers: one tasklet per connection, in plain blocking style.

WSGIServer wants httptools (the extra `ringlet[server]`); without it, only making one fails.
"""

from ringlet.servers.datagram import DatagramServer
from ringlet.servers.http_access import Access
from ringlet.servers.http_limits import HTTPLimits
from ringlet.servers.stream import StreamServer
from ringlet.servers.wsgi import WSGIServer

__all__ = ("Access", "DatagramServer", "HTTPLimits", "StreamServer", "WSGIServer")

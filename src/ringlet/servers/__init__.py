"""Servers: one tasklet per connection, in plain blocking style."""

from ringlet.servers.stream import StreamServer

__all__ = ("StreamServer",)

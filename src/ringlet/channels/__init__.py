"""Channels between tasklets, and select(), which waits at several of them."""

from ringlet.channels.channel import Channel
from ringlet.channels.selecting import Selection, select

__all__ = ("Channel", "Selection", "select")

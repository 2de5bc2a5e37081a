"""Channels between tasklets."""

from ringlet.channels.channel import Channel

__all__ = ("Channel",)

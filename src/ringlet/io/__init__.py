"""The standard library's blocking modules, cooperative: same names, same meaning."""

from ringlet.io.waiting import wait_readable, wait_writable

__all__ = ("wait_readable", "wait_writable")

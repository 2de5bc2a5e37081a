"""For tests of programs that use ringlet: time that the test controls."""

from ringlet.testing.clock import FakeClock, fake_clock

__all__ = ("FakeClock", "fake_clock")

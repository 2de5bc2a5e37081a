"""What the tests of locks, events and queues share."""

import pytest

import ringlet


@pytest.fixture(autouse=True)
def scheduler() -> None:
    """Let the thread have a scheduler: without one it holds locks by its number."""
    ringlet.main()

"""The interpreter's own tests of queues, run as they come against ours, where installed."""

import types
import unittest

import pytest

from ringlet import sync

test_queue = pytest.importorskip("test.test_queue", reason="the interpreter comes without tests")

# The tests look up types and exceptions in a module of this name. That of ours has no C and no
# Python version of SimpleQueue, but one.
OURS = types.SimpleNamespace(**{name: getattr(sync, name) for name in sync.__all__})


class QueueTests(test_queue.QueueTest, unittest.TestCase):
    queue = OURS


class LifoQueueTests(test_queue.LifoQueueTest, unittest.TestCase):
    queue = OURS


class PriorityQueueTests(test_queue.PriorityQueueTest, unittest.TestCase):
    queue = OURS


class FailingQueueTests(test_queue.FailingQueueTest, unittest.TestCase):
    queue = OURS


class SimpleQueueTests(test_queue.BaseSimpleQueueTest, unittest.TestCase):
    queue = OURS
    type2test = sync.SimpleQueue

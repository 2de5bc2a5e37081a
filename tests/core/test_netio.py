"""The core's part of input and output: what is registered when, endpoints, forks."""

import os
import socket as stdlib
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path

import pytest

import ringlet
from ringlet import _core
from ringlet.io import socket
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated


def settle():
    """Let all tasklets run until each of them waits."""
    for _ in range(5):
        ringlet.schedule()


def poll():
    """Let the hub look at the descriptors, and those it wakes run."""
    ringlet.sleep(0.0001)
    settle()


def watched():
    """The descriptors that this thread's epoll knows, as the kernel tells."""
    ringlet.sleep(0)
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(entry) != "anon_inode:[eventpoll]":
                continue
            lines = Path(f"/proc/self/fdinfo/{entry.name}").read_text().splitlines()
        except OSError:
            continue
        found[int(entry.name)] = {int(line.split()[1]) for line in lines if line[:4] == "tfd:"}
    for registered in found.values():
        if _core.hub().poller.wakeup_fd in registered:
            return registered - {_core.hub().poller.wakeup_fd}
    raise AssertionError(found)


@contextmanager
def tcp():
    """Two ends of a TCP connection. No fixture: the leak check runs a body several times."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


def exchange(a, b):
    """One message each way, the readers being there first."""
    for sender, receiver in ((a, b), (b, a)):
        reader = ringlet.spawn(receiver.recv, 100)
        settle()
        sender.sendall(b"x")
        assert reader.result() == b"x"


def test_a_descriptor_is_registered_by_its_first_wait_and_until_it_is_closed():
    a, b = socket.socketpair()
    numbers = {a.fileno(), b.fileno()}
    a.sendall(b"x")
    assert b.recv(1) == b"x"
    assert not watched() & numbers  # nobody had to wait
    exchange(a, b)
    assert watched() >= numbers
    exchange(a, b)
    b.close()
    assert watched() & numbers == {a.fileno()}
    fd = a.detach()
    assert not watched() & numbers
    os.close(fd)


def test_a_duplicate_keeps_no_registration():
    a, b = socket.socketpair()
    exchange(a, b)
    with a.dup():
        numbers = {a.fileno(), b.fileno()}
        a.close()
        b.close()
        assert not watched() & numbers


@contextmanager
def replaced(sock):
    """Put another socket, in which data waits, behind the number of `sock` for a while."""
    c, d = stdlib.socketpair()
    kept = os.dup(sock.fileno())
    with c, d:
        c.sendall(b"from the other")
        os.dup2(d.fileno(), sock.fileno())
        yield
        os.dup2(kept, sock.fileno())
    os.close(kept)


def test_after_a_short_read_the_next_one_parks_without_asking_the_kernel():
    with tcp() as (a, b):
        exchange(a, b)
        with replaced(b):
            reader = ringlet.spawn(b.recv, 100)
            settle()
            assert reader.state == "parked"
            reader.kill()


def unix_pair():
    return socket.socketpair()


def datagram_pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


@pytest.mark.parametrize(
    ("pair", "size", "flags"),
    [
        pytest.param(unix_pair, 100, 0, id="Unix stream"),
        pytest.param(datagram_pair, 100, 0, id="datagrams"),
        pytest.param(tcp, 1, 0, id="full read"),
        pytest.param(tcp, 100, socket.MSG_PEEK, id="flags"),
    ],
)
def test_in_all_other_cases_the_kernel_is_asked(pair, size, flags):
    with ExitStack() as stack:
        made = pair()
        a, b = stack.enter_context(made) if pair is tcp else map(stack.enter_context, made)
        reader = ringlet.spawn(b.recv, size)
        settle()
        a.sendall(b"x")
        assert reader.result() == b"x"
        with replaced(b):
            assert b.recv(100, flags) == b"from the other"


def test_urgent_data_and_ends_end_the_shortcut():
    for spoil in (lambda a: a.send(b"!", socket.MSG_OOB), lambda a: a.shutdown(socket.SHUT_WR)):
        with tcp() as (a, b):
            exchange(a, b)
            spoil(a)
            poll()
            with replaced(b):
                assert b.recv(100) == b"from the other"


def test_tls_in_the_kernel_ends_the_shortcut():
    with tcp() as (_, b):
        assert b._endpoint.plain
        with suppress(OSError):  # kernels need not have it
            b.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
        assert not b._endpoint.plain


def test_an_endpoint_by_itself():
    r, w = os.pipe()
    endpoint = _core.Endpoint(r, True, False, None)
    assert (endpoint.fd, endpoint.plain, endpoint.timeout) == (r, False, None)
    endpoint.plain = True
    assert endpoint.plain
    waiting = ringlet.spawn(endpoint.wait, 1, None, "test")
    settle()
    assert repr(endpoint) == f"<socket {r}: test>"
    os.write(w, b"x")
    assert waiting.result() == inf
    assert repr(endpoint) == f"<socket {r}>"
    os.read(r, 1)
    endpoint.timeout = 3
    assert endpoint.timeout == 3.0
    with fake_clock() as clock:
        with pytest.raises(TimeoutError):
            endpoint.wait(1, None, "test")
        assert clock.now == 3
    endpoint.forget()
    endpoint.forget()
    assert (endpoint.fd, repr(endpoint)) == (-1, "<closed socket>")
    with pytest.raises(OSError, match="Bad file descriptor"):
        endpoint.wait(1, None, "test")
    os.close(r)
    os.close(w)


def test_an_endpoint_that_is_dropped_while_registered():
    r, w = os.pipe()
    endpoint = _core.Endpoint(r, True, False, None)
    waiting = ringlet.spawn(endpoint.wait, 1, None, "test")
    settle()
    os.write(w, b"x")
    waiting.join()
    del endpoint, waiting
    os.close(r)
    os.close(w)
    poll()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: _core.Endpoint(), TypeError),
        (lambda: _core.Endpoint("3", True, True, None), TypeError),
        (lambda: _core.Endpoint(3, True, True, -1), ValueError),
        (lambda: _core.Endpoint(3, True, True, "soon"), TypeError),
        (lambda: _core.Endpoint(-1, True, True, None).wait(1), TypeError),
        (lambda: _core.Endpoint(-1, True, True, None).wait("1", None, "x"), TypeError),
        (lambda: _core.Endpoint(-1, True, True, None).wait(1, "x", "x"), TypeError),
        (lambda: _core.Endpoint(-1, True, True, None).wait(1, None, 7), TypeError),
        (lambda: _core.Descriptors(1), TypeError),
        (lambda: _core.Descriptors().poll(0), ringlet.TaskletError),
        (lambda: _core.hub().poller.poll("soon"), TypeError),
        (lambda: _core.hub().poller.expire("one"), TypeError),
        (lambda: _core.wait_descriptor("0", 1), TypeError),
        (lambda: _core.wait_descriptor(0, 1, "soon"), TypeError),
    ],
)
def test_nonsense_is_refused(make, error):
    with pytest.raises(error):
        make()


def test_the_timeout_of_an_endpoint_cannot_be_deleted():
    endpoint = _core.Endpoint(-1, True, True, None)
    with pytest.raises(AttributeError, match="set it to None"):
        del endpoint.timeout


def test_descriptors_by_themselves():
    descriptors = _core.Descriptors()
    assert (descriptors.waits, descriptors.waiting) == (False, 0)
    fd = descriptors.wakeup_fd
    assert fd >= 0
    descriptors.wakeup()
    descriptors.close()
    descriptors.close()
    assert descriptors.wakeup_fd == -1
    descriptors.wakeup()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_an_expired_timer_of_a_number_never_heard_of():
    _core.hub().poller.expire(-1)
    _core.hub().poller.expire(1_000_000)
    _core.hub().poller.expire(0)


def test_a_large_number_makes_the_table_grow():
    a, b = socket.socketpair()
    high = os.dup2(b.fileno(), 5000)
    b.close()
    with a, socket.socket(fileno=high) as b:
        exchange(a, b)


def test_blocking_in_the_hub_is_refused():
    a, b = socket.socketpair()
    errors = []

    def callback():
        a.sendall(b"does not block")
        try:
            a.recv(1)
        except ringlet.TaskletError as error:
            errors.append(str(error))

    _core.hub().call_soon(callback)
    assert b.recv(100) == b"does not block"
    assert "must not block" in errors[0]
    assert not _core.hub().poller.waits
    a.close()
    b.close()


FORK = """
import os, sys
import ringlet
from ringlet.io import socket

a, b = socket.socketpair()
c, d = socket.socketpair()
echo = lambda: [b.sendall(data.upper()) for data in iter(lambda: b.recv(100), b"")]
parents = ringlet.spawn(echo)
others = ringlet.spawn(d.recv, 1)
a.sendall(b"before")
assert a.recv(100) == b"BEFORE"

child = os.fork()
if child == 0:
    # Only this tasklet is left, and it has a hub of its own.
    assert ringlet.tasklets() == [ringlet.main()]
    e, f = socket.socketpair()
    mine = ringlet.spawn(f.recv, 100)
    ringlet.schedule()
    e.sendall(b"child")
    assert mine.result() == b"child"
    # What is closed here must stay registered in the parent.
    for sock in (b, c, d):
        sock.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
a.sendall(b"after")
assert a.recv(100) == b"AFTER"
c.sendall(b"x")
assert others.result() == b"x"
a.close()
parents.join()
"""


@pytest.mark.no_leak_check("the body is another process")
def test_fork_leaves_the_parent_alone_and_gives_the_child_a_hub():
    run_isolated(FORK)


FORK_BESIDE_THREAD = """
import os, threading
import ringlet
from ringlet.io import socket

a, b = socket.socketpair()
parked = threading.Event()
result = []
def wait():
    ringlet.spawn(parked.set)
    result.append(b.recv(100))
thread = threading.Thread(target=wait)
thread.start()
parked.wait()
# This thread has no hub, the other one waits for b.
child = os.fork()
if child == 0:
    b.close()
    a.close()
    c, d = socket.socketpair()
    reader = ringlet.spawn(d.recv, 1)
    ringlet.schedule()
    c.sendall(b"x")
    assert reader.result() == b"x"
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
a.sendall(b"for the thread")
thread.join()
assert result == [b"for the thread"]
"""


@pytest.mark.no_leak_check("the body is another process")
def test_a_fork_beside_a_thread_that_waits():
    run_isolated("import warnings; warnings.simplefilter('ignore')\n" + FORK_BESIDE_THREAD)


THREAD_ENDS = """
import gc, threading
import ringlet
from ringlet.io import socket

a, b = socket.socketpair()
ends = []
def leave_a_reader_behind():
    def read():
        try:
            b.recv(1)
        except BaseException as error:
            ends.append(type(error).__name__)
            raise
        finally:
            try:
                b.recv(1)
            except ringlet.TaskletError as error:
                ends.append("refused")
    ringlet.spawn(read)
    ringlet.schedule()
thread = threading.Thread(target=leave_a_reader_behind)
thread.start()
thread.join()
assert ends == ["GreenletExit", "refused"], ends
a.sendall(b"x")
assert b.recv(1) == b"x"
b.close()
a.close()
gc.collect()
"""


@pytest.mark.no_leak_check("the body is another process")
def test_a_thread_that_ends_while_a_tasklet_waits():
    run_isolated(THREAD_ENDS)


INTERRUPTED = """
import os, signal, threading
import ringlet
from ringlet.io import socket

# Ctrl-C while the hub polls ends the main program's wait, not the tasklet's.
a, b = socket.socketpair()
reader = ringlet.spawn(b.recv, 1)
ringlet.spawn_later(0.01, os.kill, os.getpid(), signal.SIGINT)
try:
    reader.join()
except KeyboardInterrupt:
    pass
else:
    raise AssertionError
a.sendall(b"x")
assert reader.result() == b"x"
"""


@pytest.mark.no_leak_check("the body is another process")
def test_control_c_while_polling():
    run_isolated(INTERRUPTED)


NO_DESCRIPTORS = """
import resource
import ringlet
from ringlet.io import socket

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
a, b = socket.socketpair()
resource.setrlimit(resource.RLIMIT_NOFILE, (b.fileno() + 1, hard))
try:
    ringlet.sleep(0.001)  # wants a hub, with an epoll descriptor
except OSError as error:
    assert "Too many open files" in str(error)
else:
    raise AssertionError
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
ringlet.sleep(0.001)
a.sendall(b"x")
assert b.recv(1) == b"x"
"""


@pytest.mark.no_leak_check("the body is another process")
def test_no_descriptor_is_left_for_the_hub():
    run_isolated(NO_DESCRIPTORS)

"""Names and addresses; nothing here asks a name server."""

import contextlib
import threading

import pytest

import ringlet
from ringlet.io import dns, socket
from ringlet.io.threadpool import to_thread
from ringlet.testing import fake_clock
from tests.support.isolated import run_isolated


@pytest.fixture
def lookups(monkeypatch):
    """What is looked up in a thread, recorded and then done."""
    seen = []

    def look_up(f, *args):
        seen.append((f.__name__, *args))
        return f(*args)

    monkeypatch.setattr(dns, "_look_up", look_up)
    return seen


@pytest.mark.parametrize(
    "arguments",
    [
        ("127.0.0.1", 80),
        ("::1", 80),
        (None, 80),
        (b"127.0.0.1", b"80"),
        ("127.0.0.1", "80"),
        ("127.0.0.1", None),
        ("127.1", 80, socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
    ],
)
def test_digits_are_answered_at_once(lookups, arguments):
    assert socket.getaddrinfo(*arguments) == dns.stdlib.getaddrinfo(*arguments)
    assert lookups == []


def test_names_are_looked_up_in_a_thread(lookups):
    assert socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    with contextlib.suppress(socket.gaierror):  # A small machine knows no services.
        socket.getaddrinfo("127.0.0.1", "http")
    assert [call[:3] for call in lookups] == [
        ("getaddrinfo", "localhost", 80),
        ("getaddrinfo", "127.0.0.1", "http"),
    ]


def test_other_tasklets_run_meanwhile(monkeypatch):
    gate = threading.Event()

    def slow(*args):
        gate.wait()
        return ["found"]

    monkeypatch.setattr(dns.native, "getaddrinfo", slow)
    looking = ringlet.spawn(dns.getaddrinfo, "name", "service")
    ringlet.sleep(0.001)
    assert looking.state == "parked"
    gate.set()
    assert looking.result() == ["found"]


@pytest.fixture
def hanging(monkeypatch):
    """Lookups that hang until the test is over; how many have begun."""
    gate = threading.Event()
    begun = []

    def hang(*args):
        begun.append(args)
        gate.wait()

    monkeypatch.setattr(dns.native, "getaddrinfo", hang)
    yield begun
    gate.set()


def test_who_waits_for_a_lookup_can_be_killed_and_cancelled(hanging):
    looking = [ringlet.spawn(dns.getaddrinfo, "name", "service") for _ in range(2)]
    ringlet.schedule()
    looking[0].kill()
    looking[1].cancel()
    looking[1].join()
    assert {tasklet.state for tasklet in looking} == {"finished"}


def test_a_time_limit_ends_the_wait_for_a_lookup_at_once(hanging):
    with fake_clock() as clock:
        with pytest.raises(ringlet.Timeout), ringlet.timeout(3):
            socket.create_connection(("name", "service"))
        assert clock.now == 3


def test_lookups_that_hang_hold_up_nobody_else(hanging):
    """Who has given up leaves no job behind that would have to be waited for."""
    looking = [ringlet.spawn(dns.getaddrinfo, "name", "service") for _ in range(dns.THREADS + 10)]
    while len(hanging) < dns.THREADS:
        ringlet.sleep(0.001)
    assert to_thread(int, "7") == 7  # other jobs have a pool of their own
    assert dns.gethostbyname("127.0.0.1") == "127.0.0.1"
    for tasklet in looking:
        tasklet.kill()
    assert len(hanging) == dns.THREADS


def test_the_pool_survives_lookups_that_nobody_waits_for_any_more(monkeypatch):
    gate = threading.Event()

    def slow(host, *_):
        if host == "slow":
            gate.wait()
        return [host]

    monkeypatch.setattr(dns.native, "getaddrinfo", slow)
    slow_ones = [ringlet.spawn(dns.getaddrinfo, "slow", "x") for _ in range(2 * dns.THREADS)]
    quick = ringlet.spawn(dns.getaddrinfo, "quick", "x")
    ringlet.sleep(0.01)
    for tasklet in slow_ones:
        tasklet.kill()
    gate.set()
    assert quick.result() == ["quick"]
    assert dns.getaddrinfo("again", "x") == ["again"]


def test_the_end_of_the_program_waits_for_no_lookup():
    run_isolated(
        """
import threading, ringlet
from ringlet.io import dns
dns.native.getaddrinfo = lambda *_: threading.Event().wait()
with ringlet.timeout(0.05, quiet=True):
    dns.getaddrinfo("name", "service")
"""
    )


def test_errors_are_those_of_the_standard_library():
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("host.invalid", 80)
    with pytest.raises(socket.gaierror):
        socket.gethostbyname("host.invalid")
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("127.0.0.1", 80, socket.AF_INET6)


def test_the_other_lookups(lookups):
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    assert lookups == []
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    assert socket.gethostbyname_ex("127.0.0.1") == ("127.0.0.1", [], ["127.0.0.1"])
    assert len(lookups) == 1
    assert set(socket.gethostbyname_ex("localhost")[2]) == {"127.0.0.1"}
    assert "127.0.0.1" in socket.gethostbyaddr("127.0.0.1")[2]
    assert socket.getfqdn("localhost")
    digits = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(("127.0.0.1", 80), digits) == ("127.0.0.1", "80")
    host, service = socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)
    assert host == "127.0.0.1"
    assert service in ("http", "80")
    assert [call[0] for call in lookups] == [
        "gethostbyname",
        "gethostbyname_ex",
        "gethostbyaddr",
        "gethostbyaddr",
        "getnameinfo",
    ]


def test_sockets_look_names_up_before_they_use_them(lookups):
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("localhost", 0))
        listener.listen()
        port = listener.getsockname()[1]
        client.connect(("localhost", port))
        listener.accept()[0].close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        sock.sendto(b"x", ("localhost", sock.getsockname()[1]))
        assert sock.recv(10) == b"x"
    assert [call[:2] for call in lookups] == [("getaddrinfo", "localhost")] * 3


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 80)),
        (socket.AF_INET, ("", 80)),
        (socket.AF_INET, ("<broadcast>", 80)),
        (socket.AF_INET, (7, 80)),
        (socket.AF_INET, ()),
        (socket.AF_INET, "nonsense"),
        (socket.AF_INET6, ("::1", 80, 1, 2)),
        (socket.AF_UNIX, ("localhost", 80)),
    ],
)
def test_what_needs_no_lookup_is_left_as_it_is(lookups, family, address):
    with socket.socket(family) as sock:
        assert dns.resolve(sock, address) == address
    assert lookups == []


def test_what_the_caller_says_of_a_scope_holds(monkeypatch):
    def found(*args):
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, 3))]

    monkeypatch.setattr(dns, "getaddrinfo", found)
    with socket.socket(socket.AF_INET6) as sock:
        assert dns.resolve(sock, ("name", 80)) == ("fe80::1", 80, 0, 3)
        assert dns.resolve(sock, ("name", 80, 1)) == ("fe80::1", 80, 1, 3)
        assert dns.resolve(sock, ("name", 80, 1, 2)) == ("fe80::1", 80, 1, 2)

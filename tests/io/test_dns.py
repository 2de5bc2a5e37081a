"""Names and addresses; nothing here asks a name server."""

import contextlib
import threading

import pytest

import ringlet
from ringlet.io import dns, socket


@pytest.fixture
def lookups(monkeypatch):
    """What is looked up in a thread, recorded and then done."""
    seen = []

    def to_thread(f, *args):
        seen.append((f.__name__, *args))
        return f(*args)

    monkeypatch.setattr(dns, "to_thread", to_thread)
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

    monkeypatch.setattr(dns, "native_getaddrinfo", slow)
    looking = ringlet.spawn(dns.getaddrinfo, "name", "service")
    ringlet.sleep(0.001)
    assert looking.state == "parked"
    gate.set()
    assert looking.result() == ["found"]


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

"""The PROXY protocol: whom a connection is for, read from what comes first."""

import socket as stdlib
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlet.io import socket
from ringlet.servers import StreamServer
from ringlet.servers.proxy_protocol import SIGNATURE, ProxyProtocol, ProxyProtocolError

LOCAL = ("127.0.0.1", 0)
PEER = ("127.0.0.1", 4711)


def second(command, protocol, rest):
    return SIGNATURE + struct.pack("!BBH", command, protocol, len(rest)) + rest


def addresses(family, source, target, *ports):
    hosts = [stdlib.inet_pton(family, host) for host in (source, target)]
    return b"".join(hosts) + struct.pack("!HH", *ports)


IPV4 = addresses(stdlib.AF_INET, "192.0.2.7", "192.0.2.1", 50000, 443)
IPV6 = addresses(stdlib.AF_INET6, "2001:db8::7", "2001:db8::1", 50000, 443)
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")

GOOD = {
    "1 over IPv4": (b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n", ("192.0.2.7", 50000)),
    "1 over IPv6": (b"PROXY TCP6 2001:db8::7 ::1 50000 443\r\n", ("2001:db8::7", 50000, 0, 0)),
    "1 unknown": (b"PROXY UNKNOWN\r\n", PEER),
    "1 unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", PEER),
    "1 at its longest": (
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(105, b"x") + b"\r\n",
        PEER,
    ),
    "2 over IPv4": (second(0x21, 0x11, IPV4), ("192.0.2.7", 50000)),
    "2 with more fields": (second(0x21, 0x11, IPV4 + b"\x04\0\x02no"), ("192.0.2.7", 50000)),
    "2 over IPv6": (second(0x21, 0x21, IPV6), ("2001:db8::7", 50000, 0, 0)),
    "2 over Unix": (second(0x21, 0x31, UNIX), "/run/client"),
    "2 unspecified": (second(0x21, 0x00, b"whatever"), PEER),
    "2 for itself": (second(0x20, 0x11, IPV4), PEER),
    "2 for itself, empty": (second(0x20, 0x00, b""), PEER),
}

BAD = {
    "no header": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
    "half a line": b"PROXY TCP4 192.0.2.7",
    "endless line": b"PROXY UNKNOWN " + b"x" * 200,
    "bare line feed": b"PROXY UNKNOWN\n",
    "other protocol": b"PROXY UDP4 192.0.2.7 192.0.2.1 50000 443\r\n",
    "no addresses": b"PROXY TCP4 \r\n",
    "name": b"PROXY TCP4 localhost 192.0.2.1 50000 443\r\n",
    "IPv6 as IPv4": b"PROXY TCP4 ::1 ::1 50000 443\r\n",
    "port too large": b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n",
    "signed port": b"PROXY TCP4 192.0.2.7 192.0.2.1 +1 443\r\n",
    "three ports": b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n",
    "not ASCII": b"PROXY TCP4 192.0.2.7 192.0.2.1 \xb2 443\r\n",
    "half a signature": SIGNATURE[:6],
    "half a second version": second(0x21, 0x11, IPV4)[:-1],
    "version 3": second(0x31, 0x11, IPV4),
    "unknown command": second(0x22, 0x11, IPV4),
    "too few for IPv4": second(0x21, 0x11, IPV4[:-1]),
    "too few for IPv6": second(0x21, 0x21, IPV6[:-1]),
    "too few for Unix": second(0x21, 0x31, UNIX[:-1]),
    "too long": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4097),
}


def read(data, protocol, *, end=False):
    """What the protocol makes of a connection that begins with `data`, and what is left of it."""
    ours, theirs = socket.socketpair(stdlib.AF_UNIX)
    with ours, theirs:
        theirs.sendall(data)
        if end:
            theirs.shutdown(stdlib.SHUT_WR)
        client = protocol.client_of(ours, PEER)
        theirs.close()
        return client, ours.recv(1000)


EVERYBODY = ProxyProtocol.of(True)


@pytest.mark.parametrize(("header", "client"), GOOD.values(), ids=GOOD.keys())
def test_the_client_is_who_the_header_says_and_nothing_more_is_read(header, client):
    assert read(header + b"what follows\n", EVERYBODY) == (client, b"what follows\n")


@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_what_is_no_header_is_refused(header):
    with pytest.raises(ProxyProtocolError):
        read(header, EVERYBODY, end=True)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: SIGNATURE + data))
def test_any_bytes_are_a_header_or_refused(data):
    with suppress(ProxyProtocolError):
        read(data, EVERYBODY, end=True)


@pytest.mark.parametrize(
    ("trusted", "peer", "expected"),
    [
        (True, "192.0.2.1", True),
        (["192.0.2.0/24"], "192.0.2.1", True),
        (["192.0.2.0/24"], "192.0.3.1", False),
        (["192.0.2.0/24", "10.0.0.1"], "10.0.0.1", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.1", True),
        (["192.0.2.0/24"], "fe80::1%lo", False),
        (["fe80::/10"], "fe80::1%lo", True),
        (["unix"], "192.0.2.1", False),
        ([], "192.0.2.1", False),
    ],
)
def test_who_is_trusted(trusted, peer, expected):
    with socket.socket(stdlib.AF_INET) as sock:
        assert ProxyProtocol.of(trusted).trusts(sock, (peer, 1)) is expected


@pytest.mark.parametrize(
    ("trusted", "expected"), [(True, True), (["unix"], True), (["::1"], False)]
)
def test_unix_sockets_are_trusted_by_name(trusted, expected):
    with socket.socket(stdlib.AF_UNIX) as sock:
        assert ProxyProtocol.of(trusted).trusts(sock, "") is expected


@pytest.mark.parametrize("wanted", ["10.0.0.0/8", 1, None])
def test_what_names_no_networks_is_refused(wanted):
    with pytest.raises(TypeError, match="give True, or a list of networks"):
        StreamServer(LOCAL, print, proxy_protocol=wanted)


def test_what_is_no_network_is_refused():
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        StreamServer(LOCAL, print, proxy_protocol=["everybody"])


def ask(server, data):
    with socket.create_connection(server.address) as client:
        client.sendall(data)
        return client.recv(100)


def tell(sock, address):
    sock.sendall(f"{address[0]} {address[1]} ".encode() + sock.recv(100))


def test_a_server_behind_a_proxy(caplog):
    server = StreamServer(LOCAL, tell, proxy_protocol=["127.0.0.0/8"])
    server.start()
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n"
    assert ask(server, header + b"hello") == b"192.0.2.7 50000 hello"
    assert not caplog.records
    assert ask(server, b"I am nobody!") == b""
    [record] = caplog.records
    assert "the proxy protocol with 127.0.0.1:" in record.getMessage()
    assert "which is no header" in record.getMessage()
    assert ask(server, header + b"again") == b"192.0.2.7 50000 again"
    server.stop(0)


def test_others_are_not_believed():
    server = StreamServer(LOCAL, tell, proxy_protocol=["192.0.2.0/24"])
    server.start()
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n"
    assert ask(server, header).startswith(b"127.0.0.1 ")
    assert ask(server, header).endswith(header)
    server.stop(0)


def test_a_proxy_has_only_so_much_time(caplog):
    server = StreamServer(LOCAL, tell, proxy_protocol=True, handshake_timeout=0.01)
    server.start()
    with socket.create_connection(server.address) as client:
        client.sendall(b"PROXY ")
        assert client.recv(100) == b""
    [record] = caplog.records
    assert "the proxy protocol with 127.0.0.1:" in record.getMessage()
    server.stop(0)


def test_what_is_no_network_is_said_with_the_name_of_the_option():
    with pytest.raises(ValueError, match=r"^proxy_protocol: '10\.0\.0\.0/99' .*: give addresses"):
        ProxyProtocol.of(["10.0.0.0/99"])

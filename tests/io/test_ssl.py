"""TLS: contexts, handshakes, who is trusted, what has been agreed on, and the end."""

import contextlib
import gc
import socket as plain
import ssl as stdlib
import threading
import weakref

import pytest

import ringlet
from ringlet.io import socket, ssl
from ringlet.testing import fake_clock
from tests.certificates import (
    AUTHORITY,
    CLIENT,
    EXPIRED,
    OTHER,
    SERVER,
    STRANGER,
    client_context,
    server_context,
)
from tests.io.settling import settle
from tests.io.tls import connected, shake, tcp_pair

# --- what it is ---------------------------------------------------------------------------------


def test_it_is_a_socket_of_the_standard_library(tls):
    for sock in tls:
        assert isinstance(sock, stdlib.SSLSocket)
        assert isinstance(sock, socket.socket)
        assert type(sock) is ssl.SSLSocket
        assert repr(sock).startswith(f"<ringlet.io.ssl.SSLSocket fd={sock.fileno()}, ")


def test_every_name_of_the_standard_library_is_here():
    for name in dir(stdlib):
        if name.startswith("_") or name == "wrap_socket":
            continue
        assert hasattr(ssl, name), name
        assert name in dir(ssl), name
    assert ssl.SSLError is stdlib.SSLError
    assert ssl.CERT_REQUIRED is stdlib.CERT_REQUIRED
    assert ssl.MemoryBIO is stdlib.MemoryBIO
    for name in ("no_such_name", "wrap_socket"):
        with pytest.raises(AttributeError, match=name):
            getattr(ssl, name)


def test_every_method_that_can_block_is_ours():
    blocking = {
        *("accept", "connect", "connect_ex", "do_handshake", "pending", "read", "recv"),
        *("recv_into", "send", "sendall", "sendfile", "shutdown", "unwrap"),
        *("verify_client_post_handshake", "write"),
    }
    assert blocking <= vars(ssl.SSLSocket).keys()


def test_contexts_are_ours_with_the_settings_of_the_standard_library():
    ours, theirs = ssl.create_default_context(), stdlib.create_default_context()
    assert type(ours) is ssl.SSLContext
    for name in ("verify_mode", "check_hostname", "options", "verify_flags", "minimum_version"):
        assert getattr(ours, name) == getattr(theirs, name), name
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    assert ours.minimum_version is ssl.TLSVersion.TLSv1_3
    careless = ssl._create_unverified_context()
    assert type(careless) is ssl.SSLContext
    assert careless.verify_mode is ssl.CERT_NONE


def test_sockets_are_made_by_contexts_only():
    with pytest.raises(TypeError, match="public constructor"):
        ssl.SSLSocket(socket.AF_INET)
    with connected() as (client, _), pytest.raises(NotImplementedError, match="dup"):
        client.dup()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, "check_hostname requires server_hostname"),
        ({"server_side": True, "server_hostname": "x"}, ValueError, "client mode"),
        ({"server_side": True, "session": object()}, ValueError, "client mode"),
    ],
)
def test_what_wrap_socket_refuses(unix, options, error, text):
    a, b = unix
    with pytest.raises(error, match=text):
        client_context().wrap_socket(a, **options)
    a.sendall(b"as it was")
    assert b.recv(100) == b"as it was"


def test_datagrams_are_refused():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(NotImplementedError, match="stream"):
            client_context().wrap_socket(sock, server_hostname="localhost")


def test_a_handshake_needs_a_socket_that_may_wait(unix):
    a, _ = unix
    a.settimeout(0)
    with pytest.raises(ValueError, match="non-blocking"):
        client_context().wrap_socket(a, server_hostname="localhost")


def test_data_that_lies_in_a_connection_that_has_gone_is_no_tls():
    """It would be taken for what came through TLS."""
    listener = plain.create_server(("127.0.0.1", 0))
    with listener, plain.create_connection(listener.getsockname()) as theirs:
        ours = listener.accept()[0]
        theirs.sendall(b"not encrypted")
        theirs.shutdown(plain.SHUT_WR)
        # Reset from here on; what had come stays readable.
        ours.recv(1, plain.MSG_PEEK)
        theirs.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with ours, pytest.raises(ssl.SSLError, match="Closed before TLS handshake"):
        server_context().wrap_socket(ours, server_side=True)


# --- handshakes ---------------------------------------------------------------------------------


def test_others_run_during_a_handshake():
    a, b = tcp_pair()
    waiting = ringlet.spawn(client_context().wrap_socket, a, server_hostname="localhost")
    settle()
    assert waiting.state == "parked"
    assert "handshake" in repr(waiting.waiting_on)
    with ssl.wrap_accepted(b, server_context()), waiting.result():
        pass


def test_connecting_and_accepting_do_the_handshake():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with server_context().wrap_socket(listener, server_side=True) as tls_listener:
            accepting = ringlet.spawn(tls_listener.accept)
            with client_context().wrap_socket(socket.socket(), server_hostname="localhost") as sock:
                sock.connect(address)
                with pytest.raises(ValueError, match="already-connected"):
                    sock.connect(address)
                with accepting.result()[0] as server:
                    assert type(server) is ssl.SSLSocket
                    server.sendall(b"hello")
                    assert sock.recv(10) == b"hello"
            with pytest.raises(ValueError, match="server-side"):
                tls_listener.connect(address)


def test_connect_ex_tells_what_went_wrong():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with client_context().wrap_socket(socket.socket(), server_hostname="localhost") as sock:
        assert sock.connect_ex(address) != 0
        assert sock.version() is None


def test_the_handshake_can_be_left_for_later():
    a, b = tcp_pair()
    accepting = ringlet.spawn(ssl.wrap_accepted, b, server_context())
    client = client_context().wrap_socket(
        a, server_hostname="localhost", do_handshake_on_connect=False
    )
    with client:
        settle()
        assert client.version() is None
        client.do_handshake()
        with accepting.result():
            assert client.version() == "TLSv1.3"


def test_reading_and_writing_do_the_handshake_if_nobody_has():
    a, b = tcp_pair()
    with (
        client_context().wrap_socket(
            a, server_hostname="localhost", do_handshake_on_connect=False
        ) as client,
        server_context().wrap_socket(b, server_side=True, do_handshake_on_connect=False) as server,
    ):
        # All four need the same input, whoever gets hold of it.
        readers = [ringlet.spawn(end.recv, 10) for end in (client, server)]
        settle()
        writers = [ringlet.spawn(end.sendall, b"hello") for end in (client, server)]
        assert [reader.result() for reader in readers] == [b"hello", b"hello"]
        for writer in writers:
            writer.join()


def test_a_handshake_has_a_time_limit():
    with fake_clock() as clock:
        a, b = tcp_pair()
        with a:
            with pytest.raises(TimeoutError):
                ssl.wrap_accepted(b, server_context(), 5.0)
            assert clock.now == pytest.approx(5)
            assert a.recv(1) == b""  # and it is closed
        a, b = tcp_pair()
        with b:
            a.settimeout(7)
            with pytest.raises(TimeoutError):
                client_context().wrap_socket(a, server_hostname="localhost")
            assert clock.now == pytest.approx(12)


def test_the_time_limit_holds_for_the_whole_handshake():
    """A client that sends a byte now and then does not get more of it."""
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x").do_handshake()
    with fake_clock() as clock:
        a, b = tcp_pair()

        def drip():
            with a:
                for octet in hello.read():
                    a.sendall(bytes([octet]))
                    ringlet.sleep(2)

        dripping = ringlet.spawn(drip)
        with pytest.raises(TimeoutError):
            ssl.wrap_accepted(b, server_context(), 5.0)
        assert clock.now == pytest.approx(5)
        dripping.kill()


def test_a_timeout_outlives_the_handshake(unix):
    a, b = unix
    a.settimeout(17)
    b.settimeout(18)
    client, server = shake(a, b)
    with client, server:
        assert (client.gettimeout(), server.gettimeout()) == (17, 18)
        assert a.fileno() == b.fileno() == -1


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 300, b""])
def test_a_client_that_speaks_no_tls(data):
    a, b = tcp_pair()
    with a:
        a.sendall(data)
        a.shutdown(socket.SHUT_WR)
        with pytest.raises(ssl.SSLError):
            ssl.wrap_accepted(b, server_context())
        assert ringlet.tasklets() == [ringlet.main()]


# --- trust --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "name", "reason"),
    [
        (STRANGER, "localhost", "self-signed certificate|self signed certificate"),
        (EXPIRED, "localhost", "certificate has expired"),
        (OTHER, "localhost", "Hostname mismatch"),
        (SERVER, "127.0.0.2", "IP address mismatch"),
    ],
)
def test_servers_that_are_not_trusted(certificate, name, reason):
    with pytest.raises(ssl.SSLCertVerificationError, match=reason) as caught:
        shake(*tcp_pair(), server=server_context(certificate), server_hostname=name)
    assert caught.value.reason == "CERTIFICATE_VERIFY_FAILED"
    assert caught.value.verify_code > 0


def test_the_server_learns_that_it_is_not_trusted():
    """The alert gets out although the client's handshake has failed."""
    a, b = tcp_pair()
    accepting = ringlet.spawn(ssl.wrap_accepted, b, server_context(STRANGER))
    with pytest.raises(ssl.SSLCertVerificationError):
        client_context().wrap_socket(a, server_hostname="localhost")
    with pytest.raises(ssl.SSLError, match="ALERT"):
        accepting.result()


def test_what_is_known_of_a_trusted_server():
    with connected(server_hostname="127.0.0.1") as (client, server):
        assert ("DNS", "localhost") in client.getpeercert()["subjectAltName"]
        assert stdlib.PEM_cert_to_DER_cert(_certificate_of(SERVER)) == client.getpeercert(True)
        assert server.getpeercert() is None
        assert client.cipher() == server.cipher()
        assert server.shared_ciphers()
        assert client.compression() is None
        assert client.get_channel_binding("tls-unique") is not None
        assert client.server_hostname == "127.0.0.1"
        assert server.server_side


def _certificate_of(path):
    with open(path) as file:
        text = file.read()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def asking_context():
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(AUTHORITY)
    return context


def test_clients_with_certificates():
    with connected(client_context(CLIENT), asking_context()) as (_, server):
        assert server.getpeercert()["subject"] == ((("commonName", "somebody"),),)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_that_should_have_a_certificate(version):
    context = client_context()
    context.maximum_version = ssl.TLSVersion[version]
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure|certificate.required|did not"):
        shake(*tcp_pair(), context, asking_context())


def test_asking_for_a_certificate_when_it_is_needed():
    asking, client = asking_context(), client_context(CLIENT)
    asking.verify_mode = ssl.CERT_OPTIONAL
    client.post_handshake_auth = True
    asking.post_handshake_auth = True
    with connected(client, asking) as (a, b):
        assert b.getpeercert() is None
        b.verify_client_post_handshake()
        b.sendall(b"who are you?")
        assert a.recv(100) == b"who are you?"
        a.sendall(b"somebody")
        assert b.recv(100) == b"somebody"
        assert b.getpeercert()["subject"] == ((("commonName", "somebody"),),)


def test_the_certificate_of_a_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for trusted in (None, AUTHORITY):
            accepting = ringlet.spawn(
                lambda: ssl.wrap_accepted(listener.accept()[0], server_context())
            )
            address = listener.getsockname()
            found = ssl.get_server_certificate(address, ca_certs=trusted, timeout=20)
            accepting.result().close()
            assert found.strip() == _certificate_of(SERVER).strip()


# --- agreements ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "agreed"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None)])
def test_a_protocol_is_agreed_on(wanted, agreed):
    client, server = client_context(), server_context()
    client.set_alpn_protocols(wanted)
    server.set_alpn_protocols(["http/1.1", "http/1.0"])
    with connected(client, server) as ends:
        assert [end.selected_alpn_protocol() for end in ends] == [agreed, agreed]


def test_a_server_with_two_names():
    seen = []

    def choose(sock, name, context):
        seen.append((type(sock), name, context is first))
        if name == "other.test":
            sock.context = second

    first, second = server_context(), server_context(OTHER)
    first.sni_callback = choose
    with connected(server=first, server_hostname="other.test") as (client, server):
        assert client.getpeercert()["subject"] == ((("commonName", "other.test"),),)
        assert server.context is second
    with connected(server=first) as (client, server):
        assert client.getpeercert()["subject"] == ((("commonName", "localhost"),),)
        assert server.context is first
    assert seen == [(ssl.SSLSocket, "other.test", True), (ssl.SSLSocket, "localhost", True)]


def test_a_server_that_does_not_know_a_name():
    server = server_context()
    server.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        shake(*tcp_pair(), server=server)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_is_resumed(version):
    client, server = client_context(), server_context()
    client.maximum_version = ssl.TLSVersion[version]
    with connected(client, server) as (a, b):
        b.sendall(b"x")
        assert a.recv(1) == b"x"  # with 1.3 the ticket comes before the first data
        assert not a.session_reused
        session = a.session
    assert session.id or session.ticket_lifetime_hint
    with connected(client, server, session=session) as (a, b):
        assert a.session_reused
        assert b.session_reused
        b.sendall(b"x")
        assert a.recv(1) == b"x"


# --- contexts of the standard library -----------------------------------------------------------


def test_contexts_of_the_standard_library_serve():
    server = stdlib.create_default_context(stdlib.Purpose.CLIENT_AUTH)
    server.load_cert_chain(SERVER)
    with connected(stdlib.create_default_context(cafile=AUTHORITY), server) as ends:
        assert [type(end) for end in ends] == [ssl.SSLSocket, ssl.SSLSocket]
        assert ends[0].context.sslsocket_class is stdlib.SSLSocket  # it is as it was


def test_contexts_that_make_sockets_of_ones_own():
    class Mine(ssl.SSLSocket):
        pass

    context = stdlib.create_default_context(cafile=AUTHORITY)
    context.sslsocket_class = Mine
    with connected(context) as (client, _):
        assert type(client) is Mine


def test_sockets_of_the_standard_library_are_taken_over():
    a, b = plain.socketpair()
    a.settimeout(5)
    client, server = shake(a, b)
    with client, server:
        assert client.gettimeout() == 5
        reader = ringlet.spawn(client.recv, 10)
        settle()
        assert reader.state == "parked"
        server.sendall(b"x")
        assert reader.result() == b"x"


def test_the_other_side_may_be_the_standard_library(listener):
    """All that our two ends might do wrong in the same way would show here."""
    received = []

    def run():
        context = stdlib.create_default_context(cafile=AUTHORITY)
        with plain.create_connection(listener.getsockname(), 30) as sock:
            with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
                wrapped.sendall(b"request" * 10_000)
                while data := wrapped.recv(65536):
                    received.append(data)
                wrapped.unwrap().close()

    client = threading.Thread(target=run)
    client.start()
    with ssl.wrap_accepted(listener.accept()[0], server_context()) as server:
        left = 70_000
        while left:
            left -= len(server.recv(65536))
        server.sendall(b"response" * 10_000)
        server.shutdown(socket.SHUT_WR)
        assert server.recv(10) == b""
    client.join()
    assert b"".join(received) == b"response" * 10_000


def test_sockets_in_memory():
    """TLS inside of TLS, as proxies want it: wrap_bio is the standard library's."""
    with connected() as (outer_client, outer_server):

        def run(sock, context, **options):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            inner = context.wrap_bio(incoming, outgoing, **options)

            def call(operation, *args):
                while True:
                    try:
                        result = operation(*args)
                    except ssl.SSLWantReadError:
                        sock.sendall(outgoing.read())
                        incoming.write(sock.recv(65536))
                    else:
                        sock.sendall(outgoing.read())
                        return result

            call(inner.do_handshake)
            call(inner.write, b"hello from the %d" % inner.server_side)
            return call(inner.read, 100)

        server = ringlet.spawn(run, outer_server, server_context(), server_side=True)
        heard = run(outer_client, client_context(), server_hostname="localhost")
        assert heard == b"hello from the 1"
        assert server.result() == b"hello from the 0"


def test_connections_need_no_collector():
    """One that is dropped is freed at once, also after an error."""
    gc.collect()
    gc.disable()
    try:
        with connected() as (client, server):
            client.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.recv(1)
            client.settimeout(None)
            server.sendall(b"x")
            assert client.recv(1) == b"x"
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            server.close()
            with contextlib.suppress(ConnectionError):
                client.recv(1)
            ends = weakref.ref(client), weakref.ref(server)
        del client, server
        assert [end() for end in ends] == [None, None]
    finally:
        gc.enable()

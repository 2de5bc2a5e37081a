"""WebSockets with a client of wsproto's, well-behaved and not."""

import gc
import weakref
from contextlib import contextmanager, suppress

import pytest
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from ringlet import Channel, sleep, spawn, timeout
from ringlet.servers import WSGIServer
from ringlet.servers import websocket as module
from ringlet.servers.websocket import WebSocketClosed, websocket
from tests.certificates import client_context, server_context
from tests.servers.scripted import get, talk_script
from tests.servers.websockets import Client

SECONDS = 20


@contextmanager
def serving(handler, tls=None, **options):
    server = WSGIServer(("127.0.0.1", 0), websocket(handler, **options), ssl=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


@contextmanager
def client_of(server, **options):
    client = Client(server.address, **options)
    try:
        yield client
    finally:
        client.sock.close()


def echo(ws):
    for message in ws:
        ws.send(message)


def test_messages_go_both_ways_and_keep_their_kind():
    with serving(echo) as server, client_of(server) as client:
        assert isinstance(client.event(), AcceptConnection)
        client.send(TextMessage(data="h\u00e9llo"))
        assert client.event() == TextMessage(data="h\u00e9llo")
        client.send(BytesMessage(data=b"\0\xff"))
        assert client.event() == BytesMessage(data=b"\0\xff")
        client.send(TextMessage(data=""))
        assert client.event() == TextMessage(data="")


def test_a_message_may_come_in_pieces():
    with serving(echo) as server, client_of(server) as client:
        client.event()
        client.send(TextMessage(data="one ", message_finished=False))
        client.send(Ping(payload=b"in between"))
        client.send(TextMessage(data="two", message_finished=True))
        assert client.event() == Pong(payload=b"in between")
        assert client.event() == TextMessage(data="one two")


@pytest.mark.parametrize("compression", [False, True])
def test_long_messages(compression):
    text = "0123456789" * 50_000
    extensions = [PerMessageDeflate()]
    with (
        serving(echo, compression=compression) as server,
        client_of(server, extensions=extensions) as client,
    ):
        accepted = client.event()
        assert [extension.name for extension in accepted.extensions] == (
            ["permessage-deflate"] if compression else []
        )
        sender = spawn(client.send, TextMessage(data=text))
        assert client.message() == text
        sender.result(SECONDS)


@pytest.mark.parametrize("compression", [False, True])
def test_a_message_that_is_too_long_closes(compression):
    """Compressed, too, where a few bytes are many."""
    with (
        serving(echo, max_message=1000, compression=compression) as server,
        client_of(server, extensions=[PerMessageDeflate()]) as client,
    ):
        client.event()
        client.send(BytesMessage(data=b"x" * 1000))
        assert client.message() == b"x" * 1000
        client.send(BytesMessage(data=b"x" * 100_000))
        event = client.event()
        assert (event.code, event.reason) == (1009, "a message exceeds 1000 bytes")


def test_the_client_closes():
    ended = Channel(buffer=1)

    def handler(ws):
        with pytest.raises(WebSocketClosed) as caught:
            ws.receive()
        ended.send((caught.value.code, caught.value.reason))
        with pytest.raises(WebSocketClosed):
            ws.send("too late")
        ws.close()

    with serving(handler) as server, client_of(server) as client:
        client.event()
        client.send(CloseConnection(code=1000, reason="bye"))
        assert client.event() == CloseConnection(code=1000, reason="bye")
        assert ended.receive(SECONDS) == (1000, "bye")
        assert client.event() is None


def test_the_handler_closes():
    def handler(ws):
        ws.close(4000, "enough")

    with serving(handler) as server, client_of(server) as client:
        client.event()
        event = client.event()
        assert (event.code, event.reason) == (4000, "enough")
        client.send(event.response())
        assert client.event() is None


def test_returning_closes_and_hears_the_client_out():
    with serving(lambda ws: ws.send("bye")) as server, client_of(server) as client:
        client.event()
        assert client.event() == TextMessage(data="bye")
        event = client.event()
        assert event.code == 1000
        client.sock.sendall(b"\x81\x82\0\0\0\0hm")  # was on its way
        client.send(event.response())
        assert client.event() is None


def test_a_handler_that_fails_closes_and_is_logged(caplog):
    def handler(ws):
        raise LookupError

    with serving(handler) as server, client_of(server) as client:
        client.event()
        event = client.event()
        assert event.code == 1011
        client.send(event.response())
        assert client.event() is None
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info[0] is LookupError


def test_a_lost_connection_ends_the_iteration(caplog):
    ended = Channel(buffer=1)

    def handler(ws):
        echo(ws)
        ended.send("ended")

    with serving(handler) as server:
        with client_of(server) as client:
            client.event()
        assert ended.receive(SECONDS) == "ended"
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_broken_frames_close():
    with serving(echo) as server, client_of(server) as client:
        client.event()
        client.sock.sendall(b"\x81\x05hello")  # without a mask
        assert client.event().code == 1002
        assert client.event() is None


def test_text_that_is_no_utf8_closes():
    with serving(echo) as server, client_of(server) as client:
        client.event()
        client.sock.sendall(b"\x81\x81\0\0\0\0\xff")
        assert client.event().code == 1007


def test_several_tasklets_may_send():
    def handler(ws):
        senders = [spawn(ws.send, bytes([number]) * 100_000) for number in range(5)]
        for sender in senders:
            sender.result(SECONDS)
        ws.receive()

    with serving(handler) as server, client_of(server) as client:
        client.event()
        assert {client.message() for _ in range(5)} == {
            bytes([number]) * 100_000 for number in range(5)
        }


def test_a_silent_client_is_asked_and_then_lost():
    ended = Channel(buffer=1)

    def handler(ws):
        with pytest.raises(WebSocketClosed) as caught:
            ws.receive()
        ended.send(caught.value.code)

    with serving(handler, ping_interval=0.05) as server, client_of(server) as client:
        client.event()
        assert isinstance(client.event(), Ping)
        assert ended.receive(SECONDS) == 1006


def test_a_client_that_answers_is_kept():
    with serving(echo, ping_interval=0.05) as server, client_of(server) as client:
        client.event()
        for _ in range(3):
            client.send(client.event().response())
        client.send(TextMessage(data="here"))
        assert client.message() == "here"


def test_it_is_freed_at_once():
    kept = []

    def handler(ws):
        kept.append(weakref.ref(ws))
        echo(ws)

    gc.collect()
    gc.disable()
    try:
        with serving(handler) as server, client_of(server) as client:
            client.event()
            client.send(TextMessage(data="hm"))
            client.event()
            client.send(CloseConnection(code=1000))
            client.event()
            assert client.event() is None
        assert kept[0]() is None
    finally:
        gc.enable()


def test_over_tls():
    text = "0123456789" * 50_000
    with (
        serving(echo, server_context()) as server,
        client_of(server, context=client_context()) as client,
    ):
        client.event()
        sender = spawn(client.send, TextMessage(data=text))
        assert client.message() == text
        sender.result(SECONDS)
        stopping = spawn(server.stop, SECONDS)
        event = client.event()
        assert event.code == 1001
        client.send(event.response())
        assert client.event() is None
        client.sock.close()
        stopping.result(SECONDS)


def test_a_message_that_was_cut_is_never_followed_by_another():
    """A time limit of the handler's own has ended it half-way."""
    told = Channel(buffer=1)

    def handler(ws):
        with timeout(0.05, quiet=True):
            ws.send(b"x" * 20_000_000)
        with pytest.raises(WebSocketClosed):
            ws.send("y")
        told.send("told")

    with serving(handler) as server, client_of(server) as client:
        client.event()
        assert told.receive(SECONDS) == "told"


def test_receiving_has_a_time_limit():
    def handler(ws):
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.01)
        ws.send("nothing")

    with serving(handler) as server, client_of(server) as client:
        client.event()
        assert client.message() == "nothing"


@pytest.mark.parametrize("over_tls", [False, True])
def test_limits_on_receiving_are_none_on_sending(over_tls):
    """The client is slow, and the handler often looks whether it has sent something."""

    def handler(ws):
        sending = spawn(ws.send, b"x" * 10_000_000)
        while not sending.finished:
            with suppress(TimeoutError):
                ws.receive(timeout=0.01)
        sending.result()

    server_tls, client_tls = (server_context(), client_context()) if over_tls else (None, None)
    with (
        serving(handler, server_tls) as server,
        client_of(server, context=client_tls) as client,
    ):
        client.event()
        for _ in range(100):
            client.frames.receive_data(client.sock.recv(65536))
            sleep(0.003)
        assert len(client.message()) == 10_000_000


@pytest.mark.parametrize("code", [0, 99, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_be_sent(code):
    def handler(ws):
        with pytest.raises(ValueError, match=f"{code} is no code to close with"):
            ws.close(code)
        ws.send("open")

    with serving(handler) as server, client_of(server) as client:
        client.event()
        assert client.message() == "open"


def test_text_without_a_form_in_utf8_is_refused_and_nothing_is_sent():
    def handler(ws):
        with pytest.raises(UnicodeEncodeError):
            ws.send("\ud800")
        ws.send("fine")

    with serving(handler) as server, client_of(server) as client:
        client.event()
        assert client.message() == "fine"


def test_only_str_and_bytes_are_messages():
    def handler(ws):
        with pytest.raises(TypeError, match="a message is str or bytes, not int"):
            ws.send(5)
        ws.send(bytearray(b"fine"))

    with serving(handler) as server, client_of(server) as client:
        client.event()
        assert client.message() == b"fine"


def test_what_the_handler_knows():
    def handler(ws):
        ws.send(f"{ws.path} {ws.subprotocol} {ws.environ['QUERY_STRING']}")

    with (
        serving(handler, subprotocols=["v2", "v1"]) as server,
        client_of(server, path="/room?x", subprotocols=["v1", "v3", "v2"]) as client,
    ):
        assert client.event().subprotocol == "v2"
        assert client.message() == "/room v2 x"


def test_stopping_says_goodbye():
    ended = Channel(buffer=1)

    def handler(ws):
        echo(ws)
        ended.send("ended")

    with serving(handler) as server, client_of(server) as client:
        client.event()
        stopping = spawn(server.stop, SECONDS)
        event = client.event()
        assert event.code == 1001
        client.send(event.response())
        assert ended.receive(SECONDS) == "ended"
        assert client.event() is None
        client.sock.close()
        stopping.result(SECONDS)


def test_a_handler_that_is_killed_says_goodbye():
    def handler(ws):
        ws.send("here")
        Channel().receive()

    with serving(handler) as server, client_of(server) as client:
        client.event()
        client.message()
        server.stop(0)
        assert client.event().code == 1001


@pytest.mark.parametrize(
    ("origin", "origins", "allowed"),
    [
        (None, None, True),
        ("https://a.example", None, True),
        ("https://A.example", None, True),
        ("https://evil.example", None, False),
        ("https://a.example.evil.example", None, False),
        ("null", None, False),
        ("https://b.example", ["https://b.example"], True),
        ("https://a.example", ["https://b.example"], False),
        ("https://evil.example", ["*"], True),
    ],
)
def test_pages_of_other_sites_are_refused(origin, origins, allowed):
    headers = [] if origin is None else [("Origin", origin)]
    with (
        serving(echo, origins=origins) as server,
        client_of(server, headers=headers) as client,
    ):
        event = client.event()
        if allowed:
            assert isinstance(event, AcceptConnection)
        else:
            assert isinstance(event, RejectConnection)
            assert event.status_code == 403


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def answer_to(**changes):
    changed = HANDSHAKE | {name.replace("_", "-"): value for name, value in changes.items()}
    headers = [f"{name}: {value}" for name, value in changed.items() if value]
    return talk_script(websocket(echo), get("/", *headers)).answers[0]


def test_a_handshake_that_is_none_is_told_what_to_do():
    answer = answer_to(Connection="close", Upgrade=None)
    assert answer.status == 426
    assert (answer.headers["upgrade"], answer.headers["sec-websocket-version"]) == (
        "websocket",
        "13",
    )
    assert answer_to(Upgrade="h2c").status == 426
    assert answer_to(Sec_WebSocket_Version="8").status == 426
    assert answer_to(Sec_WebSocket_Key=None).status == 400
    assert answer_to(Sec_WebSocket_Key="short").status == 400


def test_the_handshake_is_that_of_the_standard():
    """With the key and the answer that RFC 6455 gives for an example."""
    headers = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
    raw = talk_script(websocket(echo), get("/", *headers)).raw
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in raw


def test_offers_of_compression_that_cannot_be_met_are_passed_over():
    offers = "x-other, permessage-deflate; client_max_window_bits=99, permessage-deflate"
    headers = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
    app = websocket(echo, compression=True)
    raw = talk_script(app, get("/", *headers, f"Sec-WebSocket-Extensions: {offers}")).raw
    assert b"Sec-WebSocket-Extensions: permessage-deflate\r\n" in raw


def test_a_list_that_is_a_str_is_refused():
    for options in ({"subprotocols": "v1"}, {"origins": "https://a.example"}):
        with pytest.raises(TypeError, match="lists of str"):
            websocket(echo, **options)


def test_without_wsproto_the_extra_is_named(monkeypatch):
    missing = ModuleNotFoundError("No module named 'wsproto'")
    monkeypatch.setattr(module, "WSPROTO_ERROR", missing)
    with pytest.raises(ImportError, match=r"wsproto.*pip install 'ringlet\[websocket\]'"):
        websocket(echo)


def test_the_client_of_these_tests_ends_as_it_should():
    """The state machine of the other side agrees with ours to the end."""
    with serving(echo) as server, client_of(server) as client:
        client.event()
        client.send(CloseConnection(code=1000))
        client.event()
        assert client.frames.state is ConnectionState.CLOSED

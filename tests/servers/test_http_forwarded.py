"""Whom to believe about who the client is."""

import pytest

from ringlet.servers import WSGIServer
from ringlet.servers.http_forwarded import KNOWN, TrustedProxies
from ringlet.servers.http_limits import HTTPLimits, RequestError
from ringlet.servers.wsgi_connection import Connection, base_environ
from tests.servers.scripted import ScriptedSocket, Talk, get, hello

ALL_X = tuple(name for name in KNOWN if name.startswith("x-"))


def client_of(trust, *headers, peer="10.0.0.1"):
    """The environ an application gets, and the status of the answer."""
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return hello(environ, start_response)

    base = base_environ("http", ("server.example", "8000"), (peer, "40000"))
    sock = ScriptedSocket(get("/app/x", *headers))
    Connection(sock, app, HTTPLimits(), base, None, trust).serve()
    return (seen or [None])[0], Talk(sock.raw).answer.status


FOR = {
    # X-Forwarded-For, then the address that counts; 10.0.0.0/8 is trusted.
    "one": ("192.0.2.7", "192.0.2.7"),
    "forged before": ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
    "through two proxies": ("6.6.6.6, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
    "only proxies": ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
    "a trusted one forged": ("10.0.0.5, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
    "IPv6": ("2001:db8::1", "2001:db8::1"),
    "IPv6 with port": ("[2001:db8::1]:99", "2001:db8::1"),
    "port": ("192.0.2.7:1234", "192.0.2.7"),
    "unknown": ("unknown", "10.0.0.1"),
    "Unix socket": ("192.0.2.7, unix:", "localhost"),
    "mapped": ("192.0.2.7, ::ffff:10.0.0.2", "192.0.2.7"),
}


@pytest.mark.parametrize(("value", "address"), FOR.values(), ids=FOR.keys())
def test_the_last_address_that_is_no_proxys_is_the_client(value, address):
    trust = TrustedProxies(["10.0.0.0/8"])
    environ, _ = client_of(trust, f"X-Forwarded-For: {value}")
    assert environ["REMOTE_ADDR"] == address


def test_a_proxy_on_a_unix_socket_is_one_of_the_row():
    trust = TrustedProxies(["10.0.0.0/8", "unix"])
    environ, _ = client_of(trust, "X-Forwarded-For: 192.0.2.7, unix:, 10.0.0.2")
    assert environ["REMOTE_ADDR"] == "192.0.2.7"


def test_several_headers_are_one_list():
    trust = TrustedProxies(["10.0.0.0/8"])
    environ, _ = client_of(trust, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7")
    assert environ["REMOTE_ADDR"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("proxies", "peer", "believed"),
    [
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["10.0.0.0/30"], "10.0.0.2", True),
        (["10.0.0.1"], "::ffff:10.0.0.1", True),
        (["fd00::/8"], "fd00::1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["fd00::/8"], "10.0.0.1", False),
        (["unix"], "localhost", True),
        (["unix"], "127.0.0.1", False),
        (["127.0.0.1"], "localhost", False),
        (["*"], "203.0.113.5", True),
    ],
)
def test_who_is_trusted(proxies, peer, believed):
    environ, _ = client_of(
        TrustedProxies(proxies),
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: other.example",
        peer=peer,
    )
    assert environ["REMOTE_ADDR"] == ("192.0.2.7" if believed else peer)
    assert environ["wsgi.url_scheme"] == ("https" if believed else "http")
    # Nothing behind us may believe what we do not.
    assert ("HTTP_X_FORWARDED_FOR" in environ) == believed
    # A header that is not said to be the proxy's changes nothing.
    assert environ["HTTP_HOST"] == "a"


def test_what_else_a_proxy_can_say():
    environ, _ = client_of(
        TrustedProxies(["10.0.0.1"], ALL_X),
        "X-Forwarded-Host: evil.example, shop.example:8443",
        "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Prefix: /app/",
    )
    assert environ["HTTP_HOST"] == "shop.example:8443"
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/x")


def test_a_prefix_the_proxy_has_cut_off_is_not_cut_again():
    trust = TrustedProxies(["10.0.0.1"], ALL_X)
    environ, _ = client_of(trust, "X-Forwarded-Prefix: /ap")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/ap", "/app/x")


FORWARDED = {
    "one": ("for=192.0.2.7;proto=https;host=shop.example", "192.0.2.7", "https", "shop.example"),
    "quoted": ('For="[2001:db8::1]:99"; Proto="https"', "2001:db8::1", "https", "a"),
    "escaped": (r'for="192.0\.2.7"', "192.0.2.7", "http", "a"),
    "forged before": ("for=6.6.6.6;proto=https, for=192.0.2.7", "192.0.2.7", "http", "a"),
    "two proxies": ("for=192.0.2.7;proto=https, for=10.0.0.2", "192.0.2.7", "https", "a"),
    "hidden": ("for=_hidden;proto=https", "10.0.0.1", "https", "a"),
    "unknown": ("for=unknown", "10.0.0.1", "http", "a"),
    "no for": ("by=10.0.0.2", "10.0.0.1", "http", "a"),
}


@pytest.mark.parametrize(
    ("value", "address", "scheme", "host"), FORWARDED.values(), ids=FORWARDED.keys()
)
def test_the_standard_header(value, address, scheme, host):
    trust = TrustedProxies(["10.0.0.0/8"], ["Forwarded"])
    environ, _ = client_of(trust, f"Forwarded: {value}", "X-Forwarded-For: 6.6.6.6")
    found = environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]
    assert found == (address, scheme, host)


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For: nonsense",
        "X-Forwarded-For: 192.0.2.7, ",
        "X-Forwarded-For: 192.0.2.7:x",
        "X-Forwarded-For: localhost",
        "X-Forwarded-Proto: javascript",
        "X-Forwarded-Host: a/b",
        "X-Forwarded-Host: a b",
        "X-Forwarded-Prefix: app",
        "X-Forwarded-Prefix: //evil.example",
    ],
)
def test_a_malformed_header_is_refused(header):
    environ, status = client_of(TrustedProxies(["10.0.0.1"], ALL_X), header)
    assert (environ, status) == (None, 400)


@pytest.mark.parametrize("value", ["for", "for=", "for=a b", 'for="x', "for=1.1.1.1;for=2.2.2.2"])
def test_a_malformed_standard_header_is_refused(value):
    trust = TrustedProxies(["10.0.0.1"], ["Forwarded"])
    assert client_of(trust, f"Forwarded: {value}") == (None, 400)


def test_refusing_tells_why():
    with pytest.raises(RequestError, match="forwarding header"):
        TrustedProxies(["*"]).apply({"REMOTE_ADDR": "1.1.1.1", "HTTP_X_FORWARDED_PROTO": "x"})


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"trusted_proxies": ["proxy.example"]}, ValueError, "addresses, networks"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, ValueError, "host bits"),
        ({"trusted_proxies": "10.0.0.1"}, TypeError, "lists of str"),
        ({"forwarded_headers": ["X-Real-IP"]}, ValueError, "not known"),
        ({"forwarded_headers": ["Forwarded", "X-Forwarded-For"]}, ValueError, "as the client sent"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        WSGIServer(("127.0.0.1", 0), hello, **options)


def test_the_log_knows_the_client():
    entries = []
    base = base_environ("http", ("server.example", "8000"), ("10.0.0.1", "40000"))
    sock = ScriptedSocket(get("/", "X-Forwarded-For: 192.0.2.7"))
    trust = TrustedProxies(["10.0.0.1"])
    Connection(sock, hello, HTTPLimits(), base, entries.append, trust).serve()
    assert entries[0].remote_addr == "192.0.2.7"

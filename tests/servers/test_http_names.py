from ringlet.servers import http_names
from ringlet.servers.http_names import environ_key, header_name


def test_keys():
    assert environ_key(b"x-ONE-two") == "HTTP_X_ONE_TWO"
    assert environ_key(b"content-type") == "CONTENT_TYPE"
    assert environ_key(b"Content-Length") == "CONTENT_LENGTH"
    assert environ_key(b"X_One") == ""
    assert header_name("HTTP_X_ONE") == "X-One"
    assert header_name("CONTENT_LENGTH") == "Content-Length"


def test_names_clients_make_up_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(http_names, "KEYS", {})
    for number in range(3000):
        assert environ_key(b"x-%d" % number) == f"HTTP_X_{number}"
    assert len(http_names.KEYS) == 1024


def test_long_names_are_not_remembered(monkeypatch):
    monkeypatch.setattr(http_names, "KEYS", {})
    environ_key(b"x" * 65)
    assert not http_names.KEYS


def test_usual_names_are_known_from_the_start():
    assert http_names.KEYS[b"User-Agent"] == http_names.KEYS[b"user-agent"] == "HTTP_USER_AGENT"

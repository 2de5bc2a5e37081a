"""Parts of response heads."""

from ringlet.servers import http_head


def test_the_date_line_follows_the_clock(monkeypatch):
    line = http_head._DateLine()
    for now, text in (
        (0.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (0.9, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951827696.5, "Tue, 29 Feb 2000 12:34:56 GMT"),
        (951827697.0, "Tue, 29 Feb 2000 12:34:57 GMT"),
    ):
        monkeypatch.setattr(http_head.time, "time", lambda now=now: now)
        assert line() == f"\r\nDate: {text}"


def test_names_applications_make_up_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(http_head, "known_names", {})
    monkeypatch.setattr(http_head, "known_statuses", {})
    for number in range(2000):
        http_head.kind_of(f"x-{number}")
        http_head.is_bodiless(f"200 {number}")
    assert len(http_head.known_names) == len(http_head.known_statuses) == 1024

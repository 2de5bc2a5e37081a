"""Whatever a client sends, the server neither fails nor says anything that is not HTTP."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.scripted import echo, get, post, post_chunks, talk_script

REQUESTS = st.sampled_from(
    [
        get("/a?b", "X: y"),
        get("/", "Connection: close"),
        get("/", "Connection: upgrade", "Upgrade: h2c"),
        post(b"hello", "/x", "Expect: 100-continue"),
        post(b"hello", "/x", "Connection: upgrade", "Upgrade: h2c"),
        post_chunks(b"abc", b"defg"),
    ]
)
SPLINTERS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"\0",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Host: b\r\n",
        b"0\r\n\r\n",
    ]
)


@st.composite
def streams(draw):
    """Requests with splinters stuck into them, cut anywhere."""
    stream = b"".join(draw(st.lists(REQUESTS, min_size=1, max_size=3)))
    for splinter in draw(st.lists(SPLINTERS | st.binary(max_size=3), max_size=3)):
        where = draw(st.integers(0, len(stream)))
        stream = stream[:where] + splinter + stream[where + draw(st.integers(0, 2)) :]
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    pieces = [stream[i:j] for i, j in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return [piece for piece in pieces if piece]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1), max_size=3) | streams())
def test_any_bytes(reads):
    talk = talk_script(echo, *reads, max_body=1000)
    # http.client reads it all, and knows all statuses we may answer with.
    assert {answer.status for answer in talk.answers} <= {200, 400, 413, 417, 431, 501, 505}

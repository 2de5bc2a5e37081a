"""Requests that are right, however odd, and what an application should see of them."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from hypothesis import strategies as st

from ringlet.servers.http_names import METHODS

TOKEN = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PATH = "abcXYZ019-._~!$&'()*+,;=:@/"
#: Names that mean something to the server; the generator gives those itself.
TAKEN = {
    *("connection", "content-length", "content-type", "cookie", "expect", "host", "http2-settings"),
    *("keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    *("x-number",),
}
FRAMING = ("Content-Length", "Transfer-Encoding")


@dataclass
class Right:
    """A request, and what the application sees of it."""

    raw: bytes
    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]


def text_of(alphabet, **sizes):
    return st.text(alphabet, **sizes)


# What a path may hold: characters, and escapes of any byte.
paths = st.lists(
    text_of(PATH, max_size=8) | st.integers(0, 255).map(lambda byte: f"%{byte:02X}"), max_size=4
).map(lambda parts: "/" + "".join(parts))
queries = st.none() | text_of(PATH + "?%", max_size=10)
names = text_of(TOKEN, min_size=1, max_size=12).filter(lambda name: name.lower() not in TAKEN)
# Visible characters, blanks and tabs inside, and the bytes beyond ASCII.
values = text_of([chr(code) for code in (9, *range(32, 127), *range(128, 256))], max_size=20).map(
    lambda value: value.strip(" \t")
)
blanks = text_of(" \t", max_size=3)
bodies = st.binary(max_size=40) | st.builds(
    lambda piece, times: piece * times, st.binary(min_size=1, max_size=8), st.integers(0, 20_000)
)
extensions = st.just("") | st.builds(
    lambda name, value: f";{name}" + (f"={value}" if value else ""),
    text_of(TOKEN, min_size=1, max_size=5),
    text_of(TOKEN, max_size=5),
)


@st.composite
def chunked(draw, body):
    """A body in chunks of any size, with what else chunks may have."""
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
    raw = []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        if start < end:
            size = f"{end - start:0{draw(st.integers(1, 6))}{draw(st.sampled_from('xX'))}}"
            raw.append(f"{size}{draw(extensions)}\r\n".encode())
            raw.append(body[start:end] + b"\r\n")
    raw.append(b"0" * draw(st.integers(1, 3)) + draw(extensions).encode() + b"\r\n")
    for name in draw(st.lists(names, max_size=2)):
        raw.append(f"{name}: trailer\r\n".encode())
    return b"".join(raw) + b"\r\n"


@st.composite
def right_requests(draw, number, last):
    """One request; the connection stays after it unless it is the `last`."""
    method = draw(st.sampled_from(sorted(METHODS.values())))
    old = draw(st.booleans()) and not draw(st.booleans())
    path, query = draw(paths), draw(queries)
    target = path if query is None else f"{path}?{query}"
    host = draw(st.sampled_from(["a", "a.example:80", "[::1]:8000", "127.0.0.1", ""]))
    lines = []
    form = draw(st.integers(0, 9))
    if form == 9 and host:
        target = f"{draw(st.sampled_from(['http', 'HTTPS']))}://{host}{target}"
    headers = [("Host", host), ("X-Number", str(number))]
    body, framed = b"", b""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    needs_length = old and method in ("POST", "PUT", "PATCH")
    if (kind == "chunked" and old) or (kind == "none" and needs_length):
        kind = "length"
    if kind != "none":
        body = draw(bodies)
        if kind == "length":
            framed = body
            headers.append(("Content-Length", f"{'0' * draw(st.integers(0, 2))}{len(body)}"))
        else:
            framed = draw(chunked(body))
            headers.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
        if draw(st.booleans()):
            headers.append(("Expect", "100-continue"))
    if last:
        headers.append(("Connection", "close"))
    elif old or draw(st.booleans()):
        headers.append(("Connection", draw(st.sampled_from(["keep-alive", "Keep-Alive"]))))
    elif draw(st.booleans()):
        headers += [("Connection", "Upgrade"), ("Upgrade", "h2c")]
    others = draw(st.dictionaries(names.map(str.title), values, max_size=4))
    headers = draw(st.permutations([*headers, *others.items()]))
    for name, value in headers:
        spelt = draw(st.sampled_from([str, str.lower, str.upper]))(name)
        # What says where the body ends, llhttp wants to be said without tabs.
        around = text_of(" ", max_size=2) if name in FRAMING else blanks
        lines.append(f"{spelt}:{draw(around)}{value}{draw(around)}\r\n")
    start = f"{method} {target} HTTP/{'1.0' if old else '1.1'}\r\n"
    before = "\r\n" * draw(st.integers(0, 1))
    raw = (before + start + "".join(lines) + "\r\n").encode("latin-1") + framed
    return Right(
        raw=raw,
        method=method,
        path=unquote_to_bytes(path).decode("latin-1"),
        query=query or "",
        body=body,
        headers=others,
    )


@st.composite
def conversations(draw):
    """Requests for one connection, one after the other."""
    count = draw(st.integers(1, 4))
    return [draw(right_requests(number, number == count - 1)) for number in range(count)]


@st.composite
def pieces(draw, stream):
    """The same bytes, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    parts = [stream[i:j] for i, j in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return [part for part in parts if part]

"""Names in requests: methods, and headers as clients write them and as WSGI knows them."""

#: The methods of HTTP that llhttp knows; it also knows RTSP's and Icecast's, and CONNECT.
METHODS = {
    method: method.decode("ascii")
    for method in (
        b"ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR "
        b"MKCOL MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT "
        b"SEARCH SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
    ).split()
}

#: The environ key of each header name seen, in each spelling seen: a look-up costs half as much
#: as deriving the key.
KEYS: dict[bytes, str] = {}


def header_name(key: str) -> str:
    """The header an environ key stands for, as people write it."""
    return key.removeprefix("HTTP_").replace("_", "-").title()


def environ_key(name: bytes) -> str:
    """The environ key for a header, or "" for one to drop.

    X_Y and X-Y would share a key, which lets a client pass off the one as the other behind a
    proxy that filters only the other. So names with an underscore are dropped, as most servers do.
    """
    if b"_" in name:
        return ""
    key = name.decode("latin-1").upper().replace("-", "_")
    if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        key = "HTTP_" + key
    # Bounded, because clients choose the names.
    if len(KEYS) < 1024 and len(name) <= 64:
        KEYS[name] = key
    return key


# The usual names get in first, so that no client can keep them out.
for _name in (
    b"Accept Accept-Charset Accept-Encoding Accept-Language Authorization Cache-Control "
    b"Connection Content-Encoding Content-Length Content-Type Cookie Date DNT Expect Forwarded "
    b"From Host If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Origin "
    b"Pragma Range Referer Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User TE Trailer "
    b"Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Via X-Forwarded-For "
    b"X-Forwarded-Host X-Forwarded-Proto X-Real-IP X-Request-ID X-Requested-With"
).split():
    environ_key(_name)
    environ_key(_name.lower())

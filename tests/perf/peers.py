"""The peers, and what has to be installed for each."""

import platform
import shutil
from importlib import metadata

# The distributions each peer needs; the first one's version is shown.
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "ringlet": ("ringlet",),
    "greenlet": ("greenlet",),
    "its recipe on ringlet": ("ringlet",),
    "gevent": ("gevent",),
    "eventlet": ("eventlet",),
    "asyncio on uvloop": ("uvloop",),
    "gevent.pywsgi": ("gevent",),
    "eventlet.wsgi": ("eventlet",),
    "uvicorn": ("uvicorn", "httptools", "uvloop"),
    "gunicorn ringlet": ("gunicorn", "ringlet"),
    "gunicorn gevent": ("gunicorn", "gevent"),
    "gunicorn gthread": ("gunicorn",),
}
# The interpreter itself.
BUILT_IN = ("asyncio", "threading", "no-op C call")
# Programs of this folder, for which a compiler is enough.
COMPILED = ("C epoll loop",)


def version(peer: str) -> str | None:
    """The installed version of a peer, or None when something it needs is missing."""
    if peer in BUILT_IN:
        return platform.python_version()
    if peer in COMPILED:
        return "compiled here" if shutil.which("cc") else None
    try:
        versions = [metadata.version(name) for name in DISTRIBUTIONS[peer]]
    except metadata.PackageNotFoundError:
        return None
    return versions[0]

"""http_gate.py CLIENT URL [AUTHORITY]: a hundred requests wait until the server has them all."""

import importlib
import ssl
import sys
import urllib.request

from crowd import COUNT, SECONDS, crowd

name, url, *authority = sys.argv[1:]
verify = authority[0] if authority else True
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def with_requests():
    requests = importlib.import_module("requests")
    session = requests.Session()
    session.trust_env = False
    session.mount(url, requests.adapters.HTTPAdapter(pool_maxsize=COUNT))
    session.verify = verify
    return lambda path: session.get(url + path, timeout=SECONDS).text


def with_urllib3():
    urllib3 = importlib.import_module("urllib3")
    pool = urllib3.PoolManager(maxsize=COUNT, ca_certs=authority[0] if authority else None)
    return lambda path: pool.request("GET", url + path, timeout=SECONDS).data.decode()


def with_httpx():
    httpx = importlib.import_module("httpx")
    context = ssl.create_default_context(cafile=authority[0]) if authority else True
    limits = httpx.Limits(max_connections=None)
    client = httpx.Client(limits=limits, verify=context, timeout=SECONDS, trust_env=False)
    return lambda path: client.get(url + path).text


get = {"requests": with_requests, "urllib3": with_urllib3, "httpx": with_httpx}[name]()


def slow(number):
    return int(get(f"/slow/{number}"))


crowd(slow, lambda: int(get("/waiting")), lambda: get("/release"))

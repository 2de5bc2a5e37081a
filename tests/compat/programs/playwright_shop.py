"""The site that the browser visits: a small shop on loopback, served by threads."""

import contextlib
import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

GOODS = {"apple": 3, "bread": 2, "cheese": 7}

INDEX = """<!doctype html><title>Shop</title>
<h1>Shop</h1>
<ul id="goods">{items}</ul>
<form action="/order" method="post">
  <input name="who" placeholder="Your name">
  <select name="what">{options}</select>
  <label><input type="checkbox" name="wrapped"> Wrapped</label>
  <textarea name="note"></textarea>
  <button type="submit">Order</button>
</form>
<a href="/about">About</a> <a href="/list.csv" download>Prices</a>
<a href="/about" target="_blank">About, in a new window</a>"""


class Shop(http.server.BaseHTTPRequestHandler):
    """Answers the few addresses there are."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        address = urlsplit(self.path)
        if address.path == "/":
            items = "".join(f'<li data-price="{GOODS[name]}">{name}</li>' for name in GOODS)
            options = "".join(f"<option>{name}</option>" for name in GOODS)
            self.answer(INDEX.format(items=items, options=options))
        elif address.path == "/about":
            self.answer("<title>About</title><p>We sell food.</p><a href='/'>Back</a>")
        elif address.path == "/list.csv":
            lines = "".join(f"{name},{price}\n" for name, price in GOODS.items())
            attachment = {"Content-Disposition": 'attachment; filename="prices.csv"'}
            self.answer(lines, kind="text/csv", headers=attachment)
        elif address.path == "/api/price":
            name = parse_qs(address.query)["of"][0]
            self.answer(json.dumps({"name": name, "price": GOODS[name]}), kind="application/json")
        elif address.path == "/cookie":
            self.answer(self.headers.get("Cookie", "none"), headers={"Set-Cookie": "visited=yes"})
        elif address.path == "/old":
            self.answer("", status=302, headers={"Location": "/about"})
        else:
            self.answer("<title>Missing</title>", status=404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        order = {name: values[0] for name, values in sorted(parse_qs(body).items())}
        self.answer(f"<title>Thanks</title><pre>{json.dumps(order)}</pre>")

    def answer(self, text, *, status=200, kind="text/html; charset=utf-8", headers=None):
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):  # noqa: A002 - the name it has in http.server
        pass


@contextlib.contextmanager
def opened():
    """The address of a shop that is open while the block runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

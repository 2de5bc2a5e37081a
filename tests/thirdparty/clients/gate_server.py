"""gate_server.py [CERTIFICATE]: answers /slow/N only after /release; says its port on stdout."""

import http.server
import ssl
import sys
import threading

gate = threading.Event()
waiting = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, what, *rest = self.path.split("/")
        answer = ""
        if what == "slow":
            waiting.append(self.path)
            gate.wait()
            (answer,) = rest
        elif what == "waiting":
            answer = str(len(waiting))
        elif what == "release":
            gate.set()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def finish_request(self, request, address):
        # In the request's own thread, so that nobody waits for somebody's handshake.
        if context is not None:
            request = context.wrap_socket(request, server_side=True)
        super().finish_request(request, address)


context = None
if sys.argv[1:]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()

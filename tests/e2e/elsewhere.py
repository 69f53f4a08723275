"""A server that says what a broker says, for tests of what pepperbusctl sends, and to whom."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Elsewhere:
    """A server that says what a broker says. `asked`: (method, path, headers, body) of each request. `answers`:
    {path: (status, headers, JSON)}."""

    def __init__(self, port, certificate=None):
        self.asked, self.answers = [], {}
        there = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                there.asked.append((self.command, self.path, self.headers, body))
                path = self.path.partition("?")[0]
                status, headers, o = there.answers.get(f"{self.command} {path}") or there.answers.get(path) or (
                    404, {}, {"error": "there is no such path", "status": 404})
                data = json.dumps(o).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # pylint: disable=invalid-name

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that does not trust us

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @property
    def tokens(self):
        """What came as Authorization."""
        return [headers.get("Authorization") for _, _, headers, _ in self.asked]

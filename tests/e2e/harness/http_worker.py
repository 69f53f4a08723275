"""An HTTP worker that lives in the test."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class HttpWorker:
    """`handle(request)` gets a Request and returns (code, message), with `Code` in the reply's
    head; or a dict with `status`, `headers`, `body`; or None, which ends the connection without an
    answer. Pings of registered topics are answered with 200, unless `pings` is False. `requests`
    holds all that came."""

    class Request:
        def __init__(self, path, headers, body):
            self.path, self.headers, self.body = path, headers, body
            form = parse_qs(body.decode("utf-8", "surrogateescape"), keep_blank_values=True)
            self.form = {k: v[0] for k, v in form.items()}
            self.type = self.form.get("type")

    def __init__(self, handle, port, pings=True):
        worker = self
        self.requests, self._handle, self._pings = [], handle, pings
        self.port, self.address = port, f"http://127.0.0.1:{port}"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True # a head and its body are two writes

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = HttpWorker.Request(self.path, self.headers, body)
                worker.requests.append(request)
                worker._answer(self, request)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256 # many connections at once are no reason to lose some

        self._server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _answer(self, handler, request):
        if self._pings and request.type == "ping":
            topic = f"{request.form.get('queue')}/{request.form.get('topic')}"
            answer = {"headers": {"Code": "200", "Consume-Topics": topic}, "body": topic}
        else:
            answer = self._handle(request)
        if answer is None:
            handler.close_connection = True
            return
        if isinstance(answer, tuple):
            answer = {"headers": {"Code": str(answer[0])}, "body": answer[1]}
        body = answer.get("body", "")
        body = body if isinstance(body, bytes) else body.encode()
        try:
            handler.send_response(answer.get("status", 200))
            for name, value in answer.get("headers", {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass

    def close(self):
        self._server.shutdown()
        self._server.server_close()

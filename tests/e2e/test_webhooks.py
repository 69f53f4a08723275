#!/usr/bin/env python3
"""Webhooks: the body of a request is the job's bytes (body = content)."""

import socket
import threading

from harness import WebCase, equals, main, wait_until


class Webhook(WebCase):
    """A server that takes orders, and refuses some."""

    def setUp(self):
        super().setUp()
        self.server = self.http(self.answer)
        self.start(("hook", f"""entry = {self.server.address}/orders?shop=7
body = content
content_type = application/json
header = X-Shop: 7
authorization = Bearer hunter2
host = orders.example"""))
        self.is_("hook", "state", "open", "a webhook opens its topic")

    @staticmethod
    def answer(request):
        if request.body == b"refuse":
            return {"status": 422, "body": "no such order"}
        return {"status": 202, "body": "thanks"}

    def called(self, n, what):
        equals(lambda: len(self.server.requests), n, 10, what)
        return self.server.requests[-1]

    def test_it_has_the_jobs_bytes_and_headers(self):
        job = self.push("hook", '{"order": 1}')[0]
        r = self.called(1, "a webhook is called")
        self.assertEqual(r.path, "/orders?shop=7", "at its URL")
        self.assertEqual(r.body, b'{"order": 1}', "with the job's bytes")
        self.assertEqual(r.headers["X-Pepperbus-Job-Id"], job, "its id")
        self.assertEqual(r.headers["Idempotency-Key"], job, "the same against a second run")
        self.assertEqual((r.headers["X-Pepperbus-Attempt"], r.headers["Content-Type"]), ("1", "application/json"),
                         "its attempt and type")
        self.assertEqual((r.headers["Host"], r.headers["X-Shop"], r.headers["Authorization"]),
                         ("orders.example", "7", "Bearer hunter2"), "host, header and authorization")
        self.assertRegex(r.headers["traceparent"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$", "and the trace")
        self.is_("hook", "done", 1, "any 2xx is done")

    def test_bytes_that_are_no_text_are_the_body_as_they_are(self):
        self.push("hook", b"a\0b\r\n\xff\xfe")
        self.assertEqual(self.called(1, "bytes that are no text").body, b"a\0b\r\n\xff\xfe", "are the body as they are")

    def test_what_is_refused_is_dead_in_the_end(self):
        self.push("hook", "refuse")
        self.is_("hook", "dead", 1, "422 until the attempts are used up: dead")
        self.called(3, "after three attempts")
        self.b.complains("qhook/hook", "status 422.*no such order", "the error quotes the answer")

    def test_the_authorization_is_shown_nowhere(self):
        self.push("hook", "refuse")
        self.is_("hook", "dead", 1, "there are errors to be shown")
        shown = self.run_program(self.b.pepperbusd, "-c", self.b.path, "--dump-config").out
        self.assertIn("orders.example", shown, "the configuration is shown")
        self.assertNotIn("hunter2", self.b.log_text() + self.b.admin.get("/api/v1/topics/qhook/hook").text + shown)


class LazyServer:
    """Accepts at once, and reads when `reads` is set. Counts of each connection what came, by kind."""

    def __init__(self, port):
        self.reads, self.connections = threading.Event(), []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            c = {"body": 0, "other": 0, "empty": False}
            self.connections.append(c)
            threading.Thread(target=self._read, args=(s, c), daemon=True).start()

    def _read(self, s, c):
        self.reads.wait()
        try:
            while data := s.recv(1 << 20):
                body = data.count(b"~")
                c["body"] += body
                c["other"] += len(data) - body
        except OSError:
            pass
        c["empty"] = c["body"] + c["other"] == 0
        s.close()

    def close(self):
        self.reads.set()
        self._listener.close()


class Lazy(WebCase):
    def test_who_reads_late_gets_the_jobs_bytes_all_the_same(self):
        """The server reads the body only when the job's time is over."""
        port = self.free_port()
        server = self._close(LazyServer(port))
        other = self.http(lambda r: (200, "done"))
        self.start(("lazy", f"pool = lazy\nentry = http://127.0.0.1:{port}/\nbody = content\ntimeout = 500ms"),
                   ("other", f"entry = {other.address}/"),
                   pools="[pool lazy]\nrun_type = http\nhangup_after = 10m")
        self.is_("lazy", "state", "open", "a webhook that does not read")
        self.push("lazy", b"~" * 8000000)
        self.is_("lazy", "dead", 1, "the job is out of time, three times")
        self.push("other", *range(50))  # its memory is wanted by others
        self.is_("other", "done", 50, "others go on")
        server.reads.set()

        # An attempt that has not reached the server by then is not sent.
        def all_are_read():
            sent = [c for c in server.connections if not c["empty"]]
            return sent and all(c["body"] == 8000000 for c in sent)

        wait_until(all_are_read, 10, lambda: f"the rest of all requests is sent: {server.connections}")
        self.assertLess(sum(c["other"] for c in server.connections), 3000, "the job's own bytes behind each head")


if __name__ == "__main__":
    main()

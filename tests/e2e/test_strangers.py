#!/usr/bin/env python3
"""Strangers on the Redis port: other protocols, crowds, and clients that do not read."""

import http.client
import json
import socket
import ssl
import threading
import time

from harness import Case, case, main, wait_until

INI = """
[storage main]
address = {redis}
[pool p]
run_type = cgi
address = unix:{dir}/nobody.sock
[queue q]
password = a-long-secret
[topic q/t]
pool = p
entry = /srv/worker.php
"""


class Strangers(Case):
    def door(self, server=""):
        redis = self.redis("main")
        return self.broker("a", INI.format(redis=redis.address, dir=self.dir), server)

    def ends(self, b, data):
        """What is answered until the broker closes the connection."""
        s = socket.create_connection(("127.0.0.1", b.port), 60)
        s.sendall(data)
        got = b""
        try:
            while chunk := s.recv(65536):
                got += chunk
        except ConnectionResetError:
            pass
        s.close()
        return got

    @case("X2")
    def test_http_runs_nothing(self):
        b = self.door()
        jobs = b"AUTH q:a-long-secret\r\nLPUSH q evil\r\n"
        for method in ("POST", "GET", "PUT", "OPTIONS", "DELETE", "HEAD"):
            c = http.client.HTTPConnection("127.0.0.1", b.port, timeout=60)
            with self.assertRaises((http.client.BadStatusLine, ConnectionError)):
                c.request(method, "/x", jobs, {"Content-Type": "text/plain"})
                c.getresponse()
            c.close()
        for data in (b"GET /\r\n" + jobs + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\nHost: x\r\n" + jobs,
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + jobs):
            self.assertEqual(self.ends(b, data), b"")
        known = b"AUTH q:a-long-secret\r\nPING\r\n"
        self.assertEqual(self.ends(b, known + b"POST / HTTP/1.1\r\n" + jobs), b"+OK\r\n+PONG\r\n")
        self.assertEqual(b.topic("q/t")["ready"], 0)
        self.assertEqual(len(b.logged("sent HTTP or TLS instead of the Redis protocol")), 1)
        self.assertGreaterEqual(b.metrics()['pepperbus_refused_total{reason="protocol"}'], 10)

    @case("X2")
    def test_what_stood_before_it_is_answered(self):
        b = self.door()
        answer = self.ends(b, b"AUTH q:a-long-secret\r\nLPUSH q good\r\nPOST / HTTP/1.1\r\nLPUSH q evil\r\n")
        self.assertTrue(answer.startswith(b"+OK\r\n$") and answer.count(b'"error":""') == 1, answer)
        wait_until(lambda: b.topic("q/t")["ready"] == 1, 20)

    @case("X2")
    def test_tls_runs_nothing(self):
        b = self.door()
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        s = socket.create_connection(("127.0.0.1", b.port), 60)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(s, server_hostname="x.example")
        s.close()
        self.assertEqual(len(b.logged("sent HTTP or TLS instead of the Redis protocol")), 1)
        self.assertEqual(self.ends(b, b"\x16\x03\x01\x00\x05\r\nAUTH q:a-long-secret\r\nLPUSH q evil\r\n"), b"")
        self.assertEqual(b.topic("q/t")["ready"], 0)

    # --- large requests that are half sent ---

    SIZE = 7 << 20
    LIMIT = 64 << 20

    def half(self, b):
        """A client that sends most of an LPUSH, when the broker reads it."""
        c = b.client("q:a-long-secret", timeout=300)
        sent = threading.Event()

        def send():
            try:
                c.raw(b"*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$%d\r\n" % self.SIZE + b"x" * (self.SIZE - 1000))
                sent.set()
            except OSError:
                pass  # it was cut off

        t = threading.Thread(target=send, daemon=True)
        t.start()
        return c, sent, t

    def received(self, b):
        return b.metrics()["pepperbus_received_bytes_total"]

    @case("X6")
    def test_half_sent_requests_wait_for_each_other(self):
        b = self.door()
        crowd = [self.half(b) for _ in range(16)]
        wait_until(lambda: self.received(b) >= self.LIMIT, 60)
        self.assertEqual(len(b.push("q", "small", "jobs")), 2)
        end = time.monotonic() + 1
        while time.monotonic() < end:  # more would be read in this time, and must not be
            self.assertLessEqual(self.received(b), self.LIMIT + self.SIZE + 16 * 65536)
            time.sleep(0.1)
        replies = []

        def finish(c, sent):
            sent.wait(300)
            c.raw(b"x" * 1000 + b"\r\n")
            replies.append(json.loads(c.recv())["error"])
            c.close()

        threads = [threading.Thread(target=finish, args=(c, sent)) for c, sent, _ in crowd]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(replies, [""] * 16)
        self.assertEqual(b.metrics()['pepperbus_refused_total{reason="input"}'], 0)

    @case("X6")
    def test_who_does_not_send_on_makes_room(self):
        b = self.door()
        crowd = [self.half(b) for _ in range(14)]
        wait_until(lambda: self.received(b) >= self.LIMIT, 60)
        with b.client("q:a-long-secret", timeout=300) as c:
            self.assertEqual(json.loads(c.call("LPUSH", "q", b"y" * self.SIZE))["error"], "")
        self.assertGreater(b.metrics()['pepperbus_refused_total{reason="input"}'], 0)
        self.assertTrue(b.logged("does not send the rest of its request"))
        for c, _, t in crowd:
            c.sock.shutdown(socket.SHUT_RDWR)
            t.join()
            c.close()


if __name__ == "__main__":
    main()

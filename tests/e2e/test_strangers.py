#!/usr/bin/env python3
"""Strangers on the Redis port: other protocols, crowds, and clients that do not read."""

import http.client
import socket
import ssl

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
        self.assertEqual(len(b.logged("sent what is no Redis protocol")), 1)
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
        self.assertEqual(len(b.logged("sent what is no Redis protocol")), 1)
        self.assertEqual(self.ends(b, b"\x16\x03\x01\x00\x05\r\nAUTH q:a-long-secret\r\nLPUSH q evil\r\n"), b"")
        self.assertEqual(b.topic("q/t")["ready"], 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Limits: many clients, large jobs, half frames, bytes before AUTH, attempts at passwords."""

import json
import resource
import select
import socket
import time

from harness import Case, RespError, case, main, wait_until

LARGEST = 8 << 20


class Limits(Case):
    CLIENTS = 5000

    def setUp(self):
        super().setUp()
        # Each client is a descriptor here and one in the broker.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 16384 if hard == resource.RLIM_INFINITY else min(16384, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.clients = min(self.CLIENTS, self.CLIENTS if wanted == 16384 else wanted // 2 - 200)
        self.storage = self.redis()
        self.b = self.broker("b", f"""
[storage main]
address = {self.storage.address}
[pool php]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = pw
[topic q/log]
pool = php
entry = {self.worker("log.php")}
""", server=self.limits("10m"))

    def limits(self, auth_timeout):
        """Short where it is looked at alone: whoever is held up elsewhere on his way to AUTH is not to be cut."""
        return (f"max_clients = {self.clients + 20}\nmax_job_size = 8mb\n"
                f"auth_timeout = {auth_timeout}\nauth_attempts = 30")

    def dial(self, auth=None):
        end = time.monotonic() + 60
        while True:
            try:
                return self.b.client(auth, unix=True)
            except BlockingIOError:  # a queue of connections that is full for the moment is no refusal
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)

    def lpush(self, job):
        """The reply's error or what the protocol says; "" when the job is stored."""
        try:
            with self.dial("q:pw") as c:
                return json.loads(c.call("LPUSH", "q", job))["error"]
        except RespError as e:
            return str(e)

    def stored(self):
        return self.storage.cmd("XLEN", "pb:{q}:s")


class Jobs(Limits):
    def test_a_job_is_no_larger_than_max_job_size(self):
        self.assertEqual(self.lpush(b"x" * LARGEST), "", "a job of exactly 8 MB")
        self.assertRegex(self.lpush(b"x" * (LARGEST + 1)), "large|size|8|bulk",
                         "one byte more is refused with a reason")
        self.assertEqual(self.lpush("small"), "", "the broker goes on")
        self.assertEqual(self.stored(), 2, "the refused one is not stored")


class Frames(Limits):
    def answer(self, data):
        """The error that a stranger's bytes are answered with, and whether the connection ends then."""
        with self.dial() as c:
            c.raw(data)
            error = None
            try:
                while True:
                    c.recv()
            except RespError as e:
                error = str(e)
            except ConnectionError:
                pass
            return error, c.at_end()

    def test_nothing_is_allocated_for_what_strangers_announce(self):
        base = self.b.rss()
        with self.dial() as c:
            c.raw(b"*2\r\n$4\r\nPING\r\n$2000000000\r\n")
            with self.assertRaisesRegex(RespError, "^(ERR|NOAUTH)", msg="2 GB announced before AUTH: an error"):
                c.recv()
            self.assertTrue(c.at_end(), "2 GB announced before AUTH: an error and the end")
        error, end = self.answer(b"*2000000000\r\n")
        self.assertRegex(error, "^(ERR|NOAUTH)", "two thousand million arguments announced: the same")
        self.assertTrue(end, "two thousand million arguments announced: the same")
        error, end = self.answer(b"*1\r\n!bad\r\n")
        self.assertRegex(error, "^ERR Protocol error", "garbage: a protocol error")
        self.assertTrue(end, "garbage: and the end")
        error, _ = self.answer(b"*11\r\n" + b"$1\r\nx\r\n" * 11)
        self.assertRegex(error, "^(ERR|NOAUTH)", "eleven arguments before AUTH")
        self.assertLess(self.b.rss() - base, 20000 << 10, "nothing was allocated for an announcement")

    def test_half_a_frame_stores_nothing(self):
        with self.dial("q:pw") as c:
            c.raw(b"*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$10\r\nhalf")
        with self.dial() as c:
            for byte in b"AUTH q:pw\r\n*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$3\r\nabc\r\n":
                c.raw(bytes([byte]))
            self.assertEqual(c.recv(), "OK", "one byte at a time")
            self.assertTrue(c.recv().startswith('{"jobs":["'), "one byte at a time")
        self.assertEqual(self.stored(), 1, "half a frame stored nothing")

    def test_who_never_reads_does_not_fill_the_memory(self):
        base = self.b.rss()
        with self.dial() as c:
            c.raw(b"AUTH q:pw\r\n")
            c.sock.setblocking(False)
            end = time.monotonic() + 3
            while time.monotonic() < end and select.select([], [c.sock], [], 1)[1]:
                try:
                    c.sock.send(b"INFO\r\n" * 2000)
                except BlockingIOError:
                    pass
        grown = self.b.rss() - base
        self.assertLess(grown, 160000 << 10, f"a client that never reads does not fill the memory ({grown} bytes)")
        self.assertEqual(self.lpush("still"), "", "others are served")


class Auth(Limits):
    def is_cut(self):
        """A client that says nothing is, at the end of auth_timeout."""
        with self.dial() as c:
            try:
                while True:
                    c.recv()
            except (RespError, ConnectionError):
                pass
            self.assertTrue(c.at_end(), "who never authenticates is cut")

    def test_who_never_authenticates_is_cut_after_auth_timeout(self):
        self.b.reload(server=self.limits("2s"))
        self.assertTrue(self.b.logged("configuration reloaded"), "auth_timeout = 2s")
        start = time.monotonic()
        self.is_cut()
        took = time.monotonic() - start
        self.assertTrue(1.9 <= took < 50, f"a client that never authenticates is cut after auth_timeout ({took} s)")
        self.b.reload(server=self.limits("10m"))
        self.assertEqual(len(self.b.logged("configuration reloaded")), 2, "auth_timeout = 10m")

    def test_an_authenticated_one_may_idle(self):
        self.b.reload(server=self.limits("2s"))
        # On a busy machine its AUTH may come too late.
        with wait_until(lambda: self.dial("q:pw"), 10, "nobody is let in") as idle:
            for _ in range(2):
                self.is_cut()
            self.assertEqual(idle.call("PING"), "PONG", "an authenticated one may idle")

    @case("X1")
    def test_ten_wrong_ones_close_a_connection(self):
        got = b""
        with socket.create_connection(("127.0.0.1", self.b.port), 60) as s:
            s.sendall(b"".join(b"AUTH q:guess%d\n" % i for i in range(1, 41)))
            try:
                while part := s.recv(65536):
                    got += part
            except ConnectionResetError:
                pass
        self.assertEqual(got, b"-ERR invalid password\r\n" * 10, "ten guesses are refused, then the connection ends")
        self.assertEqual(self.lpush("right"), "", "who has the password is not locked out")


class Crowd(Limits):
    def test_thousands_of_clients_are_served_and_one_too_many_is_told_so(self):
        n, crowd = self.clients, []
        try:
            for _ in range(n):
                crowd.append(self.dial())
                crowd[-1].send("AUTH", "q:pw")
            self.assertEqual([c.recv() for c in crowd], ["OK"] * n, "all authenticated")
            for c in crowd:
                c.send("LPUSH", "q", "x")
            self.assertEqual([json.loads(c.recv())["error"] for c in crowd], [""] * n, "all stored a job")
            self.assertEqual(self.stored(), n, "all stored a job")
            for _ in range(40):
                crowd.append(self.dial())
            refusal = "closed"
            try:
                crowd[-1].send("PING")
                crowd[-1].recv()
                refusal = "let in"
            except RespError as e:
                refusal = str(e)
            except OSError:
                pass
            self.assertRegex(refusal, "max|clients|closed", "one too many is told so")
            opened = self.b.admin.get("/api/v1/status").json["clients"]["open"]
            self.assertTrue(n <= opened <= n + 20, f"the status counts them: {opened}")
        finally:
            for c in crowd:
                c.close()
        self.assertEqual(self.lpush("later"), "", "and serves afterwards")


if __name__ == "__main__":
    main()

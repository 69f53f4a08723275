#!/usr/bin/env python3
"""What becomes of workers' answers, over every transport that it concerns."""

import json
import os
import shutil
import signal
import socket
import socketserver
import ssl
import threading
import urllib.parse

from harness import Case, WebCase, case, main, wait_until


class NotRegisteredForOneJob(Case):
    """A worker that answers 404 to some jobs while its pings pass."""

    PHP = """<?php
parse_str(file_get_contents('php://input'), $form);
if ($form['type'] === 'ping') {
  header('Code: 200'); header('Consume-Topics: q/t'); exit;
}
$jobs = json_decode($form['jobs'], true);
file_put_contents(getenv('T') . '/calls.log', $jobs[0]['content'] . "\\n", FILE_APPEND);
header('Code: ' . ($jobs[0]['content'] === 'bad' ? 404 : 200));
"""

    def ini(self, redis, topic, pool="", queue=""):
        return f"""[storage main]
address = {redis.address}
{pool}
[queue q]
password = secret-pw
{queue}
[topic q/t]
{topic}
backoff = 50ms..50ms
"""

    def is_over(self, b, done, dead):
        wait_until(lambda: b.topic("q/t")["done"] == done and b.topic("q/t")["counts"]["dead"] == dead
                   and b.unfinished("q/t") == 0, 20, lambda: str(b.topic("q/t")))

    @case("R9")
    def test_cgi_with_one_worker(self):
        fpm = self.fpm(children=2)
        entry = self.write("w.php", self.PHP)
        b = self.broker("a", self.ini(self.redis(), f"pool = p\nentry = {entry}\nworkers = 1\nattempts = 2",
                                      f"[pool p]\nrun_type = cgi\naddress = {fpm.address}"))
        b.push("q", "bad", "good", "good", "good")
        self.is_over(b, 3, 1)
        # Twice in vain, then one answer for each of its attempts.
        self.assertEqual(self.lines("calls.log").count("bad"), 4)
        self.assertEqual(b.topic("q/t")["state"], "open")
        errors = b.admin.get("/api/v1/topics/q/t/errors").json["errors"]
        self.assertTrue([e for e in errors if e["code"] == 404 and "although pings pass" in e["message"]], errors)

    @case("R9")
    def test_exec_with_one_worker(self):
        entry = self.write("w.sh", f"""#!/bin/sh
[ "$PEPPERBUS_TYPE" = ping ] && exit 0
cat > {self.dir}/job
cat {self.dir}/job >> {self.dir}/calls.log; echo >> {self.dir}/calls.log
grep -q bad {self.dir}/job && exit 69
exit 0
""", 0o755)
        b = self.broker("a", self.ini(self.redis(), f"run_type = exec\nentry = {entry}\nworkers = 1\nattempts = 1"))
        b.push("q", "bad", "good", "good")
        self.is_over(b, 2, 1)
        self.assertEqual(sum("bad" in line for line in self.lines("calls.log")), 3)

    @case("R9")
    def test_http_with_several_workers_and_attempts_1(self):
        seen = []

        def handle(request):
            job = json.loads(request.form["jobs"])[0]["content"]
            seen.append(job)
            return (404, "never heard of it") if job.startswith("bad") else (200, "ok")

        w = self.http(handle)
        b = self.broker("a", self.ini(self.redis(), f"run_type = http\nentry = {w.address}/\nworkers = 3\nattempts = 1"))
        b.push("q", "bad1", "bad2", "bad3", *["good"] * 20)
        self.is_over(b, 20, 3)
        for job in ("bad1", "bad2", "bad3"):
            self.assertEqual(seen.count(job), 3, job)

    @case("R9")
    def test_http_chunks_answered_as_a_whole_take_no_neighbour_along(self):
        def handle(request):
            jobs = json.loads(request.form["jobs"])
            return (404, "no") if any(j["content"] == "bad" for j in jobs) else (200, "ok")

        w = self.http(handle)
        b = self.broker("a", self.ini(self.redis(), f"run_type = http\nentry = {w.address}/\nworkers = 1\nchunk = 10\n"
                                                    "attempts = 1"))
        b.push("q", *["good"] * 4, "bad", *["good"] * 4)
        self.is_over(b, 8, 1)

    def lists(self, answer, attempts=1, jobs=()):
        """A topic of chunk = 10 whose worker answers 207 with what `answer(contents)` says."""
        self.chunks = []

        def handle(request):
            asked = json.loads(request.form["jobs"])
            contents = [j["content"] for j in asked]
            self.chunks.append(contents)
            return 207, json.dumps([{"id": j["id"], "code": c} for j, c in zip(asked, answer(contents))])

        w = self.http(handle)
        b = self.broker("a", self.ini(self.redis(), f"run_type = http\nentry = {w.address}/\nworkers = 1\nchunk = 10\n"
                                                    f"attempts = {attempts}"))
        b.push("q", *jobs)
        return b

    @case("R9")
    def test_http_207_lists_that_hold_404(self):
        b = self.lists(lambda contents: [404 if c == "bad" else 200 for c in contents],
                       jobs=["good", "bad", "good", "good"])
        self.is_over(b, 3, 1)

    @case("R9")
    def test_http_207_lists_of_nothing_but_404(self):
        b = self.lists(lambda contents: [404 for c in contents], jobs=["bad", "bad"])
        self.is_over(b, 0, 2)

    @case("R9")
    def test_the_rest_of_a_chunk_goes_back_as_often_as_need_be(self):
        # Each request handles one job, and hands the others back: no attempt is counted.
        jobs = [f"j{i}" for i in range(10)]
        b = self.lists(lambda contents: [200] + [404] * (len(contents) - 1), jobs=jobs)
        self.is_over(b, 10, 0)
        self.assertEqual([c[0] for c in self.chunks], jobs)  # in their order

    @case("R9")
    def test_really_not_registered_waits_untouched(self):
        registered = []

        def handle(request):
            if request.type == "ping":
                return ({"headers": {"Code": "200", "Consume-Topics": "q/t"}} if registered else (404, "not here"))
            return (200, "ok") if registered else (404, "not here")

        w = self.http(handle, pings=False)
        b = self.broker("a", self.ini(self.redis(), f"run_type = http\nentry = {w.address}/\nworkers = 2\nattempts = 1"))
        b.push("q", "one", "two", "three")
        wait_until(lambda: sum(r.type == "ping" for r in w.requests) >= 6, 20)
        t = b.topic("q/t")
        self.assertEqual((t["state"], t["failed"], t["counts"]["dead"]), ("unregistered", 0, 0))
        registered.append(True)
        self.is_over(b, 3, 0)

    @case("R9")
    def test_two_nodes_do_not_hand_it_to_each_other_for_ever(self):
        w = self.http(lambda r: (404, "no"))
        redis = self.redis()
        ini = self.ini(redis, f"run_type = http\nentry = {w.address}/\nworkers = 1\nattempts = 2")
        a, b = self.broker("a", ini), self.broker("b", ini)
        a.push("q", "bad1", "bad2", "bad3")
        wait_until(lambda: a.topic("q/t")["counts"]["dead"] == 3, 20, lambda: str(a.topic("q/t")))
        self.assertEqual(a.topic("q/t")["failed"] + b.topic("q/t")["failed"], 6)


class TlsCase(WebCase):
    """Two authorities, a server's certificate of the first, and a topic that calls it."""

    def replace(self, name, by):
        """As a deploy does it: another file in its place, at once."""
        (self.dir / f"{name}.new").write_bytes((self.dir / by).read_bytes())
        (self.dir / f"{name}.new").rename(self.dir / name)

    def server(self, port, cert, more="", topics="q/t", reads=True):
        """reads: the whole request, before it answers; else it answers at once."""
        answer = f"location / {{ add_header Code 200; add_header Consume-Topics {topics}; return 200 ok; }}"
        behind = f"{self.dir}/{cert}.{port}.sock"
        return self.nginx(f"""server {{ listen 127.0.0.1:{port} ssl http2; {more}
  ssl_certificate {self.dir}/{cert}.pem; ssl_certificate_key {self.dir}/{cert}.key;
  {f"location / {{ proxy_pass http://unix:{behind}; }}" if reads else answer} }}
  server {{ listen unix:{behind}; {answer} }}""", port, name=cert)

    def setUp(self):
        super().setUp()
        self._need(shutil.which("openssl"), "openssl")
        self.authority("one")
        self.authority("two")
        self.certificate("web1", "one")
        self.port = self.free_port()

    def start(self, topic="", pool="keepalive = no", workers=4, scheme="https"):
        return self.broker("a", f"""[storage main]
address = {self.redis().address}
[pool p]
run_type = http
{pool}
[queue q]
password = secret-pw
[topic q/t]
pool = p
entry = {scheme}://127.0.0.1:{self.port}/
workers = {workers}
{"" if "attempts = " in topic else "attempts = 1"}
{topic}
""")

    def done(self, b, n, path="q/t"):
        wait_until(lambda: b.topic(path)["done"] == n, 20, lambda: str(b.topic(path)))


class Tls(TlsCase):
    """Certificates and keys are read once and kept; what changes is read anew."""

    @case("S1")
    def test_what_was_read_is_kept(self):
        self.server(self.port, "web1")
        self.replace("ca.pem", "one.pem")
        b = self.start(f"ca_file = {self.dir}/ca.pem")
        b.push("q", *["x"] * 5)
        self.done(b, 5)
        (self.dir / "ca.pem").unlink()  # a broker that read it for each connection would fail now
        wait_until(lambda: b.push("q", "x") and b.logged("ca.pem has changed and cannot be used"), 10)
        b.push("q", *["x"] * 5)
        wait_until(lambda: b.unfinished("q/t") == 0, 20)
        t = b.topic("q/t")
        self.assertEqual((t["failed"], t["unreachable"], t["state"]), (0, 0, "open"))

    def test_an_answer_counts_though_the_request_was_not_read(self):
        """Over HTTP/2 with more than a window (64 KB), such a server resets the stream behind its answer.
        libcurl 7.88 says no word of some answers: those attempts fail."""
        self.server(self.port, "web1", reads=False)
        self.replace("ca.pem", "one.pem")
        b = self.start(f"ca_file = {self.dir}/ca.pem\ntimeout = 3s", pool="")
        b.push("q", *["x" * 70000] * 30)
        wait_until(lambda: b.unfinished("q/t") == 0, 60)
        t = b.topic("q/t")
        self.assertGreater(t["done"], 0, b.admin.get("/api/v1/topics/q/t/errors").text[:500])

    @case("S1")
    def test_a_changed_ca_file_is_noticed(self):
        first = self.server(self.port, "web1")
        self.replace("ca.pem", "one.pem")
        b = self.start(f"ca_file = {self.dir}/ca.pem")
        b.push("q", "x")
        self.done(b, 1)
        first.stop()
        self.certificate("web2", "two")
        self.server(self.port, "web2")
        b.push("q", "x")
        wait_until(lambda: b.topic("q/t")["state"] == "unreachable" and
                   "certificate did not pass" in b.topic("q/t")["why"], 20, lambda: str(b.topic("q/t")))
        self.replace("ca.pem", "two.pem")
        self.done(b, 2)
        # And what is not trusted any more is not talked to, though there are sessions of it.
        self.replace("ca.pem", "one.pem")
        b.push("q", "x")
        wait_until(lambda: b.push("q", "x") and b.topic("q/t")["state"] == "unreachable", 20, lambda: str(b.topic("q/t")))

    @case("S1")
    def test_a_changed_ca_file_holds_for_kept_connections(self):
        self.server(self.port, "web1")
        self.replace("ca.pem", "one.pem")
        b = self.start(f"ca_file = {self.dir}/ca.pem", "idle_timeout = 5m")
        b.push("q", "x")
        self.done(b, 1)
        self.replace("ca.pem", "two.pem")
        wait_until(lambda: b.push("q", "x") and b.topic("q/t")["state"] == "unreachable", 20, lambda: str(b.topic("q/t")))

    @case("S1")
    def test_connections_are_not_shared_with_topics_that_trust_less(self):
        self.server(self.port, "web1", topics="q/t,q/strict")
        b = self.start("verify = no", "idle_timeout = 5m")
        b.push("q", *["x"] * 3)
        self.done(b, 3)
        # In the same pool, to the same server, whose certificate this one does not trust.
        b.reload(f"""{b.ini}
[topic q/strict]
pool = p
entry = https://127.0.0.1:{self.port}/
ca_file = {self.dir}/two.pem
""")
        wait_until(lambda: "certificate did not pass" in b.topic("q/strict")["why"], 20, lambda: str(b.topic("q/strict")))
        self.assertEqual(b.topic("q/strict")["done"], 0)

    @case("S1")
    def test_a_client_certificate_is_kept_and_read_anew(self):
        self.server(self.port, "web1", f"ssl_client_certificate {self.dir}/two.pem; ssl_verify_client on; ssl_verify_depth 1;")
        self.certificate("bad", "one")
        self.certificate("good", "two")
        for part in ("key", "pem"):
            self.replace(f"own.{part}", f"bad.{part}")
        b = self.start(f"ca_file = {self.dir}/one.pem\nclient_cert = {self.dir}/own.pem\nclient_key = {self.dir}/own.key")
        b.push("q", "x")
        wait_until(lambda: b.topic("q/t")["state"] != "open" and b.topic("q/t")["why"], 20)
        for part in ("key", "pem"):
            self.replace(f"own.{part}", f"good.{part}")
        self.done(b, 1)
        for part in ("key", "pem"):
            (self.dir / f"own.{part}").unlink()
        wait_until(lambda: b.push("q", "x") and b.logged("own.pem or its key has changed and cannot be used"), 10)
        b.push("q", "x")
        wait_until(lambda: b.unfinished("q/t") == 0, 20)
        self.assertEqual(b.topic("q/t")["failed"], 0)

    @case("S1")
    def test_files_that_are_no_certificates_are_named(self):
        self.server(self.port, "web1")
        self.write("rubbish.pem", "rubbish")
        b = self.start(f"ca_file = {self.dir}/rubbish.pem")
        b.push("q", "x")
        wait_until(lambda: "ca_file cannot be used" in b.topic("q/t")["why"] and "rubbish.pem" in b.topic("q/t")["why"],
                   20, lambda: str(b.topic("q/t")))
        self.replace("rubbish.pem", "one.pem")
        self.done(b, 1)


class Declined(TlsCase):
    """A request that the server declined without looking at it was no attempt."""

    @case("L6")
    def test_nginx_ends_its_http2_connections(self):
        self.nginx(f"""keepalive_requests 50; server {{ listen 127.0.0.1:{self.port} ssl http2;
  ssl_certificate {self.dir}/web1.pem; ssl_certificate_key {self.dir}/web1.key;
  location / {{ add_header Code 200; add_header Consume-Topics q/t; return 200 ok; }} }}""", self.port)
        b = self.start(f"ca_file = {self.dir}/one.pem\nhttp_version = 2", "max_connections = 20", 20)
        b.push("q", *["x"] * 1500)
        wait_until(lambda: b.unfinished("q/t") == 0, 30)
        t = b.topic("q/t")
        self.assertEqual((t["done"], t["failed"]), (1500, 0), b.ctl("topic", "errors", "q/t").out[-600:])


    def timing_out(self, tls, always):
        """A server that says 408 and closes when a second request comes over a connection, as one
        does whose patience ended just then; `always`: also on the first one, but for pings."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.dir / "web1.pem", self.dir / "web1.key")
        seen = []

        class Handler(socketserver.StreamRequestHandler):
            def setup(self):
                if tls:
                    self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self):
                for n in range(3):
                    head = []
                    while (line := self.rfile.readline()) not in (b"\r\n", b""):
                        head.append(line)
                    if not head:
                        return
                    length = next(int(l.split(b":")[1]) for l in head if l.lower().startswith(b"content-length"))
                    body = self.rfile.read(length)
                    if n or (always and b"type=data" in body):
                        seen.append("late")
                        self.wfile.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        return
                    seen.append("data" if b"type=data" in body else "ping")
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nCode: 200\r\nConsume-Topics: q/t\r\nContent-Length: 2\r\n\r\nok")

        server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler, bind_and_activate=False)
        server.allow_reuse_address = server.daemon_threads = True
        server.server_bind()
        server.server_activate()
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        b = self.start(f"ca_file = {self.dir}/one.pem\nhttp_version = 1.1" if tls else "", "idle_timeout = 5m", 1,
                       "https" if tls else "http")
        return b, seen

    @case("L6")
    def test_a_408_that_crosses_a_request(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                self.port = self.free_port()
                b, seen = self.timing_out(tls, False)
                for n in range(1, 6):
                    b.push("q", "x")
                    self.done(b, n)
                t = b.topic("q/t")
                self.assertEqual((t["failed"], t["counters"]["attempts"], t["busy"]), (0, 5, 0))
                self.assertIn("late", seen)
                b.stop()

    @case("L6")
    def test_a_408_on_a_new_connection_is_an_answer(self):
        b, _ = self.timing_out(False, True)
        b.push("q", "x")
        wait_until(lambda: b.topic("q/t")["counts"]["dead"] == 1, 20, lambda: str(b.topic("q/t")))

    def broken(self, how):
        """Jobs are at the worker, over few connections of HTTP/2, when `how` ends these: up to 30, fewer where
        the worker was slow to take connections and the broker asks it less at a time."""
        go, seen = threading.Event(), []

        def handle(request):
            seen.extend(j["content"] for j in json.loads(request.form["jobs"]))
            go.wait(60)
            return 200, "ok"

        w = self.http(handle)
        inner = self.free_port()
        nginx = self.nginx(f"""server {{ listen 127.0.0.1:{inner} ssl http2; keepalive_requests 100000;
  ssl_certificate {self.dir}/web1.pem; ssl_certificate_key {self.dir}/web1.key;
  location / {{ proxy_pass http://127.0.0.1:{w.port}; }} }}""", inner)
        proxy = self.tcp_proxy(f"127.0.0.1:{inner}", self.port)
        b = self.start(f"ca_file = {self.dir}/one.pem\nhttp_version = 2", "idle_timeout = 5m", 30)
        go.set()
        b.push("q", *["before"] * 30)
        self.done(b, 30)
        go.clear()
        b.push("q", *[f"j{i}" for i in range(30)])
        wait_until(lambda: len(seen) > 35, 20, lambda: str(b.topic("q/t")))
        how(nginx, proxy)
        wait_until(lambda: b.topic("q/t")["failed"] > 5, 20, lambda: str(b.topic("q/t")))
        go.set()
        b.push("q", *["after"] * 10)
        wait_until(lambda: b.topic("q/t")["done"] + b.topic("q/t")["failed"] == 70, 20, lambda: str(b.topic("q/t")))
        jobs = [content for content in seen if content.startswith("j")]
        self.assertEqual(len(jobs), len(set(jobs)), "none was sent twice")
        self.assertEqual(b.topic("q/t")["counters"]["attempts"], 70)

    @case("L6")
    def test_a_reset_says_nothing_of_what_ran(self):
        self.broken(lambda nginx, proxy: proxy.cut())

    @case("L6")
    def test_a_server_that_dies_says_nothing_of_what_ran(self):
        def kill(nginx, _):
            children = self.run_program("pgrep", "-P", str(nginx.pid)).out.split()
            for pid in children:
                os.kill(int(pid), signal.SIGKILL)

        self.broken(kill)


class H2Server(socketserver.ThreadingTCPServer):
    """HTTP/2 by hand. What it does with a job is its content's first word, the first time that it comes;
    `seen` has the attempts that it looked at: (content, number)."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port, context):
        self.context, self.seen, self.rude = context, [], set()
        super().__init__(("127.0.0.1", port), H2Connection)


class H2Connection(socketserver.BaseRequestHandler):
    DATA, HEADERS, RST, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
    REFUSED, CANCEL = 7, 8

    def setup(self):
        self.inner, self.outer, self.raw = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
        self.tls = self.server.context.wrap_bio(self.inner, self.outer, server_side=True)
        self.until(self.tls.do_handshake)

    def until(self, what):
        while True:
            try:
                return what()
            except ssl.SSLWantReadError:
                self.flush()
                more = self.request.recv(65536)
                if not more:
                    raise EOFError from None
                self.inner.write(more)

    def flush(self):
        self.request.sendall(self.outer.read())

    def take(self, n):
        while len(self.raw) < n:
            more = self.until(lambda: self.tls.read(65536))
            if not more:
                raise EOFError
            self.raw += more
        part, self.raw = self.raw[:n], self.raw[n:]
        return part

    def frame(self, kind, flags, stream, payload):
        self.tls.write(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)

    def end(self):
        """The frames before it, the end of TLS and that of the connection come together."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self.flush()
        self.request.shutdown(socket.SHUT_WR)
        while self.request.recv(65536):
            pass
        raise EOFError

    def answer(self, stream, form):
        if form["type"] == ["data"]:
            (job,) = json.loads(form["jobs"][0])
            word = job["content"]
            rude = word not in self.server.rude
            self.server.rude.add(word)
            if rude and word == "refuse":
                return self.frame(self.RST, 0, stream, self.REFUSED.to_bytes(4, "big"))
            if rude and word == "away":
                self.frame(self.GOAWAY, 0, 0, max(stream - 2, 0).to_bytes(4, "big") + bytes(4))
                return self.end()
            self.server.seen.append((word, job["RetryTimes"]))
            if rude and word in ("reset", "taken"):
                if word == "taken":
                    self.frame(self.GOAWAY, 0, 0, stream.to_bytes(4, "big") + bytes(4))
                self.frame(self.RST, 0, stream, self.CANCEL.to_bytes(4, "big"))
                return self.end()
        head = b"\x88"  # :status 200, then literals
        for name, value in ((b"code", b"200"), (b"consume-topics", b"q/t")):
            head += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        self.frame(self.HEADERS, 4, stream, head)
        self.frame(self.DATA, 1, stream, b"ok")

    def handle(self):
        bodies = {}
        try:
            self.take(24)
            self.frame(self.SETTINGS, 0, 0, b"")
            while True:
                self.flush()
                head = self.take(9)
                payload, stream = self.take(int.from_bytes(head[:3], "big")), int.from_bytes(head[5:], "big")
                kind, flags = head[3], head[4]
                if kind in (self.SETTINGS, self.PING) and not flags & 1:
                    self.frame(kind, 1, 0, payload if kind == self.PING else b"")
                if kind == self.DATA:
                    bodies[stream] = bodies.get(stream, b"") + payload
                if kind in (self.DATA, self.HEADERS) and flags & 1:
                    self.answer(stream, urllib.parse.parse_qs(bodies.pop(stream, b"").decode()))
        except (EOFError, OSError):
            pass


class DeclinedForCertain(TlsCase):
    """Only what was not processed for certain goes on uncounted; libcurl is as silent about the rest."""

    def setUp(self):
        super().setUp()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.dir / "web1.pem", self.dir / "web1.key")
        context.set_alpn_protocols(["h2"])
        self.worker_h2 = H2Server(self.port, context)
        threading.Thread(target=self.worker_h2.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(self.worker_h2.server_close)
        self.addCleanup(self.worker_h2.shutdown)

    def runs(self, word, failed):
        b = self.start(f"ca_file = {self.dir}/one.pem\nhttp_version = 2\nattempts = 5\nbackoff = 50ms..50ms",
                       "idle_timeout = 5m", 1)
        b.push("q", "before")
        self.done(b, 1)
        b.push("q", word)
        self.done(b, 2)
        first, second = [("before", 1), (word, 1)], self.worker_h2.seen[2:]
        self.assertEqual(self.worker_h2.seen[:2], first)
        # The end of the connection may come later than the reset: what was sent on it meanwhile was lost.
        lost = second[0][1] - 2 if failed and second else 0
        self.assertEqual(second, [(word, 2 + lost)] if failed else [])
        t = b.topic("q/t")
        self.assertEqual((t["failed"], t["counters"]["attempts"]), (failed + lost, 2 + failed + lost))

    @case("L6")
    def test_a_refused_stream_goes_on(self):
        self.runs("refuse", 0)

    @case("L6")
    def test_a_goaway_with_a_lower_number_and_the_end_go_on(self):
        self.runs("away", 0)

    @case("L6")
    def test_a_reset_and_the_end_say_nothing_of_what_ran(self):
        self.runs("reset", 1)

    @case("L6")
    def test_a_goaway_that_includes_it_says_nothing_of_what_ran(self):
        self.runs("taken", 1)


if __name__ == "__main__":
    main()

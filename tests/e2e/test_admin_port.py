"""The admin port as strangers use it: nothing that they do may take the broker from its jobs."""

import resource
import socket
import threading

from harness import Case, case, main, wait_until

TOPICS = """
[storage main]
address = {redis}
[pool p]
run_type = exec
max_connections = 8
[queue q]
password = secret-pw
[topic q/t]
pool = p
entry = /bin/true
workers = 8
"""


def limit_files(n):
    """For Popen: neither the soft nor the hard limit is more."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


class AdminPort(Case):
    def start(self, files=None, server=""):
        redis = self.redis()
        more = {"preexec_fn": limit_files(files)} if files else {}
        return self.broker("a", TOPICS.format(redis=redis.address), server, **more)

    def done(self, b):
        return b.topic("q/t")["counters"]["done"]

    def works(self, b, jobs):
        before = self.done(b)
        b.push("q", *[f"job {i}" for i in range(jobs)])
        wait_until(lambda: self.done(b) == before + jobs, 60, lambda: f"{self.done(b) - before} of {jobs} are done")

    def raw(self, b, text):
        """All that is answered to `text` until the connection ends."""
        with b.admin.socket() as s:
            s.sendall(text.encode())
            got = b""
            while True:
                part = s.recv(65536)
                if not part:
                    return got.decode()
                got += part

    @case("X3")
    def test_connections_that_send_a_byte_now_and_then_take_nothing_from_jobs(self):
        b = self.start(files=600)
        held = []
        for _ in range(640):
            s = b.admin.socket()
            s.sendall(b"G")
            held.append(s)
        self.works(b, 30)
        self.assertEqual(b.ctl("status").status, 0)
        self.assertEqual(b.admin.get("/api/v1/topics").status, 200)
        self.assertEqual(b.admin.get("/healthz", token=None).status, 200)
        text = b.admin.get("/metrics").text
        self.assertIn('pepperbus_admin_refused_total{reason="connections"}', text)
        for s in held:
            s.close()

    @case("X3")
    def test_bodies_are_not_read_before_the_token(self):
        b = self.start()
        self.works(b, 1)
        before, sent = resident(b.pid), []
        for _ in range(20):
            s = b.admin.socket()
            s.sendall(b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n")
            sent.append(s)
        # Each sends its body whatever the answer says, and hears it all the same.
        answers = []

        def send(s):
            try:
                s.sendall(b"x" * 10000000)
            except OSError:
                pass
            answers.append(s.recv(100))

        threads = [threading.Thread(target=send, args=(s,)) for s in sent]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual({a[:12] for a in answers}, {b"HTTP/1.1 401"})
        self.assertLess(resident(b.pid) - before, 32 << 20)
        for s in sent:
            s.close()
        self.assertEqual(b.admin.post("/api/v1/queues/q/jobs", b"y" * 9000000).status, 413)
        self.assertEqual(b.admin.post("/api/v1/queues/q/jobs", b"y" * 8000000).status, 200)

    @case("X3")
    def test_a_host_that_is_not_ours_is_refused(self):
        b = self.start(server="hosts = bus.example.com")
        status = lambda host, path="/metrics", **kw: b.admin.get(path, headers={"Host": host}, **kw).status
        for host in ("127.0.0.1", "10.1.2.3:99", "[::1]:19840", "localhost:19840", "LOCALHOST", "a", "a.",
                     socket.gethostname(), "bus.example.com", "Bus.Example.Com:443"):
            self.assertEqual(status(host), 200, host)
        for host in ("evil.example.com", "example.com", "bus.example.com.evil.org", "localhost.evil.org",
                     "127.0.0.1.evil.org", "127.0.0.1@evil.org", "x", "1.2.3", "[::1"):
            self.assertEqual(status(host), 403, host)
            self.assertEqual(status(host, "/api/v1/status"), 403, host)
        self.assertEqual(status("evil.example.com", "/healthz", token=None), 200)
        self.assertEqual(status("evil.example.com", "/readyz", token=None), 200)

    @case("X3")
    def test_what_is_open_without_the_token(self):
        b = self.start()
        for path in ("/healthz", "/readyz", "/metrics", "/metrics?detail=topic"):
            self.assertEqual(b.admin.get(path, token=None).status, 200, path)
        for path in ("/", "/api/v1/status", "/api/v1/config", "/api/v1/acts", "/nosuch", "/metrics/", "/metrics/x",
                     "/healthz/..%2fapi%2fv1%2fstatus", "/api/v1/session", "//metrics"):
            wanted = {"/metrics/": 200, "/": 404}.get(path, 401)  # "/": this console is not built
            self.assertEqual(b.admin.get(path, token=None).status, wanted, path)
        b.reload(server="metrics_auth = yes")
        wait_until(lambda: b.admin.get("/metrics", token=None).status == 401)
        self.assertEqual(b.admin.get("/metrics").status, 200)

    @case("X3")
    def test_requests_that_end_in_two_places_are_refused(self):
        b = self.start()
        token = f"Host: localhost\r\nAuthorization: Bearer {b.token()}\r\n"
        smuggled = "GET /api/v1/status HTTP/1.1\r\n" + token + "\r\n"
        for head in ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 0\r\nContent-Length: 5\r\n",
                     "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "Content-Length : 5\r\n",
                     "Content-Length: 0\nTransfer-Encoding: chunked\r\n", "Content-Length: +0\r\n"):
            text = self.raw(b, f"POST /api/v1/topics/q/t/ping HTTP/1.1\r\n{token}{head}\r\n{smuggled}")
            self.assertTrue(text.startswith("HTTP/1.1 400 "), (head, text[:300]))
            self.assertEqual(text.count("HTTP/1.1 "), 1, (head, text))
        text = self.raw(b, f"GET /healthz HTTP/1.1\r\n{token}\r\n" * 3 + "GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(text.count("HTTP/1.1 200 "), 4, text)

    @case("X3")
    def test_what_follows_a_body_has_the_limits_of_a_head(self):
        b = self.start()
        head = f"POST /api/v1/topics/q/t/ping HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {b.token()}\r\n"
        with b.admin.socket() as s:
            s.sendall((head + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n").encode())
            got = s.recv(65536)
            self.assertTrue(got.startswith(b"HTTP/1.1 100 "), got)
            # In one piece with the body, as the broker reads it, and much more behind that.
            try:
                s.sendall(b"{}GET /" + b"x" * 50000)
                got += s.recv(65536)
                s.sendall(b"x" * 500000)
                while part := s.recv(65536):
                    got += part
            except OSError:
                pass
            self.assertEqual(got.count(b"HTTP/1.1 400 "), 1, got)
        text = self.raw(b, head + "Content-Length: 2\r\n\r\n{}" + "no/request\r\n")
        self.assertEqual(text.count("HTTP/1.1 400 "), 1, text)
        long = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + "x" * 20000 + "\r\n\r\n"
        text = self.raw(b, head + "Content-Length: 2\r\n\r\n{}" + long)
        self.assertEqual(text.count("HTTP/1.1 400 "), 1, text)
        self.works(b, 1)

    @case("X3")
    def test_a_body_in_many_small_chunks_is_put_together(self):
        b = self.start()
        head = (f"POST /api/v1/topics/q/t/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {b.token()}\r\n"
                "Transfer-Encoding: chunked\r\n\r\n")
        body = '{"reason": "' + "abcdefgh" * 40 + '"}' + " " * 50000
        chunks = "".join(f"1\r\n{c}\r\n" for c in body) + "0\r\n\r\n"
        text = self.raw(b, head + chunks + "GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(text.count("HTTP/1.1 200 "), 2, text)
        self.assertEqual(b.topic("q/t")["pause"]["reason"], "abcdefgh" * 40)

    @case("X3")
    def test_many_clients_where_descriptors_are_few_leave_some_for_workers(self):
        b = self.start(files=200)
        clients, full = [], 0
        for _ in range(300):
            try:
                clients.append(b.client("q:secret-pw"))
            except Exception:  # told that there are too many, or closed  # pylint: disable=broad-except
                full += 1
        self.assertGreater(len(clients), 60)
        self.assertGreater(full, 60)
        before = self.done(b)
        for i in range(200):
            clients[i % len(clients)].call("LPUSH", "q", f"job {i}")
        wait_until(lambda: self.done(b) == before + 200, 60, lambda: f"{self.done(b) - before} of 200 are done")
        counters = b.topic("q/t")["counters"]
        self.assertEqual((counters["failed"], counters["unreachable"]), (0, 0), counters)
        self.assertEqual(b.ctl("status").status, 0)


if __name__ == "__main__":
    main()

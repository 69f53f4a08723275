#!/usr/bin/env python3
"""Jobs over HTTP: a real nginx in front of a real php-fpm with the SDK's worker; unix sockets, IPv6,
several addresses; a server that is busy, gone or reloaded; signatures."""

import hashlib
import hmac
import re
import signal
from pathlib import Path

from harness import WebCase, equals, main, wait_until


def has_ipv6():
    table = Path("/proc/net/if_inet6")
    return table.exists() and re.search(r"^0{31}1 ", table.read_text(), re.M)


class HttpCase(WebCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()
        self.sdk()

    def web(self, listen=""):
        return self.nginx(f"""client_max_body_size 16m;
  server {{
    listen 127.0.0.1:{self.port}; listen unix:{self.dir}/web.sock; {listen}
    if (-f {self.dir}/busy) {{ return 503; }}
    add_header Retry-After 1 always;
    location = /moved {{ return 301 http://127.0.0.1:{self.port}/sdk.php; }}
    location = /static {{ default_type text/plain; return 200 "hello"; }}
    location = /sdk.php {{ {self.to_php()} }}
  }}""", self.port)

    @property
    def entry(self):
        return f"entry = http://127.0.0.1:{self.port}/sdk.php"

    def opened(self, name, keys, **kw):
        """A broker with one topic, which is open."""
        self.server = self.web()
        self.start((name, keys), **kw)
        self.is_(name, "state", "open", f"{name}: its worker is registered")
        return self.b


class ThroughNginx(HttpCase):
    def test_jobs_run_once_each(self):
        b = self.opened("sdk", f"{self.entry}\nworkers = 4")
        self.push("sdk", *range(300))
        self.are_handled("sdk", 300, "300 jobs through nginx and php-fpm", 20)
        self.once_each("sdk", 300)
        self.assertTrue([f for f in b.metrics() if f.startswith("pepperbus_http_connections_reused_total")],
                        "connections that are used again are counted")

    def test_an_exception_is_a_failed_attempt_that_says_which(self):
        b = self.opened("sdk", self.entry)
        self.push("sdk", "bad")
        self.are_handled("sdk", 1, "an exception, then the next attempt")
        b.complains("qsdk/sdk", "RuntimeException: not this one", "the error says which")
        test = b.admin.post("/api/v1/topics/qsdk/sdk/test", {"content": "by hand"}).json
        self.assertEqual(test["code"], 200, "test answers 200")

    def test_a_job_of_4_mb_runs(self):
        self.opened("sdk", self.entry)
        self.assertEqual(len(self.push("sdk", b"x" * 4000000)), 1, "a job of 4 MB is added")
        self.are_handled("sdk", 1, "and handled", 20)

    def test_several_jobs_in_a_request_have_each_its_outcome(self):
        self.opened("chunk", f"{self.entry}?chunk\nchunk = 10\nchunk_wait = 6s")
        self.push("chunk", 1, 2, 3, 4, "bad", 6, 7, 8, 9, 10)
        self.are_handled("chunk", 10, "ten jobs, one of which fails at first")
        self.is_("chunk", "done", 10, "all are done")
        self.assertEqual((len(self.handled("chunk")), self.topic("chunk")["failed"]), (10, 1),
                         "that one alone was run again")
        self.assertEqual(self.lines("requests.chunk"), ["10", "1"], "ten in one request, the one in another")


class Ways(HttpCase):
    """Ways to the server."""

    def test_a_unix_socket(self):
        self.opened("unix", "pool = web\nentry = http://worker.example/sdk.php",
                    pools=f"[pool web]\nrun_type = http\naddress = unix:{self.dir}/web.sock\nmax_connections = 8")
        self.push("unix", *range(50))
        self.are_handled("unix", 50, "50 jobs over it")

    def test_ipv6(self):
        if not has_ipv6():
            self.skipTest("this machine has no IPv6")
        v6 = self.free_port()
        self.web(f"listen [::1]:{v6};")
        self.start(("v6", f"entry = http://[::1]:{v6}/sdk.php"))
        self.is_("v6", "state", "open", "IPv6")
        self.push("v6", 1, 2, 3)
        self.are_handled("v6", 3, "3 jobs over it")

    def test_four_addresses_two_of_them_dead(self):
        addresses = f"127.0.0.1:1, 127.0.0.1:{self.port}, unix:{self.dir}/none.sock, unix:{self.dir}/web.sock"
        b = self.opened("many", "pool = several\nentry = http://worker.example/sdk.php",
                        pools=f"[pool several]\nrun_type = http\naddress = {addresses}\nmax_connections = 8\n"
                              "connect_timeout = 500ms")
        self.push("many", *range(200))
        self.are_handled("many", 200, "200 jobs over the other two", 20)
        self.once_each("many", 200)
        wait_until(lambda: b.logged("cannot reach 127.0.0.1:1: .*using the other addresses"), 5,
                   "the log names the dead one")


class NoVerdict(HttpCase):
    """Busy, redirects, pages that are no worker."""

    def test_503_is_busy_and_no_attempt(self):
        self.opened("busy", f"pool = busy\n{self.entry}", pools="[pool busy]\nrun_type = http\nmax_connections = 8")
        self.write("busy", "")
        self.push("busy", *range(10))
        wait_until(lambda: self.topic("busy")["busy"] > 0, 10, "503: busy")
        self.assertEqual(self.topic("busy")["failed"], 0, "no attempt is counted")
        (self.dir / "busy").unlink()
        self.are_handled("busy", 10, "and when it is not any more, the jobs are handled")
        self.assertEqual(len(self.handled("busy")), 10, "each once")

    def test_a_redirect_is_named_and_not_followed(self):
        self.web()
        self.start(("moved", f"entry = http://127.0.0.1:{self.port}/moved"))
        self.is_("moved", "state", "unregistered", "a redirect is not followed")
        self.says("moved", f"a redirect to http://127.0.0.1:{self.port}/sdk.php", "and named")

    def test_a_page_that_is_no_worker_is_quoted(self):
        self.web()
        self.start(("static", f"entry = http://127.0.0.1:{self.port}/static"))
        self.is_("static", "state", "unregistered", "a page that is no worker")
        self.says("static", "no Code header.*hello", "says what it is, and quotes it")


class Signature(HttpCase):
    KEY = "a-key-of-thirty-two-characters-.."

    def test_its_signature_is_that_of_the_body(self):
        self.opened("signed", f"{self.entry}\nsigning_key = {self.KEY}")
        self.push("signed", "sign me")
        self.are_handled("signed", 1, "a signed job")
        line, body = (self.dir / "signature").read_bytes().split(b"\n", 1)
        t, mac = re.fullmatch(r"t=(\d+),v2=([0-9a-f]{64})", line.decode()).groups()
        signed = f"{t}\nform\nqsigned/signed\n".encode() + body
        self.assertEqual(mac, hmac.new(self.KEY.encode(), signed, hashlib.sha256).hexdigest(), "its signature is right")


class TheServer(HttpCase):
    """nginx goes, comes back, and is reloaded."""

    def test_gone_it_is_unreachable_and_costs_no_attempt(self):
        self.opened("sdk", self.entry)
        self.server.stop()
        self.push("sdk", *range(50))
        self.is_("sdk", "state", "unreachable", "nginx is gone: unreachable")
        failed = self.topic("sdk")["failed"]
        self.web()
        self.are_handled("sdk", 50, "back: the jobs are handled")
        self.assertEqual(self.topic("sdk")["failed"], failed, "no attempt was counted")

    def test_reloads_under_load_lose_nothing(self):
        """At most what crosses the end of a kept connection fails, once."""
        self.opened("sdk", f"{self.entry}\nworkers = 4\nattempts = 8")
        self.push("sdk", *["sleep:1"] * 1500)
        for _ in range(3):
            n = len(self.handled("sdk"))
            self.server.signal(signal.SIGHUP)
            # Load goes on meanwhile, unless all of it is done.
            wait_until(lambda n=n: len(self.handled("sdk")) > n + 100 or len(self.handled("sdk")) >= 1500, 20)
        self.are_handled("sdk", 1500, "nginx reloaded three times under load: every job is handled", 30)
        equals(lambda: self.b.unfinished("qsdk/sdk"), 0, 10, "and nothing waits any more")
        wait_until(lambda: len(self.handled("sdk")) - 1500 <= self.topic("sdk")["failed"], 5,
                   "twice only where an attempt failed")


class Checked(WebCase):
    """What is wrong with the configuration is said with file and line."""

    def faults(self, keys):
        self.redis_server = self.redis()
        b = self.broker("b", self.topics(("hook", f"entry = http://h/\n{keys}")), start=False)
        r = b.check()
        self.assertNotEqual(r.status, 0, "it is refused")
        return r.out + r.err

    def test_chunk_and_content(self):
        self.assertRegex(self.faults("body = content\nchunk = 2"), r"b\.ini:[0-9]+: .*chunk = 1", "chunk and content")

    def test_a_header_that_is_not_to_be_set(self):
        self.assertRegex(self.faults("header = Content-Length: 3"), r"b\.ini:[0-9]+: .*Content-Length")


if __name__ == "__main__":
    main()

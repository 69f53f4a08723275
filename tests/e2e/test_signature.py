#!/usr/bin/env python3
"""Signed requests: a PHP worker that nginx makes reachable for everybody takes only those that the
broker signed; what operators are told where keys differ; a change of keys that costs no attempt."""

import hashlib
import hmac
import http.client
import secrets
import time

from harness import Case, equals, main


class Signed(Case):
    """The topics q/web (over nginx) and q/fpm, whose worker has its keys in a file."""

    FORM = ("IS_PEPPER_BUS_REQUEST=true&type={type}&queue=q&topic=web&outTraceId=x&"
            "jobs=%5B%7B%22id%22%3A%221%22%2C%22content%22%3A%22evil%22%7D%5D")

    def setUp(self):
        super().setUp()
        self.old, self.new = secrets.token_hex(16), secrets.token_hex(16)
        self.web = self.free_port()
        self.redis_server, self.php = self.redis(), self.fpm()
        self.nginx(f"""server {{
  listen 127.0.0.1:{self.web};
  location = /worker.php {{
    fastcgi_pass {self.php.address};
    fastcgi_param SCRIPT_FILENAME {self.worker("sdk-signed.php")};
    fastcgi_param REQUEST_METHOD $request_method;
    fastcgi_param CONTENT_TYPE $content_type;
    fastcgi_param CONTENT_LENGTH $content_length;
  }} }}""", self.web)

    def ini(self, key):
        signing = f"signing_key = {key}" if key else ""
        return f"""{self.php_pool(self.redis_server, self.php, 2)}
[queue q]
password = secret-pw
[topic q/web]
run_type = http
entry = http://127.0.0.1:{self.web}/worker.php
attempts = 2
chunk = 5
timeout = 12s
workers = 1
{signing}
[topic q/fpm]
pool = php
entry = {self.worker("sdk-signed.php")}
attempts = 2
{signing}
"""

    def worker_keys(self, *keys):
        """The worker's keys; it never sees half of them."""
        self.write("keys.new", "".join(f"{k}\n" for k in keys))
        (self.dir / "keys.new").rename(self.dir / "keys")

    def start(self):
        """The same key on both sides."""
        self.worker_keys(self.old)
        b = self.broker("b", self.ini(self.old))
        self.become(b, "open", "both topics open")
        return b

    def become(self, b, state, what):
        equals(lambda: [b.topic(f"q/{t}")["state"] for t in ("web", "fpm")], [state, state], 10, what)

    def ran(self, topic):
        return [line.split(" ", 2) for line in self.lines(f"ran.{topic}")]

    def have_run(self, n, what, seconds=10):
        equals(lambda: [len(self.ran("web")), len(self.ran("fpm"))], [n, n], seconds, what)

    def stranger(self, kind="data", sign=None, at=None):
        """What the worker answers to somebody else's request, head and body; `sign`: with that key."""
        form = self.FORM.format(type=kind)
        headers = {"IS-PEPPER-BUS-REQUEST": "true", "Content-Type": "application/x-www-form-urlencoded"}
        if sign:
            t = int(at or time.time())
            mac = hmac.new(sign.encode(), f"{t}\nform\nq/web\n{form}".encode(), hashlib.sha256).hexdigest()
            headers["X-Pepperbus-Signature"] = f"t={t},v2={mac}"
        c = http.client.HTTPConnection("127.0.0.1", self.web, timeout=60)
        try:
            c.request("POST", "/worker.php", form, headers)
            r = c.getresponse()
            return f"{r.headers}{r.read().decode()}"
        finally:
            c.close()


class Strangers(Signed):
    def test_jobs_with_the_same_key_on_both_sides_run(self):
        b = self.start()
        b.push("q", "ü", "a & b", "c=%41")
        self.have_run(3, "their jobs run")

    def test_no_job_of_a_stranger_runs(self):
        self.start()
        got = self.stranger()
        self.assertIn("Code: 403", got, "a stranger's job is refused")
        self.assertIn("has no signature", got, "for want of a signature")
        self.assertRegex(self.stranger(sign="some other key"), "(?s)Code: 403.*does not match",
                         "with a key of his own as well")
        self.assertRegex(self.stranger(sign=self.old, at=time.time() - 400), "(?s)Code: 403.*made 4[0-9][0-9] s ago",
                         "and an old one of ours")
        ping = self.stranger("ping")
        self.assertIn("Code: 403", ping, "a ping is refused too")
        self.assertNotIn("q/web", ping, "and tells nothing of the topics")
        self.assertEqual(self.ran("web"), [], "no job of a stranger ran")
        self.assertIn("Code: 200", self.stranger("ping", sign=self.old),
                      "the same, signed with the right key, is taken")


class Keys(Signed):
    def test_where_the_keys_differ_jobs_wait_and_the_operator_reads_why(self):
        b = self.start()
        self.worker_keys(self.new)
        self.assertIn("403: the signature does not match: the topic's signing_key is not the key of this worker",
                      b.admin.post("/api/v1/topics/q/fpm/ping").text, "a ping tells that the keys differ")
        b.stop()
        b.start()
        self.become(b, "unregistered", "the topics are not open")
        b.push("q", "later")
        self.assertIn("signature does not match", b.ctl("topic", "show", "q/web").out, "and say why")
        self.assertEqual([b.topic(f"q/{t}")["failed"] for t in ("web", "fpm")], [0, 0], "no attempt is spent")
        b.reload(self.ini(self.new))
        self.become(b, "open", "with the worker's key they open")
        self.have_run(1, "and what waited runs")
        b.reload(self.ini(None))
        self.become(b, "unregistered", "without a key the worker refuses")
        self.assertIn("has no signature", b.ctl("topic", "show", "q/fpm").out, "and says why")
        for file in ("b.log", "fpm.php.log"):
            text = "\n".join(self.lines(file))
            self.assertFalse(self.old in text or self.new in text, f"a key is in {file}")

    def test_a_change_of_keys_under_load_costs_no_attempt(self):
        """Worker first, then broker, then the old one goes."""
        b = self.start()
        for i in range(20):
            b.push("q", f"a{i}")
        self.worker_keys(self.new, self.old)
        for i in range(20):
            b.push("q", f"b{i}")
        b.reload(self.ini(self.new), wait=False)
        for i in range(20):
            b.push("q", f"c{i}")
        self.have_run(60, "sixty jobs over a change of keys", 20)
        self.assertEqual([r for t in ("web", "fpm") for r in self.ran(t) if int(r[1]) > 1], [],
                         "each at its first attempt")
        self.worker_keys(self.new)
        b.push("q", "last")
        self.have_run(61, "and with the old one gone")

    def test_a_chunk_longer_than_the_timeout_costs_no_attempt(self):
        """The timeout reaches the worker over http as well: the rest of a chunk goes back in time. Its two
        jobs take more than that, and one of them leaves a machine that stands still some seconds."""
        b = self.start()
        b.push("q", "slow 6300", "slow 6301")
        equals(lambda: len(self.ran("web")), 2, 20, "a chunk longer than the timeout")
        self.assertEqual([r for r in self.ran("web") if int(r[1]) > 1], [], "costs no attempt")
        t = b.topic("q/web")
        self.assertEqual((t["failed"], t["timeout"]), (0, 0), "nothing failed")


if __name__ == "__main__":
    main()

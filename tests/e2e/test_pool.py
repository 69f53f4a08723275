#!/usr/bin/env python3
"""A php-fpm pool that is not ours alone: how many requests it bears, reloads and deploys under load,
web requests beside a backlog, several addresses, slow topics beside fast ones."""

import re
import time

from harness import SLOW, Case, deadline_of, equals, main, wait_until


class PoolCase(Case):
    """The pool php with a topic q/slow, whose jobs take as many milliseconds as they say."""

    def ini(self, address, pool, topic="attempts = 1", more=""):
        return f"""[storage main]
address = {self.redis_server.address}
[pool php]
run_type = cgi
address = {address}
{pool}
[queue q]
password = secret-pw
[topic q/slow]
pool = php
entry = {self.worker("slow.php")}
{topic}
{more}
"""

    def start(self, *args, **kw):
        self.redis_server = self.redis()
        self.b = self.broker("b", self.ini(*args, **kw))
        self.b.becomes("q/slow", "state", "open", 10)
        return self.b

    def pool(self):
        """What the API tells of the pool."""
        return self.b.admin.get("/api/v1/pools").json["pools"][0]

    def backlog(self, n, content):
        """So many jobs, in commands of 500."""
        with self.b.client("q:secret-pw", unix=True) as c:
            for _ in range(n // 500):
                c.send("LPUSH", "q", *[content] * 500)
            for _ in range(n // 500):
                self.assertIn('"error":""', c.recv(), "jobs are added")

    def settles(self, least, most, what):
        """In most of 20 looks one behind the other; one reading in range may be on its way elsewhere."""
        end, seen = deadline_of(5), []
        while time.monotonic() < end:
            seen = (seen + [self.pool().get("limit", -1)])[-20:]
            if sum(least <= n <= most for n in seen) >= 14:
                return
            time.sleep(0.05)
        self.fail(f"{what}: {seen} requests at a time")

    def web_requests(self, n, interval_ms):
        """Requests of a web server's own to the same php-fpm, at a steady pace."""
        self.write("web.php", "<?php usleep(2000); echo 'web fine';")
        return self.run_program("php", self.worker("../web.php"), f"unix://{self.php.sock}", f"{self.dir}/web.php", n,
                                interval_ms).out

    def failed(self, path="q/slow"):
        return self.b.topic(path)["failed"]


class Auto(PoolCase):
    """concurrency = auto: the broker finds out how many requests the pool bears."""

    def with_status(self):
        self.php = self.fpm(extra=f"pm.status_path = /status\npm.status_listen = {self.dir}/status.sock")
        self.start(self.php.address, f"concurrency = auto\nstatus = unix:{self.dir}/status.sock",
                   "attempts = 1\nworkers = 100")
        return self.b

    def test_with_the_status_page_one_child_is_left_for_others(self):
        b = self.with_status()
        p = self.pool()
        self.assertEqual((p["max"], p["concurrency"]), (128, "auto"), "the bound of auto where none is given")
        self.backlog(20000, "50")
        self.settles(3, 3, "auto: four children, one is left for others")
        equals(lambda: self.pool()["workers"]["total"], 4, 5, "the status page is in the API")
        self.assertRegex(self.pool()["health_text"], "fpm.sock ok; php-fpm: [0-9] of 4 children active",
                         "and its state in words")
        self.php.reload(8)
        self.settles(7, 7, "auto: pm.max_children doubled")
        self.php.reload(4)
        self.settles(3, 3, "auto: pm.max_children halved")
        self.assertIn("answered 100 failed 0", self.web_requests(100, 10),
                      "web requests beside the backlog are all answered")
        self.assertEqual(self.failed(), 0, "and no attempt has failed")
        self.is_shown(b)

    def is_shown(self, b):
        """What pepperbusctl and /metrics tell of the pool, after two reloads of php-fpm."""
        self.assertRegex(b.ctl("pool", "ls").out, "php +cgi +ok +[0-9]+ +[1-4] of 128 +4 +[0-9]+ +[0-9]+", "pool ls")
        shown = b.ctl("pool", "show", "php").out
        self.assertIn("at a time for now, 128 at most; concurrency = auto", shown, "pool show: the limit")
        self.assertRegex(shown, "q/slow +[0-9]+ requests?", "pool show: its topics")
        self.assertIn("start_time_seconds", shown, "pool show: figures")
        self.assertEqual(b.ctl("pool", "show", "none").status, 4, "pool show of none")
        figures = b.metrics()
        self.assertIn(figures['pepperbus_pool_limit{pool="php"}'], (1, 2, 3, 4), "the limit in /metrics")
        self.assertEqual(figures['pepperbus_cgi_workers{pool="php"}'], 4, "and php-fpm's children")
        self.assertIn(figures['pepperbus_cgi_reloads_total{pool="php"}'], (1, 2), "and its reloads")

    def test_a_reserve_that_leaves_no_worker_is_told(self):
        b = self.with_status()
        equals(lambda: self.pool()["workers"]["total"], 4, 5, "the status page was read")
        b.reload(b.ini.replace("concurrency = auto", "concurrency = auto\nreserve = 9"))
        wait_until(lambda: "9 of 4 workers are to stay free" in b.ctl("pool", "show", "php").out, 10,
                   "pool show: a reserve that leaves no worker")

    def test_without_a_status_page_the_kernels_word_of_the_queue_does(self):
        self.php = self.fpm()
        self.start(self.php.address, "concurrency = auto", "attempts = 1\nworkers = 100")
        self.backlog(20000, "50")
        self.settles(3, 5, "auto without a status page: four children")
        self.php.reload(8)
        self.settles(7, 9, "auto without a status page: doubled")
        self.php.reload(4)
        self.settles(3, 5, "auto without a status page: halved")
        self.assertEqual(self.failed(), 0, "no attempt has failed")


class Fixed(PoolCase):
    """max_connections."""

    def test_more_than_there_are_children_get_their_turn(self):
        self.php = self.fpm()
        self.start(self.php.address, "max_connections = 8", "attempts = 1\nworkers = 100")
        self.backlog(5000, "20")
        equals(lambda: self.pool()["busy"], 8, 10, "eight requests for four children")
        self.assertIn("answered 50 failed 0", self.web_requests(50, 20), "web requests get their turn")
        self.assertEqual(self.failed(), 0, "and no request of ours waits for its deadline")

    def test_fast_jobs_are_done_while_slow_ones_fill_their_half_of_the_pool(self):
        self.php = self.fpm()
        self.start(self.php.address, "max_connections = 4", more=f"""
[topic q/log]
pool = php
entry = {self.worker("log.php")}
attempts = 1
""")
        self.backlog(3000, "2000")  # slow: two seconds each; log: at once
        equals(lambda: self.b.unfinished("q/log"), 0, 60,
               "fast jobs are done while slow ones fill their half of the pool")
        # With all four to themselves it would be one of these for each of those.
        self.assertGreater(self.b.unfinished("q/slow"), 2000, "which have hardly begun")


class Reloads(PoolCase):
    """php-fpm is reloaded again and again under load. Its default of process_control_timeout (0) kills
    running scripts; see doc/php-fpm.md."""

    def reloads(self, n, **fpm):
        self.php = self.fpm(control_timeout="20s", **fpm)
        b = self.start(self.php.address, "max_connections = 4", "attempts = 5\nbackoff = 100ms..200ms")
        added = 0
        for i in range(n):
            while b.unfinished("q/slow") < 2000:
                self.backlog(4000, "1")
                added += 4000
            before = len(self.lines("ended"))
            self.php.reload()
            wait_until(lambda: len(self.lines("ended")) > before, 10, f"nothing is done after reload {i}")
        equals(lambda: b.unfinished("q/slow"), 0, 60, f"{n} reloads under load: everything is handled")
        self.assertEqual(self.failed(), 0, "no attempt has failed")
        ended = [line.split(" ")[0] for line in self.lines("ended")]
        self.assertEqual(len(set(ended)), added, "none is lost")
        self.assertEqual((len(self.lines("begun")), len(ended)), (added, added), "none ran twice, none was cut off")

    def test_75_over_a_unix_socket_cost_no_attempt(self):
        self.reloads(75)

    def test_25_over_tcp_cost_no_attempt(self):
        self.reloads(25, port=self.free_port())


class Addresses(PoolCase):
    """Two addresses, one of which goes away and comes back."""

    def says(self, words, seconds, what):
        wait_until(lambda: re.search(words, self.pool()["health_text"]), seconds, lambda: f"{what}: {self.pool()}")

    def test_the_other_one_goes_on(self):
        one, two = self.fpm("one", 2), self.fpm("two", 2)
        b = self.start(f"{one.address}, {two.address}", "max_connections = 4", more=f"""
[topic q/log]
pool = php
entry = {self.worker("log.php")}
attempts = 1
""")
        two.stop()
        two.sock.unlink(missing_ok=True)
        self.backlog(5000, "2")
        self.says("one.sock ok, .*two.sock not reached", 10, "one goes away: the pool says so")
        self.assertEqual(self.pool()["health"], "degraded", "and is degraded")
        equals(lambda: self.pool()["figures"]["unreachable_addresses"], 1, 5, "a figure tells of one address")
        self.assertEqual(b.topic("q/slow")["state"], "open", "its topics go on with the other")
        two.start()
        start = time.monotonic()
        self.says("one.sock ok, .*two.sock ok", 10, "it comes back: used again")
        self.assertLess(time.monotonic() - start, 8 * SLOW,
                        "within two seconds, or a few more on a machine that is busy")
        self.assertEqual((self.failed(), self.failed("q/log")), (0, 0), "and no attempt has failed")
        equals(lambda: b.unfinished("q/slow"), 0, 60, "the slow topic has done its jobs")


if __name__ == "__main__":
    main()

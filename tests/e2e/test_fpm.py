#!/usr/bin/env python3
"""What happens to php-fpm in a working day: reload, restart, all children busy, gone, a script that
is missing, one that does not register the topic yet."""

import shutil
import signal
import time
from collections import Counter

from harness import SLOW, WORKERS, Case, equals, main, wait_until


class FpmCase(Case):
    """A topic q/log of the pool php, whose jobs are written down by their worker."""

    def ini(self, address, topic="", pool="max_connections = 4\nconnect_timeout = 500ms", worker=None):
        return f"""[storage main]
address = {self.redis_server.address}
[pool php]
run_type = cgi
address = {address}
{pool}
[queue q]
password = secret-pw
[topic q/log]
pool = php
entry = {worker or self.worker("log.php")}
{topic or "attempts = 5"}
backoff = 200ms..1s
"""

    def start(self, **kw):
        self.redis_server, self.php = self.redis(), self.fpm(extra="pm.max_requests = 50")
        self.acknowledged = set()
        self.b = self.broker("b", self.ini(self.php.address, **kw))
        return self.b

    def produce(self, n):
        """One command a job, all of them on their way at once; what is acknowledged is remembered."""
        with self.b.client("q:secret-pw") as c:
            c.raw(b"".join(c.encode("LPUSH", "q", i) for i in range(n)))
            for _ in range(n):
                reply = c.recv()
                self.acknowledged.add(reply.split('"jobs":["')[1].split('"')[0])

    def handled(self):
        """Ids of jobs that the worker has written down, as often as it has."""
        return [line.split(" ")[0] for line in self.lines("handled.q.log")]

    def missing(self):
        return len(self.acknowledged - set(self.handled()))

    def twice(self, since=0):
        return [i for i, n in Counter(self.handled()[since:]).items() if n > 1]


class Reloads(FpmCase):
    def test_children_that_end_after_50_requests_cost_nothing(self):
        b = self.start()
        self.produce(1000)
        self.assertEqual(len(self.acknowledged), 1000, "all are acknowledged")
        equals(self.missing, 0, 20, "1000 jobs through children that end after 50 requests each")
        self.assertEqual(b.topic("q/log")["failed"], 0, "without one failed attempt")
        self.assertEqual(self.twice(), [], "and none twice")

    def test_reloads_under_load_lose_nothing(self):
        """USR2 replaces the master and its children."""
        b = self.start()
        producer = self.beside(self.produce, 3000)
        wait_until(lambda: len(self.handled()) > 200, 20)
        for _ in range(3):
            n = len(self.handled())
            self.php.signal(signal.SIGUSR2)
            # Load goes on meanwhile, unless all of it is done.
            wait_until(lambda n=n: len(self.handled()) > n + 200 or len(self.handled()) >= 3000, 20)
        producer.result(120 * SLOW)
        equals(self.missing, 0, 30, "three reloads under load: every acknowledged job is handled")
        wait_until(lambda: b.unfinished("q/log") == 0, 20, "nothing waits any more")
        self.assertEqual(len(self.acknowledged), 3000, "all are acknowledged")
        wait_until(lambda: len(self.twice()) <= b.topic("q/log")["failed"], 5,
                   "duplicates only where an attempt failed")


class Down(FpmCase):
    def probes(self):
        pools = {p["name"]: p for p in self.b.admin.get("/api/v1/pools").json["pools"]}
        return pools["php"].get("circuit", {}).get("probes", 0)

    def test_down_costs_no_attempt_and_back_is_back_at_work(self):
        b = self.start()
        b.becomes("q/log", "state", "open", 10)
        self.php.stop()
        self.php.sock.unlink(missing_ok=True)
        self.produce(100)
        b.becomes("q/log", "state", "unreachable", 10, "the topic says unreachable")
        self.assertEqual(b.topic("q/log")["failed"], 0, "no attempt was counted")
        equals(lambda: b.unfinished("q/log"), 100, 5, "all 100 jobs wait")
        self.assertLessEqual(b.topic("q/log")["unreachable"], 4, "no more of them tried than the pool has connections")
        seen = self.probes()
        wait_until(lambda: self.probes() > seen, 10, "it is probed")
        start, seen = time.monotonic(), self.probes()  # just after a probe, or later
        wait_until(lambda: self.probes() >= seen + 2, 10, "and again")
        self.assertGreaterEqual(time.monotonic() - start, 0.1,
                                "the longer it lasts the more rarely: two more probes take some time")
        self.php.start()
        start = time.monotonic()
        equals(self.missing, 0, 5, "back: all are handled")
        self.assertLess(time.monotonic() - start, 8 * SLOW,
                        "within two seconds, or a few more on a machine that is busy")
        self.assertEqual(b.topic("q/log")["failed"], 0, "still no attempt counted")
        self.assertEqual(self.twice(), [], "none twice")


class Deploys(FpmCase):
    """A missing script, one that registers another topic, the right one, and a wrong one again."""

    def deploy(self, worker):
        shutil.copy(WORKERS / worker, self.dir / "deploy.new")
        (self.dir / "deploy.new").rename(self.dir / "deploy.php")

    def test_a_script_that_is_missing_or_not_the_topics_costs_no_job(self):
        b = self.start(worker=f"{self.dir}/deploy.php", topic="attempts = 2")
        b.becomes("q/log", "state", "unregistered", 10, "a missing script: the topic says so")
        b.push("q", "early")
        self.assertRegex(b.topic("q/log")["why"], r"deploy\.php|Primary script|missing", "and which file")
        shutil.copy(WORKERS / "reply.php", self.dir)
        self.deploy("wrong.php")
        wait_until(lambda: "other/topic" in b.topic("q/log")["why"], 10,
                   "one that registers another topic: it is asked")
        self.assertEqual(b.topic("q/log")["attempts"], 0, "no attempt was counted")
        self.assertEqual(self.lines("wrongly"), [], "no job was spent on a script that does not register the topic")
        self.deploy("log.php")
        equals(lambda: len(self.handled()), 1, 15, "deployed: found by itself, and the job is handled")

    def test_404_while_it_runs_costs_no_attempt(self):
        """The file is replaced by one that no longer registers the topic. opcache looks at files every two seconds."""
        shutil.copy(WORKERS / "reply.php", self.dir)
        self.deploy("log.php")
        b = self.start(worker=f"{self.dir}/deploy.php", topic="attempts = 2")
        b.push("q", "early")
        b.becomes("q/log", "done", 1, 15, "the job is handled")
        self.deploy("wrong.php")
        wait_until(lambda: b.push("q", "late") and b.topic("q/log")["state"] == "unregistered", 15,
                   "404 to a job: unregistered")
        self.assertEqual(b.topic("q/log")["failed"], 0, "no attempt counted")
        self.deploy("log.php")
        equals(lambda: b.unfinished("q/log"), 0, 20, "registered again: the jobs are handled")


class Small(FpmCase):
    """Fewer children than the pool has connections."""

    def small(self, address, topic="attempts = 1"):
        return self.ini(address, topic, "max_connections = 6", self.worker("slow.php")).replace("q/log", "q/slow")

    def test_a_full_backlog_is_no_failed_attempt(self):
        """All children busy with somebody else's requests: jobs wait, no attempt is counted."""
        self.redis_server = self.redis()
        b = self.broker("b", self.small(self.fpm("small", 1, backlog=2).address))
        b.becomes("q/slow", "state", "open", 10, "a pool of one child with a backlog of two, and six connections")
        b.push("q", *range(101, 121))
        equals(lambda: len(self.lines("ended")), 20, 30, "all jobs are handled")
        t = b.topic("q/slow")
        self.assertEqual((t["dead"], t["failed"]), (0, 0), "EAGAIN is not a failed attempt")
        self.assertEqual(len(self.lines("begun")), 20, "none ran twice")

    def test_over_tcp_and_a_job_over_its_timeout_fails(self):
        self.redis_server = self.redis()
        php = self.fpm("tcp", 2, port=self.free_port())
        b = self.broker("b", self.small(php.address))
        b.push("q", 1, 2, 3)
        equals(lambda: len(self.lines("ended")), 3, 10, "over TCP")
        b.reload(self.small(php.address, "attempts = 1\ntimeout = 300ms"))
        b.becomes("q/slow", "timeout_ms", 300, 10)
        self.write("hold", "")
        b.push("q", "held")
        b.becomes("q/slow", "dead", 1, 10, "a job over its timeout is a failed attempt")
        (self.dir / "hold").unlink()
        b.complains("q/slow", "no answer (within|after)", "the error says so")


if __name__ == "__main__":
    main()

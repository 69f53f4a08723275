#!/usr/bin/env python3
"""A Redis that cannot write its disk, a php-fpm that stands still, and a broker that does."""

import json
import os
import re
import resource
import signal
import time

from harness import Case, equals, main, wait_until

SETTINGS = """
[storage main]
address = {redis}
[pool php]
run_type = cgi
address = {fpm}
max_connections = 3
[pool other]
run_type = cgi
address = {other}
max_connections = 2
[queue q]
password = pw
[topic q/slow]
pool = php
entry = {workers}/slow.php
workers = 3
[queue r]
password = pw
[topic r/any]
pool = other
entry = {workers}/any.php
[queue s]
password = pw
[topic s/any]
pool = php
entry = {workers}/any.php
workers = 3
timeout = 700ms
attempts = 100
backoff = 100ms..200ms
[queue u]
password = pw
[topic u/held]
pool = other
entry = {held}
workers = 2
timeout = 6s
"""

HELD = """<?php
require '{workers}/reply.php';
ping('u/held');
foreach (jobs() as $job) {{
    note('held', $job['id']);
    while (file_exists('{dir}/hold')) {{
        usleep(10000);
        clearstatcache();
    }}
    note('let.go', $job['id']);
}}
reply(200);
"""


class Frozen(Case):
    def setUp(self):
        super().setUp()
        # A limit on the size of its files is a full disk to Redis. The signal that comes with it is
        # ignored, as it would not come with a full disk.
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            self.storage = self.redis("redis", "--auto-aof-rewrite-percentage", 0, restore_signals=False)
        finally:
            signal.signal(signal.SIGXFSZ, handler)
        self.workers, other = self.fpm(), self.fpm("other", 2)
        folder = os.path.dirname(self.worker("any.php"))
        held = self.write("held.php", HELD.format(workers=folder, dir=self.dir))
        self.b = self.broker("b", SETTINGS.format(redis=self.storage.address, fpm=self.workers.address,
                                                  other=other.address, workers=folder, held=held))
        for topic in ("q/slow", "r/any", "s/any", "u/held"):
            self.b.becomes(topic, "state", "open", 10, f"{topic} opens")

    def handled(self, content):
        return any(line.endswith(f" {content}") for line in self.lines("handled"))

    def accepted(self, queue, *jobs):
        return self.b.lpush(queue, *jobs)["error"] == ""

    def hold(self):
        self.write("hold", "")

    def let_go(self):
        (self.dir / "hold").unlink()


class FullDisk(Frozen):
    def may_write(self, more):
        """So many bytes, or resource.RLIM_INFINITY."""
        if more != resource.RLIM_INFINITY:
            more += sum(f.stat().st_size for f in (self.storage.folder / "appendonlydir").glob("*.incr.aof"))
        resource.prlimit(self.storage.pid, resource.RLIMIT_FSIZE, (more, resource.RLIM_INFINITY))

    def readyz(self):
        return self.b.admin.get("/readyz", token=None)

    def refusal(self):
        """What the producer is told when the disk is full."""
        def refused():
            said = self.b.lpush("r", "x" * 30000)
            return said["jobs"] is None and said["error"]

        return wait_until(refused, 10, "the disk is full after some jobs")

    def test_producers_hear_of_it_and_outcomes_wait_for_room(self):
        b = self.b
        self.hold()
        b.push("q", "held")
        equals(lambda: len(self.lines("begun")), 1, 5, "a job runs")
        self.may_write(100000)
        said = self.refusal()
        self.assertIn("cannot write its data to disk", said, "the producer hears why")
        self.assertIn("MISCONF", said, "in Redis' words too")
        self.assertEqual(self.lines("ended"), [], "the job that ran before runs on")
        self.let_go()
        equals(lambda: len(self.lines("ended")), 1, 10, "and ends")
        wait_until(lambda: b.logged("takes no writes: .*outcomes are kept.*disk"), 10,
                   "its outcome cannot be stored: the log says so")
        self.assertEqual(b.topic("q/slow")["running"], 1, "to Redis it still runs")
        self.assertEqual(b.admin.get("/healthz", token=None).status, 200, "the broker lives")
        equals(lambda: self.readyz().status, 503, 15, "and is not ready: producers cannot be served")
        self.assertIn("cannot write its data to disk", self.readyz().text, "/readyz says why")
        self.assertIn("not ready", b.ctl("status").out, "pepperbusctl status too")
        self.may_write(resource.RLIM_INFINITY)
        wait_until(lambda: self.accepted("r", "room"), 10, "room again: jobs are accepted")
        b.becomes("q/slow", "running", 0, 10, "and the outcome is stored")
        self.assertEqual(len(self.lines("begun")), 1, "the job ran once")
        equals(lambda: self.readyz().status, 200, 15, "ready again")
        self.assertTrue(b.logged("storage main: takes no writes: "), "the log has the beginning")
        self.assertTrue(b.logged("storage main: takes writes again"), "and the end")
        b.becomes("r/any", "ready", 0, 10, "what was accepted before and after is handled")
        wait_until(lambda: self.handled("room"), 10, "the last one too")


class FrozenWorkers(Frozen):
    def freeze(self, number):
        """STOP or CONT to php-fpm and its children."""
        with open(f"/proc/{self.workers.pid}/task/{self.workers.pid}/children", encoding="ascii") as f:
            children = f.read().split()
        for pid in (*children, self.workers.pid):
            os.kill(int(pid), number)

    def test_jobs_run_into_their_timeout_and_other_pools_work_on(self):
        b = self.b
        was = b.topic("s/any")["failed"]
        self.freeze(signal.SIGSTOP)
        b.push("s", "frozen1", "frozen2")
        wait_until(lambda: b.topic("s/any")["timeout"] >= 2, 10, "frozen: both attempts run into their timeout")
        wait_until(lambda: re.search("no answer (within|after)", b.errors("s/any")), 10, "which the error log says")
        wait_until(lambda: b.topic("s/any")["failed"] >= was + 2, 10, "failed attempts, of unknown outcome")
        b.push("s", "frozen3")
        self.assertTrue(self.accepted("r", "meanwhile"), "the other pool works on")
        wait_until(lambda: self.handled("meanwhile"), 10, "while the first stands still")
        status = json.loads(b.ctl("--json", "status").out)
        self.assertLessEqual(status["pools"][0]["busy"], 3, "no more requests than the pool has are on the way")
        self.freeze(signal.SIGCONT)
        for job in ("frozen1", "frozen2", "frozen3"):
            wait_until(lambda job=job: self.handled(job), 20, f"thawed: {job} is handled")
        b.becomes("s/any", "dead", 0, 10, "none is dead")
        equals(lambda: b.unfinished("s/any"), 0, 20, "nothing waits any more")


class FrozenBroker(Frozen):
    def test_what_was_answered_meanwhile_did_not_time_out(self):
        """Past the deadline of requests that are answered meanwhile."""
        b = self.b
        self.hold()
        b.push("u", "one", "two")
        equals(lambda: len(self.lines("held")), 2, 10, "two jobs run")
        start = time.monotonic()
        b.pause()
        self.let_go()
        equals(lambda: len(self.lines("let.go")), 2, 10, "they end while the broker stands still")
        wait_until(lambda: time.monotonic() > start + 6.5, 10)
        b.resume()
        b.becomes("u/held", "done", 2, 10, "thawed: what they answered counts")
        t = b.topic("u/held")
        self.assertEqual((t["failed"], t["timeout"], len(self.lines("held"))), (0, 0, 2), "they did not time out")
        self.assertEqual(b.stop(), 0, "a clean stop")


if __name__ == "__main__":
    main()

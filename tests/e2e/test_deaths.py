#!/usr/bin/env python3
"""Jobs that run when the broker dies: delivered again at once by the next one, which counts the
death; one that was there too often is dead, not run for ever. And a stop that is not waited for."""

import signal
import time

from harness import Case, equals, main, wait_until

LONG = 900000  # ms; no run of the test is as long


class SlowJobs(Case):
    def setUp(self):
        super().setUp()
        self.store = redis = self.redis()
        fpm = self.fpm(children=8)
        # The lease is a minute: who waits for it is late.
        self.b = self.broker("b", f"""
[storage main]
address = {redis.address}
lease = 1m
[pool php]
run_type = cgi
address = {fpm.address}
max_connections = 8
[queue q]
password = pw
[topic q/slow]
pool = php
entry = {self.worker("slow.php")}
timeout = 1h
crashes = 2
attempts = 5
[queue r]
password = pw
[topic r/slow]
pool = php
entry = {self.worker("slow.php")}
timeout = 1h
""", server="drain_timeout = 10m")
        self.b.becomes("q/slow", "state", "open", 10, "open")

    def begun(self, n, what, seconds=20):
        equals(lambda: len(self.lines("begun")), n, seconds, what)

    def die(self):
        self.b.kill()
        self.b.start()


class Deaths(SlowJobs):
    def test_a_job_that_is_there_at_each_death_is_dead_and_not_run_for_ever(self):
        b = self.b
        job, = b.push("q", LONG)
        self.begun(1, "a job runs")
        self.die()
        self.begun(2, "killed and started again: it runs at once")
        self.assertEqual({(w[0], w[2]) for w in map(str.split, self.lines("begun"))}, {(job, "1")},
                         "as its first attempt: a death is none")
        self.assertEqual(b.topic("q/slow")["recovered"], 1, "and counted as delivered again")
        self.die()
        b.becomes("q/slow", "dead", 1, 20, "after as many deaths as crashes allows it is dead")
        self.assertEqual(len(self.lines("begun")), 2, "and did not run a third time")
        kept = b.admin.get("/api/v1/topics/q/slow/retry").text
        self.assertRegex(kept, "running when a node ended, 2 times.*crashes = 2", "the reason is kept")
        self.assertRegex(kept, f'"content": ?"{LONG}"', "and the job")
        told = lambda: [p for p in b.admin.get("/api/v1/problems").json["problems"] if p["kind"] == "quarantine"]
        self.assertEqual([(p["subject"], p["text"]) for p in told()],
                         [("q/slow", "1 job of q/slow in quarantine: nodes died while they ran them.")])
        self.assertIn("1 job of q/slow in quarantine", b.ctl("status").out)
        b.push("q", 0)
        equals(lambda: len(self.lines("ended")), 1, 10, "the others go on")
        b.becomes("q/slow", "done", 1, 5, "and are done")
        # A job that is done is stored some milliseconds later: a death before that would run it again.
        wait_until(lambda: self.store.cmd("XPENDING", "pb:{q}:s", "slow")[0] == 0, 10)

        # Replayed it has all its attempts, deaths included.
        b.act("q/slow", "replay")
        self.assertEqual(told(), [], "the problem is over")
        self.begun(4, "replayed: it runs")
        self.die()
        self.begun(5, "and again after the next death")


class Stops(SlowJobs):
    def test_term_waits_for_what_runs_and_a_second_one_does_not(self):
        b = self.b
        b.push("q", LONG)
        self.begun(1, "a job runs")
        b.admin.post("/api/v1/topics/q/slow/pause")
        b.signal(signal.SIGTERM)
        wait_until(lambda: b.logged("stopping: no new clients"), 10, "the first TERM: it waits for the job")
        self.assertTrue(b.running, "that runs on")
        start = time.monotonic()
        status = b.stop(120)
        self.assertLess(time.monotonic() - start, 100, "the second TERM: not after the job")
        self.assertEqual(status, 0, "without being a failure")
        self.assertTrue(b.logged("second signal: stopping now"), "the log says so")
        b.start()
        counts = b.topic("q/slow")["counts"]
        self.assertEqual(sum(counts[name] for name in ("ready", "running", "retry", "dead")), 1,
                         "the job is still there")

    def test_a_stop_waits_for_drain_timeout_and_no_longer(self):
        b = self.b
        b.write(b.ini, "drain_timeout = 1s")
        b.stop()
        b.start()
        b.becomes("r/slow", "state", "open", 10, "drain_timeout = 1s")
        b.push("r", LONG)
        self.begun(1, "a long job runs", 5)
        start = time.monotonic()
        status = b.stop(120)
        took = time.monotonic() - start
        self.assertTrue(0.99 <= took < 100, f"a stop waits for a second ({took} s)")
        self.assertEqual(status, 0, "and is clean")
        self.assertTrue(b.logged("jobs that still run after drain_timeout: 1;"), "the log tells what still ran")
        b.start()
        self.begun(2, "which runs again at the next start", 10)
        self.assertEqual(b.topic("r/slow")["recovered"], 1, "and counts as one that ran at the end of a node")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Failed attempts: backoff, dead jobs, their reasons, replay, purge, pause."""

import re
import time

from harness import Case, equals, main, wait_until

HANDLED = "handled.q.fragile"


class RetryCase(Case):
    def setUp(self):
        super().setUp()
        store, fpm = self.redis(), self.fpm(children=4)
        self.b = self.broker("b", f"""
{self.php_pool(store, fpm, 4)}
[queue q]
password = a-long-password
[topic q/fragile]
pool = php
entry = {self.worker("fragile.php")}
attempts = 3
backoff = 400ms..2s
[topic q/dies]
pool = php
entry = {self.worker("dies.php")}
attempts = 2
backoff = 200ms..300ms
""")
        self.b.becomes("q/fragile", "state", "open", what="it opens")

    def break_worker(self, why):
        (self.dir / "broken").write_text(why + "\n")

    def mend_worker(self):
        (self.dir / "broken").unlink()

    def failed(self, path="q/fragile"):
        """The list of failed jobs."""
        return self.b.admin.get(f"/api/v1/topics/{path}/retry").json["jobs"]

    def errors(self):
        return self.b.admin.get("/api/v1/topics/q/fragile/errors").json["errors"]

    def dead(self, count, seconds, what):
        self.b.becomes("q/fragile", "dead", count, seconds, what)

    def handled(self, count, seconds, what):
        equals(lambda: len(self.lines(HANDLED)), count, seconds, what)

    def tries(self, word):
        """The worker's notes of its attempts that have the word (an id, a content)."""
        return [t for t in self.lines("tries") if word in t.split(" ")]


class Attempts(RetryCase):
    def setUp(self):
        super().setUp()
        self.break_worker("the disk of shop 7 is full")
        self.id = self.b.push("q", "work")[0]
        self.dead(1, 10, "three attempts, then dead")
        self.assertEqual(len(self.tries(self.id)), 3, "the worker was called three times")
        self.at = [int(re.search(r" at=(\d+)", t)[1]) for t in self.tries(self.id)]

    def test_each_attempt_waits_longer_and_knows_its_number(self):
        first, second = self.at[1] - self.at[0], self.at[2] - self.at[1]
        print(f"# waits: {first} ms, {second} ms")
        self.assertGreaterEqual(first, 250, "the first retry waits for its backoff (400 ms less jitter)")
        self.assertGreaterEqual(second, 500, "the second waits longer")
        self.assertLess(second, 20000, "but not for ever")
        self.assertEqual([t.split(" ", 2)[2].rpartition(" at=")[0] for t in self.tries(self.id)],
                         ["attempt=1 retrying=0 begin=false", "attempt=2 retrying=1 begin=true",
                          "attempt=3 retrying=2 begin=true"],
                         "RetryTimes, retrying and BeginRetry count attempts")

    def test_the_reason_is_kept_with_job_code_node_and_time(self):
        # An outcome is stored before its line of the error log.
        equals(lambda: len(self.errors()), 3, 10, "the error log has all three")
        errors, at = self.errors(), self.at
        self.assertIn("the disk of shop 7 is full (error code E42)", errors[0]["message"],
                      "the error log has the worker's words")
        self.assertEqual((errors[0]["id"], errors[0]["code"], errors[0]["node"]), (self.id, 500, "b"),
                         "with job, code and node")
        # Each between its own call and the next one; a millisecond is lost by rounding here and there.
        third, second, first = (e["ms"] for e in errors)
        told = f"and time, newest first ({first} {second} {third} for {at})"
        self.assertTrue(at[0] - 5 <= first <= at[1] + 5, told)
        self.assertTrue(at[1] - 5 <= second <= at[2] + 5, told)
        self.assertGreaterEqual(third, at[2] - 5, told)
        self.assertEqual([j["id"] for j in self.failed()], [self.id], "the list of failed jobs names it")
        self.assertEqual(self.failed()[0]["content"], "work", "with its content")

    def test_a_replay_gives_all_attempts_again(self):
        self.b.act("q/fragile", "replay")
        wait_until(lambda: len(self.tries(self.id)) >= 6, 10, "three more attempts")
        self.assertIn(" attempt=1 retrying=0 begin=false ", self.tries(self.id)[3], "which began anew")
        self.dead(1, 10, "still broken: dead again")
        self.assertEqual(len(self.tries(self.id)), 6, "after three more attempts, not one")
        self.mend_worker()
        self.b.act("q/fragile", "replay")
        self.handled(1, 10, "mended and replayed: handled")
        self.dead(0, 5, "and no longer dead")


class ManyJobs(RetryCase):
    def test_replay_and_purge_of_all(self):
        self.break_worker("again")
        self.b.push("q", *range(50))
        self.dead(50, 30, "fifty are dead")
        self.mend_worker()
        self.b.act("q/fragile", "replay")
        self.handled(50, 10, "replay of all drains them")
        self.break_worker("again")
        self.b.push("q", "x1", "x2", "x3")
        self.dead(3, 15, "three dead")
        self.b.act("q/fragile", "purge")
        self.dead(0, 5, "purge removes them")
        self.mend_worker()
        self.b.push("q", "after")
        self.handled(51, 5, "and nothing else: a new job runs")

    def test_a_pause_lasts_over_a_restart(self):
        b, pause = self.b, "/api/v1/topics/q/fragile/"
        b.admin.post(pause + "pause")
        b.becomes("q/fragile", "state", "paused", 5, "paused")
        b.push("q", "p1", "p2")
        b.becomes("q/fragile", "ready", 2, 5, "two wait")
        self.assertEqual(len(self.lines(HANDLED)), 0, "and are not run")
        b.stop()
        b.start()
        b.becomes("q/fragile", "state", "paused", 10, "still paused after a restart")
        b.admin.post(pause + "resume")
        self.handled(2, 10, "resumed: they run")


class JobsOwnWishes(RetryCase):
    """A job may have its own pause, or none: then its first failure is final. And a time to live."""

    def add(self, *words):
        with self.b.client("q:a-long-password") as c:
            return c.call("ADDJOB", "q", *words)

    def test_without_a_retry_the_first_failure_is_final(self):
        self.break_worker("for good")
        self.add("own", 0, "RETRY", 0)
        self.dead(1, 10, "RETRY 0: dead")
        self.assertEqual(len(self.tries("own")), 1, "after one attempt of three")

    def test_a_job_whose_time_is_over_is_dead_and_not_run(self):
        self.b.admin.post("/api/v1/topics/q/fragile/pause")
        self.add("mayfly", 0, "TTL", 1)
        self.add("tortoise", 0, "TTL", 3600)
        over = time.time() + 1.001
        wait_until(lambda: time.time() >= over, 5)
        self.b.admin.post("/api/v1/topics/q/fragile/resume")
        wait_until(lambda: any(l.endswith(" tortoise") for l in self.lines(HANDLED)), 10,
                   "TTL: one that has time left is run")
        self.dead(1, 10, "one whose time is over is dead")
        self.assertEqual([j["content"] for j in self.failed()], ["mayfly"], "and kept")
        wait_until(lambda: "expired before it was run" in self.b.errors("q/fragile"), 10, "with the reason")
        self.assertEqual(self.tries("mayfly"), [], "it was not run")


class Deaths(RetryCase):
    """Every way in which a PHP worker can die is a failed attempt with a reason, and not one job is sent
    again at once."""

    def dies(self, content, reason, name):
        job = self.b.push("q", content)[0]
        wait_until(lambda: [j for j in self.failed("q/dies") if j["id"] == job and j["state"] == "dead"], 20,
                   f"{name}: dead after two attempts")
        calls = [l for l in self.lines("deaths") if l.startswith(f"{job} {content} ")]
        self.assertEqual(len(calls), 2, f"{name}: called twice, not more")
        self.assertRegex(self.b.admin.get("/api/v1/topics/q/dies/retry").text, reason, f"{name}: the reason is kept")
        self.b.act("q/dies", "purge")

    def test_a_fatal_error(self):
        self.dies("fatal", "undefined_function_of_this_worker", "a fatal error")

    def test_exit(self):
        self.dies("exit", "[Cc]ode|verdict|no answer", "exit")

    def test_out_of_memory(self):
        self.dies("memory", "memory size", "out of memory")

    def test_words_on_stderr(self):
        self.dies("stderr", "words on stderr|see stderr", "words on stderr")

    def test_kill_9_of_the_child(self):
        self.dies("kill", "closed|reset|lost|ended", "kill -9 of the child")

    def test_half_an_answer_is_a_failure(self):
        self.dies("half", "closed|reset|lost|ended|middle", "half an answer, with Code: 200 at its head")

    def test_notices_before_the_headers_do_no_harm(self):
        self.b.push("q", "noise")
        self.b.becomes("q/dies", "done", 1, 10, "notices before the headers do no harm where the code is 200")


if __name__ == "__main__":
    main()

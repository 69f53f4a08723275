#!/usr/bin/env python3
"""Chunks that fill while a job waits (chunk_wait), and PHP workers of the SDK with several jobs in a
request: what becomes of each when one of them fails or ends the script."""

import re
import time

from harness import Case, equals, main


class Chunks(Case):
    """A topic q/chunk of ten jobs a request, whose worker notes requests in `chunks`, jobs in `calls`."""

    def ini(self, more="", attempts=2, connections=4):
        return f"""[storage main]
address = {self.redis_server.address}
[pool php]
run_type = cgi
address = {self.php.address}
max_connections = {connections}
[queue q]
password = secret-pw
[topic q/chunk]
pool = php
entry = {self.worker("sdk-chunk.php")}
chunk = 10
workers = 2
attempts = {attempts}
backoff = 100ms..150ms
{more}
"""

    def start(self, *args, **kw):
        self.redis_server, self.php = self.redis(), self.fpm()
        self.b = self.broker("b", self.ini(*args, **kw))
        self.is_("state", "open", "the topic is open", 10)
        return self.b

    def is_(self, member, want, what, seconds=10):
        self.b.becomes("q/chunk", member, want, seconds, what)

    def calls(self):
        """[id, content, attempt] of each call of the handler."""
        return [re.fullmatch(r"(\d+) (.*) (\d+)", line).groups() for line in self.lines("calls")]

    def sizes(self):
        return [int(n) for n in self.lines("chunks")]

    def called(self, n, what, seconds=10):
        equals(lambda: len(self.lines("calls")), n, seconds, what)

    def one_by_one(self, *jobs):
        with self.b.client("q:secret-pw") as c:
            for job in jobs:
                c.call("LPUSH", "q", job)

    def times(self, pattern):
        """How many calls of contents that the pattern matches, with their attempt."""
        return len([c for c in self.calls() if re.fullmatch(pattern, f"{c[1]} {c[2]}")])


class Waiting(Chunks):
    """chunk_wait."""

    def test_under_light_load_a_job_waits_for_others_but_no_longer_because_some_come(self):
        b = self.start("chunk_wait = 2s")
        self.assertIn("waits 2 s to fill it", b.ctl("topic", "show", "q/chunk").out, "topic show tells of it")
        start, added = time.monotonic(), 1
        b.push("q", "job1")
        # With these a chunk would be full at last; ten take longer than the wait.
        while not self.sizes() and added < 30:
            time.sleep(0.3)
            added += 1
            b.push("q", f"job{added}")
        self.assertTrue(self.sizes(), "the job has left")
        self.assertGreaterEqual(time.monotonic() - start, 1.95, "not before its wait is over")
        self.assertLess(self.sizes()[0], 10, "and not much later: more jobs do not make it wait longer")
        self.called(added, "all run")
        self.is_("done", added, "all are done", 5)

    def test_a_full_chunk_leaves_at_once_and_what_is_left_over_waits(self):
        b = self.start("chunk_wait = 10m")
        self.one_by_one("job1", "job2", "job3", "job4", "job5")
        self.is_("running", 5, "five are added one after the other and wait", 5)
        self.assertEqual(self.sizes(), [], "none is on its way yet")
        b.push("q", *range(6, 24))
        self.called(20, "two full chunks leave at once")
        self.assertEqual(self.sizes(), [10, 10], "full ones")
        self.is_("running", 3, "three wait at hand", 5)
        b.push("q", *range(24, 31))
        self.called(30, "with seven more they are ten, and leave")
        self.assertEqual(self.sizes(), [10, 10, 10], "full again")

    def test_a_reload_that_shortens_the_wait_counts_for_those_that_wait(self):
        b = self.start("chunk_wait = 10m")
        self.one_by_one("late", "later")
        self.is_("running", 2, "two wait", 5)
        b.reload(self.ini())
        self.is_("chunk_wait_ms", 0, "the reload is there")
        self.called(2, "chunk_wait = 0 lets them go")
        self.assertEqual(self.sizes(), [2], "in one request")

    def test_a_wait_does_not_keep_the_rest_of_a_chunk_in_redis(self):
        """Fast workers read ahead."""
        b = self.start("chunk_wait = 10m")
        for n in range(10):
            b.push("q", f"one{n}")
        self.called(10, "ten that come one by one leave when they are ten")
        self.assertEqual(self.sizes(), [10], "in one request")

    def test_retries_wait_for_others_as_well(self):
        b = self.start("chunk_wait = 10m", 3)
        b.push("q", "throw v", *range(1, 9), "throw w")
        self.called(10, "a full chunk, of which two throw")
        b.push("q", *range(9, 17))
        self.is_("dead", 2, "two throw three times: dead", 15)
        self.assertEqual(self.sizes(), [10, 10, 1, 1],
                         "the second attempts with others in one request, the last each in its own")

    def test_other_topics_have_the_slots_while_a_chunk_fills(self):
        """Also where there is only one."""
        self.start("chunk_wait = 10m", connections=1)
        b = self.b
        b.reload(self.ini("chunk_wait = 10m", connections=1) + f"""
[queue p]
password = secret-pw
[topic p/log]
pool = php
entry = {self.worker("log.php")}
[queue r]
password = secret-pw
[topic r/slow]
pool = php
entry = {self.worker("slow.php")}
""")
        for path in ("p/log", "r/slow"):
            b.becomes(path, "state", "open", 10, "a pool of one connection and two more topics")
        self.write("hold", "")
        b.push("r", "held")
        equals(lambda: len(self.lines("begun")), 1, 5, "its only slot is taken")
        b.push("q", 1, 2, 3)
        b.push("p", "x")
        (self.dir / "hold").unlink()
        equals(lambda: len(self.lines("handled.p.log")), 1, 10, "behind it another topic runs")
        self.is_("running", 3, "while three jobs wait for more", 5)
        for n in range(5):
            b.push("p", f"x{n}")
        equals(lambda: len(self.lines("handled.p.log")), 6, 10, "again and again")
        self.called(0, "and they still wait")
        b.push("q", *range(4, 11))
        self.called(10, "a full chunk gets the slot")

    def test_pause_and_stop_do_not_wait_for_a_chunk_to_fill(self):
        b = self.start("chunk_wait = 10m")
        b.push("q", "kept1", "kept2")
        self.is_("running", 2, "two wait at hand", 5)
        b.admin.post("/api/v1/topics/q/chunk/pause")
        self.is_("running", 0, "pause gives them back", 5)
        b.admin.post("/api/v1/topics/q/chunk/resume")
        self.is_("running", 2, "after resume they wait again", 5)
        # The chunk's wait is ten minutes.
        self.assertEqual(b.stop(100), 0, "a stop does not wait for the chunk, and is clean")
        self.assertEqual(self.calls(), [], "none was run")
        b.write(self.ini())
        b.start()
        self.called(2, "the next start runs them")
        self.assertEqual(sorted(c[1:] for c in self.calls()), [("kept1", "1"), ("kept2", "1")],
                         "each as its first attempt")


class Failing(Chunks):
    """What one job of a request does to the others of it."""

    def test_each_fails_or_succeeds_for_itself(self):
        b = self.start("chunk_wait = 10m")
        b.push("q", "a", "throw1", "exit1", "b", "throw x", "c", "throw y", "d", "e", "f")
        self.is_("dead", 2, "two throw twice: dead", 15)
        self.assertEqual(self.times(r"([a-f]|throw1|exit1) 1"), 8, "the others ran once")
        self.assertEqual(self.sizes(), [10, 1, 1], "their last attempts each in a request of its own")
        b.complains("q/chunk", "DomainException: about throw x", "each with its own message")

    def ends_the_script(self, how):
        """What was done stays done, what came after runs again without having counted."""
        b = self.start()
        b.push("q", f"{how}-before", how, f"{how}-after1", f"{how}-after2")
        self.is_("done", 3, f"{how}: three are done", 15)
        self.is_("dead", 1, f"{how}: one is dead", 15)
        self.assertEqual(self.times(rf"{how}-before \d"), 1, f"{how}: the one before ran once")
        self.assertEqual(self.times(rf"{how}-after[12] 1"), 2,
                         f"{how}: those behind it ran once, as their first attempt")
        self.assertEqual(self.times(rf"{how} [12]"), 2, f"{how}: the one itself had its two attempts")
        self.is_("state", "open", f"{how}: the topic stays open", 0)
        self.assertFalse(b.logged("does not accept the topic"), "at no time did it count as unregistered")

    def test_an_exit_in_the_middle_leaves_the_others_alone(self):
        self.ends_the_script("exit")

    def test_a_fatal_error_in_the_middle_leaves_the_others_alone(self):
        self.ends_the_script("fatal")

    def test_a_job_that_kills_its_process_dies_alone(self):
        """It tells nothing of the others, so all of them fail; but it dies alone."""
        b = self.start()
        b.push("q", "k1", "k2", "kill", "k3")
        self.is_("dead", 1, "one that kills the child is dead", 15)
        self.is_("done", 3, "those that shared its request are done", 15)
        self.assertRegex(b.admin.get("/api/v1/topics/q/chunk/retry").text, '"content": ?"kill"', "it is that one")
        self.assertFalse(b.logged("does not accept the topic"), "at no time did it count as unregistered")

    def test_what_there_is_no_time_for_goes_back_before_the_deadline(self):
        """A job is not begun when one like the longest before it would end after the deadline."""
        b = self.start("timeout = 8s")
        b.admin.post("/api/v1/topics/q/chunk/pause")  # until all of them are there
        b.push("q", "slow 4100 a", "slow 4100 b", "slow 0 c", "slow 0 d")
        b.admin.post("/api/v1/topics/q/chunk/resume")
        self.is_("done", 4, "two of four jobs take 4100 ms, eight seconds a request: all are done", 20)
        self.called(4, "each once", 0)
        t = b.topic("q/chunk")
        self.assertEqual((t["failed"], t["timeout"]), (0, 0), "none failed")
        self.assertEqual(self.sizes()[0], 4, "though they came in one request")
        self.assertGreaterEqual(len(self.sizes()), 2, "and were done in several")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Two brokers on one Redis: shared work, a death and its heir, two of one name."""

import time

from harness import SLOW, Case, equals, main, wait_until


class NodesCase(Case):
    def setUp(self):
        super().setUp()
        self.store, self.calm = self.redis("redis"), self.redis("calm")
        self.fpm_ = self.fpm(children=8)
        self.one, self.two = self.broker("one", self.ini("one")), self.broker("two", self.ini("two"))

    def ini(self, name):
        return f"""
[storage main]
address = {self.store.address}
lease = 4s
[storage calm]
address = {self.calm.address}
lease = 1m
[pool php]
run_type = cgi
address = {self.fpm_.address}
max_connections = 4
[queue q]
password = a-long-password
[topic q/log]
storage = main
pool = php
entry = {self.worker("log.php")}
[topic q/slow]
storage = main
pool = php
entry = {self.worker("slow.php")}
attempts = 5
backoff = 200ms..400ms
[queue r]
password = a-long-password
[topic r/any]
storage = calm
pool = php
entry = {self.worker("any.php")}
attempts = 5
[pool edge]
run_type = cgi
address = unix:{self.dir}/edge-{name}.sock
max_connections = 2
[queue e]
password = a-long-password
[topic e/any]
storage = main
pool = edge
entry = {self.worker("any.php")}
"""

    def open(self, path):
        for b in (self.one, self.two):
            b.becomes(path, "state", "open", 10, f"{path} is open at {b.name}")

    def count(self, name, want, seconds, what):
        equals(lambda: len(self.lines(name)), want, seconds, what)

    def ids(self, name):
        return {line.split(" ")[0] for line in self.lines(name)}

    def hold(self):
        """Jobs whose content is "held" run until release()."""
        (self.dir / "hold").touch()

    def release(self):
        (self.dir / "hold").unlink()

    def settled(self, *paths, b=None, seconds=20, what="nothing is left"):
        wait_until(lambda: not any((b or self.two).unfinished(p) for p in paths), seconds, what)


class SharedWork(NodesCase):
    def setUp(self):
        super().setUp()
        self.open("q/slow")

    def test_each_job_runs_once_wherever_it_was_added(self):
        for b in (self.one, self.two):
            b.push_each("q", ["5"] * 200)
        self.count("handled.q.log", 400, 20, "400 jobs, added to both")
        self.count("ended", 400, 20, "in both topics")
        self.assertEqual(len(self.ids("handled.q.log")), 400, "with 400 ids: none twice, none equal")
        print("# one did {}, two did {}".format(*(b.topic("q/slow")["done"] for b in (self.one, self.two))))

    def test_slow_jobs_of_one_node_run_at_both(self):
        self.hold()
        self.one.push_each("q", ["held"] * 8)
        self.count("begun", 8, 10, "eight long jobs: side by side (4 connections each)")
        self.assertEqual(self.lines("ended"), [], "while none has ended")
        self.release()
        self.count("ended", 8, 10, "all end")
        self.settled("q/slow", "q/log", seconds=10, what="and are settled")

    def test_a_pause_is_for_all_nodes(self):
        self.open("q/log")
        self.one.admin.post("/api/v1/topics/q/log/pause")
        self.two.becomes("q/log", "state", "paused", 5, "paused at one, paused at two")
        self.two.admin.post("/api/v1/topics/q/log/resume")
        self.one.becomes("q/log", "state", "open", 5, "and the other way round")

    def test_a_clean_stop_leaves_nothing_to_wait_for(self):
        self.two.push_each("q", ["500"] * 4)
        self.assertEqual(self.two.stop(), 0, "a clean stop drains")
        self.settled("q/slow", b=self.one, seconds=10, what="and nothing is left over")


class Death(NodesCase):
    def busy(self, b):
        return next(p["busy"] for p in b.admin.get("/api/v1/pools").json["pools"] if p["name"] == "php")

    def fill_one(self):
        """As many jobs run at the one as may; how many were added. Which of the two takes a job is theirs to say, so
        jobs are added until it has enough."""
        jobs = []

        def full():
            # Whatever else the second reading counts, four have begun at the one when they are equal.
            if len(self.lines("begun")) == 4 + self.busy(self.two):
                return True
            if self.busy(self.one) < 4:
                jobs.extend(self.one.push("q", "held"))
            return False

        wait_until(full, 10, "it runs as many jobs as it may")
        return len(jobs)

    def test_the_jobs_of_a_dead_node_are_taken_over(self):
        """Its running jobs are taken over within the lease, and the crash is counted."""
        self.open("q/slow")
        self.hold()
        jobs, start = self.fill_one(), time.monotonic()
        self.one.kill()
        self.release()
        equals(lambda: len(self.ids("ended")), jobs, 20, "all are ended by the survivor")
        self.settled("q/slow")
        took, again = time.monotonic() - start, len(self.lines("begun")) - jobs
        print(f"# after {took:.1f} s; {again} of {jobs} ran a second time")
        self.assertLess(took, 20 * SLOW, "taken over within the lease and some seconds")
        self.assertEqual(again, 4, "those of the dead node were delivered again, and only those")
        self.one.start()
        self.one.push("q", "1")
        self.one.becomes("q/slow", "state", "open", 10, "the dead one comes back under its name")
        self.settled("q/slow", "q/log", what="and works")

    def test_a_second_node_of_one_name_refuses(self):
        three = self.broker("three", self.ini("three"), node="one", wait=False)
        wait_until(lambda: not three.running, 15, "a second node of one name ends")
        self.assertTrue(three.logged("name.*(taken|runs|two nodes|another)|one name"), "and says why")
        self.assertNotEqual(three.status, 0, "with an exit status that is not 0")
        self.one.push("q", "1")
        self.count("handled.q.log", 1, 5, "the first goes on")


class Elsewhere(NodesCase):
    def test_retries_that_their_node_cannot_run_run_at_the_other_when_they_are_due(self):
        """And not a sweep later."""
        self.open("r/any")
        self.write("broken", "closed for now")
        self.two.pause()
        with self.one.client("r:a-long-password") as c:
            for i in range(40):
                c.call("ADDJOB", "r", "again", 0, "RETRY", 8 + i % 8)
        self.one.becomes("r/any", "retry", 40, 5, "jobs that have failed at the one wait for their retries")
        self.two.resume()
        (self.dir / "broken").unlink()
        self.one.pause()
        due = {j["id"]: j["due_ms"] for j in self.two.admin.get("/api/v1/topics/r/any/retry?count=100").json["jobs"]}
        self.count("handled", 40, 20, "it stands still: the other one runs them")
        self.one.resume()
        # Five a second for eight seconds: a machine that stands still meanwhile holds up some of them, sweeps
        # would hit few.
        ran = dict(line.split(" ") for line in self.lines("ran"))
        late = sorted(int(ran[job]) - ms for job, ms in due.items())
        print(f"# ms after their times: {late}")
        self.assertGreaterEqual(len([ms for ms in late if -10 < ms < 250]), 20,
                                "at their times, give or take 250 ms")

    def test_what_a_node_has_at_hand_and_cannot_run_goes_to_the_other(self):
        """A php-fpm that one node alone cannot reach."""
        edge = self.fpm("edge-one", 2)
        self.fpm("edge-two", 2)
        self.open("e/any")
        edge.stop()
        edge.sock.unlink(missing_ok=True)
        self.one.push("e", *range(40))
        self.one.becomes("e/any", "state", "unreachable", 10, "php-fpm is away for one of them")
        self.assertEqual(self.two.topic("e/any")["state"], "open", "and not for the other")
        self.count("handled", 40, 20, "which handles all")
        self.assertEqual([b.topic("e/any")["failed"] for b in (self.one, self.two)], [0, 0], "no attempt has failed")


if __name__ == "__main__":
    main()

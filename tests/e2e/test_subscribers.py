#!/usr/bin/env python3
"""Who gets a job: every topic that stands in the configuration, whatever its state."""

import json

from harness import Case, RespError, case, equals, main, wait_until

PULL = """
[storage main]
address = {redis.address}
[queue q]
password = a-long-password
"""


class Subscribers(Case):
    def pop(self, b, path):
        with b.client("q:a-long-password") as c:
            answer = c.call("RPOP", path)
        return answer and json.loads(answer)["jobs"][0]["content"]

    def pop_all(self, b, path):
        got = []
        while (job := self.pop(b, path)) is not None:
            got.append(job)
        return got

    def ini(self, redis, topics):
        return PULL.format(redis=redis) + topics

    @case("L1")
    def test_jobs_wait_for_a_topic_that_is_not_enabled(self):
        redis, fpm = self.redis(), self.fpm()
        pool = f"[pool p]\nrun_type = cgi\naddress = {fpm.address}\n"
        log = f"pool = p\nentry = {self.worker('log.php')}\n"
        held = self.ini(redis, f"{pool}[topic q/log]\n{log}[topic q/a]\n{log}enabled = no\n")
        b = self.broker("a", held)
        b.push("q", "one", "two", "three")
        equals(lambda: b.topic("q/log")["done"], 3)
        self.assertEqual(b.topic("q/a")["ready"], 3)
        b.reload(held.replace("enabled = no", ""))
        equals(lambda: b.topic("q/a")["done"], 3)

    @case("L1")
    def test_jobs_wait_for_a_topic_of_another_system(self):
        redis = self.redis()
        ini = f"""
[system live]
[system other]
[storage main]
address = {redis.address}
[queue q]
system = other
password = a-long-password
[topic q/t]
run_type = pull
"""
        b = self.broker("a", ini, server="systems = live")
        b.push("q", "one")
        self.assertEqual(b.topic("q/t")["ready"], 1)
        second = self.broker("b", ini, server="systems = other")
        self.assertEqual(self.pop(second, "q/t"), "one")

    @case("L1")
    def test_workers_that_come_by_themselves_need_no_plugin(self):
        redis = self.redis()
        none = self.dir / "no-plugins"
        none.mkdir()
        b = self.broker("a", self.ini(redis, "[topic q/t]\nrun_type = pull\n[topic q/u]\nrun_type = pull\nentry =\n"),
                        start=False)
        b.path.write_text(b.path.read_text().replace("plugin_dir = ", f"plugin_dir = {none}\n;"))
        self.assertEqual(b.check().status, 0, b.check().err)
        b.start()
        b.push("q", "one", "two")
        self.assertEqual(b.topic("q/t")["state"], "open")
        self.assertEqual(self.pop_all(b, "q/t"), ["one", "two"])
        self.assertEqual(self.pop_all(b, "q/u"), ["one", "two"])
        self.assertEqual(redis.cmd("XLEN", "pb:{q}:s"), 0)
        self.assertNotEqual(b.ctl("topic", "ping", "q/t").status, 0)
        self.assertIn("come by themselves", b.ctl("topic", "ping", "q/t").out)

    @case("L1")
    def test_what_is_for_workers_that_are_started_needs_an_entry(self):
        redis = self.redis()
        b = self.broker("a", self.ini(redis, "[topic q/t]\nrun_type = pull\npull_password = x\n"), start=False)
        said = b.check()
        self.assertEqual(said.status, 2)
        self.assertIn("pull_password", said.err)
        self.assertIn("without `entry` workers come by themselves", said.err)

    @case("L1")
    def test_a_queue_without_topics_refuses(self):
        redis = self.redis()
        b = self.broker("a", self.ini(redis, "[queue bare]\npassword = a-long-password\n[topic q/t]\nrun_type = pull\n"))
        with b.client("bare:a-long-password") as c:
            reply = json.loads(c.call("LPUSH", "bare", "x"))
            self.assertTrue(reply["error"].startswith("queue or Topic not exist bare"), reply)
            self.assertIn("no topic", reply["error"])
            with self.assertRaisesRegex(RespError, "NOQUEUE.*no topic"):
                c.call("ADDJOB", "bare", "x", 0)

    @case("L1")
    def test_a_topic_that_a_reload_adds_has_the_first_job_after_it(self):
        redis = self.redis()
        ini = self.ini(redis, "[topic q/t]\nrun_type = pull\n")
        b = self.broker("a", ini)
        second = self.broker("b", ini)
        b.push("q", "before")
        redis.cmd("SCRIPT", "FLUSH")
        b.reload(ini + "[topic q/u]\nrun_type = pull\nenabled = no\n")
        b.push("q", "after")
        second.push("q", "by a node that does not know of it yet")
        self.assertEqual(len(self.pop_all(second, "q/t")), 3)
        self.assertEqual(self.pop_all(b, "q/u"), ["after", "by a node that does not know of it yet"])

    @case("L1")
    def test_only_start_from_decides_about_older_jobs(self):
        redis = self.redis()
        ini = self.ini(redis, "[topic q/t]\nrun_type = pull\n")
        b = self.broker("a", ini)
        b.push("q", "one")
        b.reload(ini + "[topic q/now]\nrun_type = pull\n[topic q/all]\nrun_type = pull\nstart_from = beginning\n")
        b.push("q", "two")
        self.assertEqual(self.pop_all(b, "q/now"), ["two"])
        self.assertEqual(self.pop_all(b, "q/all"), ["one", "two"])


class DataLost(Case):
    """The data goes while brokers run: what is acknowledged afterwards is for all topics."""

    pop, pop_all, ini = Subscribers.pop, Subscribers.pop_all, Subscribers.ini

    def all_get(self, nodes, redis, job):
        """The job comes to each topic, though the others are quicker."""
        nodes[0].push("q", job)
        for path in ("q/t", "q/off", "q/paused"):
            got = []
            wait_until(lambda: got.extend(self.pop_all(nodes[-1], path)) or job in got, 20,
                       f"{path} gets {job}: {got}")

    @case("R7")
    def test_every_topic_has_what_comes_after_it(self):
        redis = self.redis()
        ini = self.ini(redis, "[topic q/t]\nrun_type = pull\n[topic q/off]\nrun_type = pull\nenabled = no\n"
                              "[topic q/paused]\nrun_type = pull\n")
        nodes = [self.broker("a", ini), self.broker("b", ini)]
        self.assertEqual(nodes[0].ctl("topic", "pause", "q/paused").status, 0)
        wait_until(lambda: nodes[1].topic("q/paused")["state"] == "paused")
        for what in (("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", 0, 7), ("DEL", "pb:{q}:s"),
                     ("XGROUP", "DESTROY", "pb:{q}:s", "off"), ("XGROUP", "DESTROY", "pb:{q}:s", "paused")):
            with self.subTest(what=" ".join(str(w) for w in what)):
                redis.cmd(*what)
                self.all_get(nodes, redis, f"after {what}")
                equals(lambda: nodes[1].topic("q/paused")["state"], "paused")
                equals(lambda: redis.cmd("HEXISTS", "pb:{q}:p", "paused"), 1)

    @case("R7")
    def test_a_node_makes_the_group_that_only_it_knows(self):
        redis = self.redis()
        ini = self.ini(redis, "[topic q/t]\nrun_type = pull\n")
        a = self.broker("a", ini)
        b = self.broker("b", ini + "[topic q/mine]\nrun_type = pull\n")
        redis.cmd("FLUSHALL")
        a.push("q", "one")
        self.assertEqual(self.pop_until(a, "q/t"), "one")
        self.assertEqual(self.pop_until(b, "q/mine"), "one")

    def pop_until(self, b, path):
        got = []
        wait_until(lambda: got.extend(self.pop_all(b, path)) or got, 20, f"{path} gets something")
        return got[0]


if __name__ == "__main__":
    main()

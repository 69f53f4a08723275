#!/usr/bin/env python3
"""A Redis user that has exactly the rights of doc/store-layout.md, and users that have fewer."""

import re

from harness import ROOT, Case, case, equals, main, wait_until

PASSWORD = "a-long-password"
RIGHTS = re.search(r"ACL SETUSER pepperbus (.*?)```", (ROOT / "doc" / "store-layout.md").read_text(), re.S)[1].split()


class Acl(Case):
    def ini(self, redis, worker, more=""):
        return f"""
[storage main]
address = {redis.address}
username = pepperbus
password = {PASSWORD}
lease = 2s
[pool w]
run_type = http
max_connections = 4
[queue q]
password = {PASSWORD}
[topic q/t]
storage = main
pool = w
entry = {worker.address}/t
attempts = 2
backoff = 50ms..50ms
[queue p]
password = {PASSWORD}
max_length = 1000
max_bytes = 1mb
[topic p/t]
storage = main
run_type = pull
{more}
"""

    def setUp(self):
        super().setUp()
        self.server = self.redis("redis", "--user", "pepperbus", *[r.replace("PASSWORD", PASSWORD) for r in RIGHTS])
        self.fails = True
        self.worker_ = self.http(lambda r: (500, "no") if "bad" in r.form["jobs"] and self.fails else (200, "done"))

    def denied(self):
        """What the ACL has refused."""
        return [dict(zip(e[::2], e[1::2])) for e in self.server.cmd("ACL", "LOG")]

    def refused(self, word):
        stats = self.server.info("errorstats").get(f"errorstat_{word}", "count=0")
        return int(stats.partition("count=")[2])

    @case("R10")
    def test_the_rights_of_the_table_are_enough(self):
        ini = self.ini(self.server, self.worker_)
        gone = f"[topic q/gone]\nstorage = main\npool = w\nentry = {self.worker_.address}/gone\n"
        a, b = self.broker("a", ini + gone), self.broker("b", ini)
        a.push("q", *["good"] * 20, *["bad"] * 5)
        with a.client(f"q:{PASSWORD}") as c:
            c.call("ADDJOB", "q", "later", 0, "DELAY", 1)
            c.call("ADDJOB", "q", "token", 0, "ID", "token-1")
            c.call("ADDJOB", "q", "limited", 0, "MAXLEN", 100000)
        a.push("p", "pulled", "other")
        with a.client(f"p/t:{PASSWORD}") as c:
            self.assertTrue(c.call("RPOP", "p/t"))
        equals(lambda: a.topic("q/t")["dead"], 5, 20, "dead")
        wait_until(lambda: a.unfinished("q/t") == 0, 20)
        self.assertEqual(a.ctl("topic", "errors", "q/t").status, 0)
        self.fails = False
        self.assertEqual(a.ctl("topic", "replay", "q/t", "--all").status, 0)
        equals(lambda: a.topic("q/t")["dead"], 0, 20, "dead")
        wait_until(lambda: a.unfinished("q/t") == 0, 20)
        self.assertEqual(a.ctl("topic", "pause", "q/t").status, 0)
        a.push("q", "paused")
        self.assertEqual(a.ctl("topic", "resume", "q/t").status, 0)
        self.assertEqual(a.ctl("topic", "purge", "q/t", "--all", "--yes").status, 0)
        self.assertEqual(a.ctl("node", "ls").status, 0)
        self.server.restart()
        wait_until(lambda: a.push("q", "again"), 20)
        a.reload(ini)
        wait_until(lambda: a.ctl("topic", "drop", "q/gone", "--yes").status == 0, 20)
        b.kill()
        equals(lambda: self.server.cmd("HKEYS", "pb:{@}:nodes"), ["a"], 40, "the dead node goes")
        wait_until(lambda: a.unfinished("q/t") == 0, 20)
        self.assertEqual(a.stop(), 0)
        self.assertEqual([(d["context"], d["reason"], d["object"]) for d in self.denied()], [])
        self.assertEqual(a.logged("NOPERM"), [])

    @case("R10")
    def test_no_channel_is_told_once_and_costs_nothing(self):
        self.server.cmd("ACL", "SETUSER", "pepperbus", "resetchannels")
        ini = self.ini(self.server, self.worker_)
        a, b = self.broker("a", ini), self.broker("b", ini)
        status = lambda: a.admin.get("/api/v1/status").json["storages"][0]["why"]  # noqa: E731
        wait_until(lambda: "ACL forbids" in status(), 20, status)
        # The sweeps of several seconds, with jobs that would be told of.
        for i in range(20):
            a.push("q", f"job {i}")
            wait_until(lambda: a.unfinished("q/t") == 0, 20)
        before = self.server.calls("zrangebyscore")
        wait_until(lambda: self.server.calls("zrangebyscore") >= before + 4, 20, "no sweeps")
        refused = self.refused("NOPERM")
        self.assertLessEqual(refused, 16, "asked again and again")
        for x in (a, b):
            lines = x.logged("NOPERM")
            self.assertTrue(1 <= len(lines) <= 2, lines)
        # b hears of it all the same.
        done = b.topic("q/t")["done"]
        a.pause()
        b.push("q", "more")
        wait_until(lambda: b.topic("q/t")["done"] > done, 20)
        a.resume()

    @case("R10")
    def test_each_refused_command_has_a_pause_and_a_line(self):
        b = self.broker("a", self.ini(self.server, self.worker_))
        b.push("q", "first")
        wait_until(lambda: b.unfinished("q/t") == 0, 20)
        for command in ("xreadgroup", "xinfo|consumers", "smembers", "hvals", "xack", "zadd", "hset"):
            with self.subTest(command):
                before, lines = self.refused("NOPERM") + self.refused("ERR"), len(b.logged("ACL forbids"))
                self.server.cmd("ACL", "SETUSER", "pepperbus", f"-{command}")
                self.server.cmd("CLIENT", "KILL", "TYPE", "normal")
                wait_until(lambda: self.server.cmd("CLIENT", "LIST").count("pepperbus-a") >= 2, 20)
                b.lpush("q", "bad")
                # By the server's own clock: sweeps, renewals and retries go on meanwhile.
                sweeps = self.server.calls("ping")
                wait_until(lambda: self.server.cmd("PING") and self.server.calls("ping") > sweeps + 50, 20)
                self.server.cmd("ACL", "SETUSER", "pepperbus", f"+{command}")
                refused = self.refused("NOPERM") + self.refused("ERR") - before
                self.assertLessEqual(refused, 100, "a loop without a pause")
                self.assertLessEqual(len(b.logged("ACL forbids")) - lines, 4, b.log_text()[-3000:])
                wait_until(lambda: b.push("q", "good"), 20)
                wait_until(lambda: b.unfinished("q/t") == 0, 30, lambda: b.topic("q/t"))


if __name__ == "__main__":
    main()

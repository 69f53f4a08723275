#!/usr/bin/env python3
"""Names of nodes in Redis: they go with the node, however it goes."""

from harness import Case, case, equals, main, wait_until

LEASE = 3


class Names(Case):
    def ini(self, redis, fpm, lease=f"{LEASE}s", more="", gone=""):
        return f"""
[storage main]
address = {redis.address}
lease = {lease}
[pool p]
run_type = cgi
address = {fpm.address}
max_connections = 4
[queue q]
password = a-long-password
[topic q/log]
storage = main
pool = p
entry = {self.worker("log.php")}
{gone}
[queue pulled]
password = a-long-password
[topic pulled/t]
storage = main
run_type = pull
{more}
"""

    def setUp(self):
        super().setUp()
        self.server, self.fpm1 = self.redis("redis"), self.fpm("fpm")

    def consumers(self, queue, topic):
        return {dict(zip(c[::2], c[1::2]))["name"]
                for c in self.server.cmd("XINFO", "CONSUMERS", f"pb:{{{queue}}}:s", topic)}

    def registry(self):
        return set(self.server.cmd("HKEYS", "pb:{@}:nodes"))

    def beats(self):
        return {n for n in self.server.cmd("HKEYS", "pb:{@}:beats") if n[0] != "@"}

    def work(self, b, node="b", n=20):
        """Until b, which runs as node, has had jobs of q/log: another node may take all of the first ones."""
        def had():
            b.push("q", *[str(i) for i in range(n)])
            return node in self.consumers("q", "log")

        wait_until(had, 20)
        b.push("pulled", "x")
        with b.client("pulled/t:a-long-password") as c:
            c.call("RPOP", "pulled/t")
        wait_until(lambda: b.unfinished("q/log") == 0, 20)

    @case("R11")
    def test_a_clean_stop_leaves_nothing_behind(self):
        stray = f'[topic q/slow]\nstorage = main\npool = p\nentry = {self.worker("slow.php")}\n'
        a = self.broker("a", self.ini(self.server, self.fpm1))
        b = self.broker("b", self.ini(self.server, self.fpm1, gone=stray))
        self.work(b)
        wait_until(lambda: "b" in self.consumers("q", "slow"), 20)
        self.assertIn("b", self.consumers("pulled", "t"))
        b.reload(self.ini(self.server, self.fpm1))
        wait_until(lambda: b.admin.get("/api/v1/topics/q/slow").status == 404, 10)
        self.assertEqual(b.stop(), 0)
        self.assertNotIn("b", self.consumers("q", "log"))
        self.assertNotIn("b", self.consumers("pulled", "t"))
        self.assertEqual((self.registry(), self.beats()), ({"a"}, {"a"}))
        # In the group of a topic that b did not know any more: another node sees to it.
        self.server.cmd("CLIENT", "KILL", "TYPE", "normal")
        equals(lambda: "b" in self.consumers("q", "slow"), False, 20)
        wait_until(lambda: a.admin.get("/readyz").status == 200, 20)  # its connections are there again
        self.assertEqual(a.stop(), 0)
        self.assertEqual((self.registry(), self.beats()), (set(), set()))

    @case("R11")
    def test_a_node_that_was_killed_while_idle_goes_too(self):
        self.broker("a", self.ini(self.server, self.fpm1))
        b = self.broker("b", self.ini(self.server, self.fpm1))
        self.work(b)
        b.kill()
        equals(self.registry, {"a"}, 10 * LEASE)
        equals(self.beats, {"a"}, 10)
        for queue, topic in (("q", "log"), ("pulled", "t")):
            self.assertNotIn("b", self.consumers(queue, topic))

    @case("V7", "R11")
    def test_another_name_takes_effect_at_the_next_start(self):
        b = self.broker("b", self.ini(self.server, self.fpm1))
        self.work(b)
        b.node = "renamed"
        b.reload(self.ini(self.server, self.fpm1, lease="4s"))  # this makes the storage again, too
        wait_until(lambda: b.logged("take effect at the next start"), 10)
        wait_until(lambda: b.unfinished("q/log") == 0, 20)
        self.assertEqual(b.admin.get("/api/v1/status").json["node"], "b")
        self.work(b)
        self.assertEqual((self.registry(), self.beats()), ({"b"}, {"b"}))
        self.assertEqual(b.stop(), 0)
        self.assertEqual(self.registry(), set())
        self.assertEqual(self.consumers("q", "log"), set())
        b.start()
        self.work(b, "renamed")
        self.assertEqual((self.registry(), self.beats()), ({"renamed"}, {"renamed"}))

    @case("R11")
    def test_a_storage_that_is_taken_out_is_left(self):
        other = self.redis("other")
        more = f"[storage other]\naddress = {other.address}\nlease = {LEASE}s\n"
        a = self.broker("a", self.ini(self.server, self.fpm1, more=more))
        equals(lambda: other.cmd("HKEYS", "pb:{@}:nodes"), ["a"], 10)
        a.reload(self.ini(self.server, self.fpm1))
        equals(lambda: other.cmd("HKEYS", "pb:{@}:nodes"), [], 10)
        self.assertEqual(other.cmd("EXISTS", "pb:{@}:node:a"), 0)
        self.work(a, "a")


if __name__ == "__main__":
    main()

"""A Redis that takes no new data: what waits is run all the same, and one line tells of it."""

import re

from harness import Case, RespError, bury, case, equals, main, wait_until

POOL = """
[storage main]
address = {address}
[pool p]
run_type = http
max_connections = 4
[queue q]
password = secret-pw
"""
TOPIC = """
[topic q/{name}]
pool = p
entry = {url}/{name}
"""
REFUSED = r"takes no writes|could not be stored|does not accept the topic|cannot take over|refuses"


class Full(Case):
    def setUp(self):
        super().setUp()
        self.handled = []
        self.worker_code = 200

    def work(self, request):
        self.handled.append(request.body)
        return self.worker_code, ""

    def ini(self, redis, names=("t",)):
        http = self.http(self.work)
        return POOL.format(address=redis.address) + "".join(TOPIC.format(name=n, url=http.address) for n in names)

    def fill(self, redis):
        redis.config_set("maxmemory", "1")
        with self.assertRaisesRegex(RespError, "OOM"):
            redis.cmd("SET", "x", "y")

    def refused_so_far(self, redis, word):
        m = re.search(r"count=(\d+)", redis.info("errorstats").get(f"errorstat_{word}", ""))
        return int(m.group(1)) if m else 0

    @case("R2")
    def test_what_waits_is_run_by_a_broker_that_starts_anew(self):
        redis = self.redis("main")
        b = self.broker("a", self.ini(redis))
        b.ctl("topic", "pause", "q/t")
        b.push("q", *(f"job {n}" for n in range(300)))
        b.kill()
        self.fill(redis)
        b.start(wait=False)
        wait_until(lambda: b.topic("q/t")["ready"] == 300, 20, b.log_text)
        self.assertIn("OOM", b.lpush("q", "no room")["error"])
        self.assertEqual(b.ctl("topic", "resume", "q/t").status, 0)
        equals(lambda: b.topic("q/t")["done"], 300)
        equals(lambda: redis.cmd("XLEN", "pb:{q}:s"), 0, what="entries in the stream")

    @case("R2")
    def test_and_by_one_that_connects_anew_or_is_reloaded(self):
        redis = self.redis("main")
        ini = self.ini(redis)
        b = self.broker("a", ini)
        b.ctl("topic", "pause", "q/t")
        b.push("q", *(f"job {n}" for n in range(30)))
        self.fill(redis)
        ready = len(b.logged("storage main: ready"))
        redis.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: len(b.logged("storage main: ready")) > ready, 20, b.log_text)
        b.reload(ini.replace("[storage main]", "[storage main]\nconnect_timeout = 3s"))
        wait_until(lambda: len(b.logged("storage main: ready")) > ready + 1, 20, b.log_text)
        self.assertEqual(b.ctl("topic", "resume", "q/t").status, 0)
        wait_until(lambda: len(self.handled) >= 30, 20, b.log_text)
        equals(lambda: b.unfinished("q/t"), 0)
        self.assertEqual(len(self.handled), 30)

    @case("R2")
    def test_what_an_operator_does_gets_through(self):
        redis = self.redis("main")
        b = self.broker("a", self.ini(redis))
        self.fill(redis)
        self.assertEqual(b.ctl("topic", "pause", "q/t").status, 0)
        wait_until(lambda: b.topic("q/t")["state"] == "paused")
        self.assertEqual(b.ctl("topic", "resume", "q/t").status, 0)
        wait_until(lambda: b.topic("q/t")["state"] == "open")

    @case("R2")
    def test_many_jobs_are_replayed_and_purged(self):
        redis = self.redis("main")
        b = self.broker("a", self.ini(redis))
        b.ctl("topic", "pause", "q/t")
        bury(redis, "q/t", 50)
        self.fill(redis)
        replayed = b.admin.post("/api/v1/topics/q/t/replay", {"count": 20})
        self.assertEqual((replayed.status, replayed.json.get("replayed")), (200, 20), replayed)
        purged = b.admin.post("/api/v1/topics/q/t/purge", {"all": True, "set": "dead"})
        self.assertEqual((purged.status, purged.json.get("purged")), (200, 30), purged)
        b.ctl("topic", "resume", "q/t")
        equals(lambda: b.topic("q/t")["done"], 20)

    @case("R2")
    def test_a_storage_that_is_new_and_full_is_used_as_soon_as_there_is_room(self):
        redis = self.redis("main")
        self.fill(redis)
        b = self.broker("a", self.ini(redis), wait=False)
        wait_until(lambda: b.logged("storage main: ready"), 20, b.log_text)
        self.assertIn("OOM", b.lpush("q", "no room")["error"])
        redis.config_set("maxmemory", "0")
        b.push("q", "room")
        equals(lambda: len(self.handled), 1)
        wait_until(lambda: b.admin.get("/readyz", token=None).status == 200, 20)

    def told_once(self, redis, b, word, refuse, allow):
        b.push("q", "before")
        equals(lambda: len(self.handled), 10)
        refuse()
        wait_until(lambda: self.refused_so_far(redis, word) >= 60, 60, "nothing was refused")
        allow()
        wait_until(lambda: b.logged("takes writes again"), 20, b.log_text)
        lines = [l for l in b.logged(REFUSED) if "again" not in l]
        self.assertLessEqual(len(lines), 2, lines)
        b.push("q", "after")
        wait_until(lambda: len(self.handled) >= 20, 20, b.log_text)

    @case("R17")
    def test_too_few_replicas_is_told_once_for_all_topics(self):
        redis = self.redis("main")
        b = self.broker("a", self.ini(redis, [f"t{n}" for n in range(10)]))
        self.told_once(redis, b, "NOREPLICAS",
                       lambda: (redis.config_set("min-replicas-to-write", "1"), b.lpush("q", "x")),
                       lambda: redis.config_set("min-replicas-to-write", "0"))

    @case("R17")
    def test_a_command_that_the_acl_forbids_is_told_once_for_all_topics(self):
        redis = self.redis("main")
        b = self.broker("a", self.ini(redis, [f"t{n}" for n in range(10)]))
        b.push("q", "before")
        equals(lambda: len(self.handled), 10)
        wait_until(lambda: all(b.unfinished(f"q/t{n}") == 0 for n in range(10)))
        redis.cmd("ACL", "SETUSER", "default", "-evalsha")
        b.push("q", "x")
        wait_until(lambda: self.refused_so_far(redis, "NOPERM") >= 60, 60, "nothing was refused")
        redis.cmd("ACL", "SETUSER", "default", "+evalsha")
        equals(lambda: sum(b.unfinished(f"q/t{n}") for n in range(10)), 0, 20)
        lines = b.logged("NOPERM")
        self.assertTrue(1 <= len(lines) <= 2, lines)


if __name__ == "__main__":
    main()

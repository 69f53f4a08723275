#!/usr/bin/env python3
"""Acts on many jobs: they go on whoever dies, take each job once, and can be watched and cancelled."""

import time

from harness import Case, bury, case, equals, main, wait_until

MANY = 12000


class Acts(Case):
    def ini(self, address, more=""):
        return self.waiting(address, storage="lease = 2s", more=more)

    def now(self):
        seconds, us = self.store.cmd("TIME")
        return int(seconds) + int(us) / 1e6

    def start(self, more="", **kw):
        self.store = self.redis()
        return self.broker("a", self.ini(self.store.address, more), **kw)

    def sizes(self):
        return [self.store.cmd(c, f"pb:{{q}}:{k}:t") for c, k in (("ZCARD", "r"), ("ZCARD", "x"))]

    def slow_down(self):
        """Each command waits for what looks like a slow disk: an act of some 100 slices lasts."""
        proxy = self.tcp_proxy(self.store.tcp)
        proxy.delay(0.02)
        return proxy

    def acts(self, b):
        return b.admin.get("/api/v1/acts").json["acts"]

    @case("T2")
    def test_a_small_one_answers_as_ever_and_is_noted(self):
        b = self.start()
        bury(self.store, "q/t", 50)
        bury(self.store, "q/t", 20, first=1000, kind="r")
        a = b.admin.post("/api/v1/topics/q/t/replay", {"all": True, "set": "dead"})
        self.assertEqual((a.status, a.json["replayed"], a.json["topic"]), (200, 50, "q/t"))
        self.assertEqual(self.sizes(), [70, 0])
        act = self.acts(b)[0]
        self.assertEqual((act["kind"], act["state"], act["done"], act["of"], act["filter"]["set"]),
                         ("replay", "done", 50, 50, "dead"))
        self.assertRegex(act["by"], "token at a")
        a = b.admin.post("/api/v1/topics/q/t/purge", {"all": True})
        self.assertEqual((a.status, a.json["purged"]), (200, 70))
        self.assertEqual(self.sizes(), [0, 0])
        self.assertEqual(b.admin.get(f"/api/v1/acts/{act['id']}").json["id"], act["id"])
        self.assertEqual(b.admin.get("/api/v1/acts/123-abc").status, 404)
        self.assertEqual(b.admin.post(f"/api/v1/acts/{act['id']}/cancel").status, 409)
        shown = b.ctl("act", "ls").out
        self.assertRegex(shown, r"replay +q/t +done +50 +50")
        self.assertRegex(b.ctl("act", "show", act["id"]).out, "50 done of 50")

    @case("T2")
    def test_a_count_takes_the_oldest(self):
        b = self.start()
        bury(self.store, "q/t", 300, died_ms=2000000)
        first = bury(self.store, "q/t", 150, first=1000, died_ms=1000000)
        a = b.admin.post("/api/v1/topics/q/t/replay", {"count": 150})
        self.assertEqual((a.status, a.json["replayed"]), (200, 150))
        self.assertEqual(sorted(self.store.cmd("ZRANGE", "pb:{q}:r:t", 0, -1)), first)

    @case("T2")
    def test_a_long_one_answers_202_is_followed_and_cancelled(self):
        self.store = self.redis()
        proxy = self.slow_down()
        b = self.broker("a", self.ini(proxy.address))
        bury(self.store, "q/t", MANY)
        a = b.admin.post("/api/v1/topics/q/t/replay", {"all": True})
        self.assertEqual(a.status, 202)
        self.assertNotIn("replayed", a.json)
        act = a.json["act"]
        self.assertEqual((act["state"], act["of"]), ("running", MANY))
        self.assertEqual(b.admin.get(f"/api/v1/acts/{act['id']}").json["state"], "running")
        self.assertEqual(b.ctl("act", "cancel", act["id"]).status, 0)
        r = b.ctl("act", "show", act["id"], "--follow", "--json")
        self.assertEqual((r.status, r.json["state"]), (1, "cancelled"))
        self.assertRegex(r.json["result"], "cancelled by token at a")
        done = r.json["done"]
        self.assertEqual(self.sizes(), [done, MANY - done])
        self.assertTrue(0 < done < MANY)
        # What ctl begins it follows, with progress, to the end.
        proxy.delay(0.01)
        r = b.ctl("topic", "replay", "q/t", "--all", seconds=120)
        self.assertEqual(r.status, 0)
        self.assertRegex(r.out, r"q/t: [\d,]+ jobs due at once")
        self.assertEqual(self.sizes(), [MANY, 0])

    @case("T2")
    def test_the_node_is_killed_and_goes_on_when_it_is_back(self):
        self.store = self.redis()
        proxy = self.slow_down()
        b = self.broker("a", self.ini(proxy.address))
        bury(self.store, "q/t", MANY)
        bury(self.store, "q/t", 1000, first=MANY + 1, kind="r")
        act = b.admin.post("/api/v1/topics/q/t/replay", {"all": True}).json["act"]
        b.kill()
        replayed = self.sizes()[0]
        self.assertTrue(1000 < replayed < MANY)
        proxy.delay(0)
        b.start()
        wait_until(lambda: b.admin.get(f"/api/v1/acts/{act['id']}").json["state"] == "done", 60)
        told = b.admin.get(f"/api/v1/acts/{act['id']}").json
        self.assertEqual((told["done"], told["of"]), (MANY + 1000, MANY + 1000))
        self.assertEqual(self.store.cmd("ZCOUNT", "pb:{q}:r:t", 0, 0), MANY + 1000)

    @case("T2")
    def test_another_node_goes_on_with_a_purge(self):
        self.store = self.redis()
        proxy = self.slow_down()
        a = self.broker("a", self.ini(proxy.address))
        other = self.broker("b", self.ini(self.store.address))
        bury(self.store, "q/t", MANY)
        act = a.admin.post("/api/v1/topics/q/t/purge", {"all": True}).json["act"]
        a.kill()
        wait_until(lambda: other.admin.get(f"/api/v1/acts/{act['id']}").json["state"] == "done", 60)
        told = other.admin.get(f"/api/v1/acts/{act['id']}").json
        self.assertEqual((told["done"], told["owner"]), (MANY, "b"))
        self.assertEqual(self.sizes(), [0, 0])

    @case("T2")
    def test_redis_is_killed_in_the_middle(self):
        self.store = self.redis("redis", "--appendfsync", "always")
        proxy = self.slow_down()
        b = self.broker("a", self.ini(proxy.address))
        bury(self.store, "q/t", MANY)
        act = b.admin.post("/api/v1/topics/q/t/purge", {"all": True}).json["act"]
        self.store.kill()
        self.store.start()
        proxy.delay(0)
        wait_until(lambda: b.admin.get(f"/api/v1/acts/{act['id']}").json["state"] == "done", 60)
        self.assertEqual(b.admin.get(f"/api/v1/acts/{act['id']}").json["done"], MANY)
        self.assertEqual(self.sizes(), [0, 0])

    @case("R8")
    def test_replay_and_purge_take_what_died_by_a_clock_that_is_ahead(self):
        b = self.start()
        ahead = int(time.time() * 1000) + 7200000
        bury(self.store, "q/t", 30, died_ms=ahead)
        bury(self.store, "q/t", 20, first=100, died_ms=ahead, kind="r")
        r = b.ctl("topic", "replay", "q/t", "--all")
        self.assertRegex(r.out, "50 jobs")
        bury(self.store, "q/t", 30, first=1000, died_ms=ahead)
        bury(self.store, "q/t", 20, first=2000, died_ms=ahead, kind="r")
        r = b.ctl("topic", "purge", "q/t", "--all", "--yes")
        self.assertRegex(r.out, "100 jobs")

    @case("R15")
    def test_a_list_of_large_dead_jobs_takes_little_memory(self):
        b = self.start()
        size = 2 << 20
        for i in range(40):
            bury(self.store, "q/t", 1, first=i + 1, content=b"y" * size)

        def grown():
            return int(self.store.info("memory")["used_memory_peak"])

        self.store.cmd("CONFIG", "RESETSTAT")
        peak = grown()
        a = b.admin.get("/api/v1/topics/q/t/retry?count=40")
        self.assertEqual(len(a.json["jobs"]), 40)
        for job in a.json["jobs"]:
            self.assertEqual((job["size"], job["content_cut"], len(job["content"])), (size, True, 4096))
        self.assertLess(grown() - peak, 40 << 20)
        one = b.admin.get(f"/api/v1/topics/q/t/retry/{a.json['jobs'][0]['id']}").json
        self.assertEqual((len(one["content"]), one["size"]), (size, size))

    @case("R15")
    def test_a_list_that_is_cut_within_a_character_stays_text(self):
        b = self.start()
        text = "x" * 4095 + "ä" * 100
        bury(self.store, "q/t", 1, content=text.encode())
        job = b.admin.get("/api/v1/topics/q/t/retry").json["jobs"][0]
        self.assertEqual((job["content"], job["size"]), ("x" * 4095, len(text.encode())))
        self.assertNotIn("encoding", job)

    @case("L10")
    def test_a_replay_waives_the_ttl(self):
        fpm = self.fpm()
        worker = self.worker("log.php")
        self.store = self.redis()
        ini = self.ini(self.store.address).replace("/srv/worker.php", worker).replace("topic q/t", "topic q/log")
        b = self.broker("a", ini)
        with b.client("q:a-long-password") as c:
            for i in range(3):
                c.call("ADDJOB", "q", f"job{i}", "0", "TTL", "1")
        # They wait for their workers until their time is over, by the clock that decides it.
        over = self.now() + 1.1
        wait_until(lambda: self.now() > over)
        b.reload(ini.replace(f"unix:{self.dir}/nobody.sock", fpm.address))
        equals(lambda: b.topic("q/log")["dead"], 3, 20)
        ids = [j["id"] for j in b.admin.get("/api/v1/topics/q/log/retry").json["jobs"]]
        self.assertRegex(b.ctl("topic", "replay", "q/log", "--id", ids[0]).out, "1 job")
        self.assertRegex(b.ctl("topic", "replay", "q/log", "--all").out, "2 jobs")
        equals(lambda: len(b.lines("handled.q.log")), 3, 20)
        self.assertEqual(b.topic("q/log")["dead"], 0)

    @case("V7")
    def test_next_due_after_a_replay_is_now(self):
        b = self.start()
        bury(self.store, "q/t", 3)
        b.ctl("topic", "pause", "q/t")
        b.ctl("topic", "replay", "q/t", "--all")
        due = b.admin.get("/api/v1/topics/q/t").json["counts"]["next_due_ms"]
        self.assertLess(abs(due - time.time() * 1000), 60000)
        self.assertNotIn("1970", b.ctl("topic", "show", "q/t").out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Acts on some of many failed jobs: a filter, a rate, an undo. Whoever is killed between any two
steps, each job is acted on once, none is lost, and the counts are exact."""

from harness import Case, bury, case, equals, main, wait_until

WANTED, OTHERS = 344, 1500


class FailedActs(Case):
    def setUp(self):
        super().setUp()
        self.acts = 0

    def start(self, topic="t", ini=None):
        """A node whose commands wait for what looks like a slow disk: an act lasts."""
        self.store = self.redis("redis", "--appendfsync", "always")
        self.proxy = self.tcp_proxy(self.store.tcp)
        self.topic = topic
        return self.broker("a", (ini or self.waiting)(self.proxy.address, storage="lease = 2s"))

    def key(self, kind):
        return f"pb:{{q}}:{kind}:{self.topic}"

    def act_begins(self, kind, **fields):
        """An act as a node leaves it that is killed right after it entered the act; its id."""
        self.acts += 1
        seconds = self.store.cmd("TIME")[0]
        act = f"{int(seconds):x}-{self.acts}"
        record = {"id": act, "kind": kind, "state": "running", "done": 0, "of": 0, "owner": "gone x", "until": 0,
                  "epoch": 1, "started": int(seconds) * 1000, "changed": 0, "queue": "q", "topic": self.topic,
                  "by": "anna", "set": 2, "count": 0, "rate": 0, "now": 0, "keeps": "1", **fields}
        words = [str(w).encode() for pair in record.items() for w in pair]
        self.store.cmd("HSET", f"pb:{{@}}:act:{act}", *words)
        self.store.cmd("ZADD", "pb:{@}:acts", seconds, act)
        self.store.cmd("SADD", "pb:{@}:acts:begun", act)
        return act

    def undo_begins(self, other):
        act = self.act_begins("undo", undoes=other, keeps="")
        self.store.cmd("HSET", f"pb:{{@}}:act:{other}", "undone_by", act, "undo_ms", 0)
        return act

    def told(self, act, field):
        return self.store.cmd("HGET", f"pb:{{@}}:act:{act}", field) or ""

    def progress(self, act):
        return self.store.cmd("HMGET", f"pb:{{q}}:act:{act}", "done", "looked", "at", "cursor", "left")

    def is_over(self, act):
        return self.told(act, "state") != "running"

    def kill_between_steps(self, b, act, slow=0.03):
        """Kills the node, and each second time Redis too, whenever the act is a step further."""
        self.proxy.delay(slow)
        kills = 0
        while not self.is_over(act) and kills < 6:
            b.kill()
            was = self.progress(act)
            if kills % 2:
                self.store.kill()
                self.store.start()
            b.start()
            kills += 1
            wait_until(lambda: self.is_over(act) or self.progress(act) != was, 60)
        self.proxy.delay(0)
        wait_until(lambda: self.is_over(act), 60)

    def everything(self):
        names = ("ZRANGE", "r", 0, -1, "WITHSCORES"), ("ZRANGE", "x", 0, -1, "WITHSCORES")
        sets = [self.store.cmd(c, self.key(k), *rest) for c, k, *rest in names]
        hashes = [self.store.cmd("HGETALL", self.key(k)) for k in "hb"]
        return sets + [dict(zip(h[::2], h[1::2])) for h in hashes]

    def bury_two_causes(self):
        bury(self.store, "q/" + self.topic, OTHERS)
        bury(self.store, "q/" + self.topic, WANTED, first=10000, code=503, message="no database")
        bury(self.store, "q/" + self.topic, OTHERS, first=20000)

    def sizes(self):
        return [self.store.cmd("ZCARD", self.key(k)) for k in "rx"]

    @case("V5")
    def test_a_filtered_replay_and_its_undo_are_killed_between_any_two_steps(self):
        b = self.start()
        self.bury_two_causes()
        before = self.everything()
        act = self.act_begins("replay", **{"filter:code": 503})
        self.kill_between_steps(b, act)
        self.assertEqual((self.told(act, "state"), self.told(act, "done"), self.told(act, "of")),
                         ("done", str(WANTED), str(WANTED)))
        self.assertEqual(self.store.cmd("ZCOUNT", self.key("r"), 0, 0), WANTED)
        self.assertEqual(self.sizes(), [WANTED, 2 * OTHERS])
        self.assertEqual(self.store.cmd("SMEMBERS", "pb:{@}:acts:open"), [])
        undo = self.undo_begins(act)
        self.kill_between_steps(b, undo, slow=0.1)
        self.assertEqual((self.told(undo, "state"), self.told(undo, "done"), self.told(undo, "left")),
                         ("done", str(WANTED), "0"))
        self.assertEqual(self.everything(), before)
        self.assertEqual(b.admin.get(f"/api/v1/acts/{undo}").json["kind"], "undo")
        # Nothing is kept of either.
        equals(lambda: self.store.cmd("SMEMBERS", "pb:{@}:acts:begun"), [], 30)

    @case("V5")
    def test_a_filtered_purge_is_killed_between_any_two_steps(self):
        b = self.start()
        self.bury_two_causes()
        act = self.act_begins("purge", **{"filter:match": "DataBase"})
        self.kill_between_steps(b, act)
        self.assertEqual(self.told(act, "done"), str(WANTED))
        self.assertRegex(self.told(act, "result"), f"{WANTED} jobs purged, 20")
        self.assertEqual(self.sizes(), [0, 2 * OTHERS])
        self.assertEqual(self.store.cmd("HLEN", self.key("b")), WANTED + 2 * OTHERS)
        self.assertGreater(int(self.told(act, "undo_ms")), 1)
        # A minute later, with a kill in the middle.
        self.proxy.delay(0.03)
        self.store.cmd("HSET", f"pb:{{@}}:act:{act}", "undo_ms", 1, "until", 0)
        wait_until(lambda: self.store.cmd("HLEN", self.key("b")) < WANTED + 2 * OTHERS, 60)
        b.kill()
        self.proxy.delay(0)
        b.start()
        equals(lambda: self.store.cmd("HLEN", self.key("b")), 2 * OTHERS, 60)
        equals(lambda: self.store.cmd("SMEMBERS", "pb:{@}:acts:begun"), [], 30)
        self.assertEqual(self.store.cmd("EXISTS", f"pb:{{q}}:undo:{act}"), 0)
        self.assertEqual(self.sizes(), [0, 2 * OTHERS])

    @case("V5")
    def test_a_job_that_was_replayed_once_runs_once(self):
        fpm = self.fpm()
        worker = self.worker("log.php")

        def ini(address, storage):
            text = self.waiting(address, storage=storage).replace("/srv/worker.php", worker)
            return text.replace("topic q/t", "topic q/log").replace(f"unix:{self.dir}/nobody.sock", fpm.address)

        b = self.start("log", ini)
        b.ctl("topic", "pause", "q/log")
        for i in range(120):
            bury(self.store, "q/log", 1, first=i + 1, content=b"job %d" % i, code=503 if i % 2 else 500)
        act = self.act_begins("replay", rate=20, **{"filter:code": 503})
        self.kill_between_steps(b, act)
        self.assertEqual(self.told(act, "done"), "60")
        b.ctl("topic", "resume", "q/log")
        wait_until(lambda: len(b.lines("handled.q.log")) >= 60, 60)
        equals(lambda: self.sizes(), [0, 60], 30)
        ran = [line.split()[-1] for line in b.lines("handled.q.log")]
        self.assertEqual(sorted(map(int, ran)), list(range(1, 120, 2)))

    @case("V5")
    def test_the_rate_holds_by_the_clock_of_redis_when_the_node_is_killed(self):
        b = self.start()
        bury(self.store, "q/t", 300)
        act = self.act_begins("replay", rate=50)
        grants = []

        def watch():
            done = int(self.progress(act)[0] or 0)
            seconds, us = map(int, self.store.cmd("TIME"))
            grants.append((seconds * 1000 + us / 1000, done))
            return done

        b.kill()
        b.start()
        wait_until(lambda: watch() >= 100, 60)
        b.kill()
        b.start()
        wait_until(lambda: watch() >= 300, 60)
        # Between two looks at the clock no more than the rate and what is saved.
        for at, done in grants:
            for later, more in grants:
                if later > at and done:
                    self.assertLessEqual(more - done, (later - at) * 0.05 + 51)


if __name__ == "__main__":
    main()

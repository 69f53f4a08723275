#!/usr/bin/env python3
"""A pause says since when, by whom and why, on every node and after a restart."""

import json

from harness import Case, case, equals, main, wait_until


class Pause(Case):
    @case("V7")
    def test_who_when_and_why_survive_a_restart(self):
        redis = self.redis()
        b = self.broker("a", self.waiting(redis.address))
        r = b.ctl("topic", "pause", "q/t", "--reason", 'deploy of "shop"\n7')
        self.assertEqual(r.status, 0)
        stored = json.loads(redis.cmd("HGET", "pb:{q}:p", "t"))
        self.assertEqual((stored["by"], stored["reason"]), ("token at a", 'deploy of "shop"\n7'))
        since = stored["since"]
        other = self.broker("b", self.waiting(redis.address))
        b.stop()
        b.start()
        for broker in (b, other):
            equals(lambda: broker.topic("q/t")["state"], "paused", 20)
            t = broker.topic("q/t")
            self.assertEqual(t["pause"], {"since_ms": since, "by": "token at a", "reason": 'deploy of "shop"\n7'})
            self.assertEqual(t["since_ms"], since)
            self.assertRegex(broker.ctl("topic", "ls").out, r'paused by an operator \(token at a\): deploy of "shop" 7')
            self.assertRegex(broker.ctl("topic", "show", "q/t").out, "paused since .*: paused by an operator")
            self.assertRegex(broker.ctl("status").out, r'q/t since .* by token at a: deploy of "shop" 7')
        self.assertEqual(b.ctl("topic", "resume", "q/t").status, 0)
        wait_until(lambda: other.topic("q/t")["state"] != "paused", 20)
        self.assertIsNone(b.topic("q/t")["pause"])
        self.assertNotIn("paused topics", b.ctl("status").out)

    @case("V7")
    def test_the_api_takes_a_reason_and_old_values_are_read(self):
        redis = self.redis()
        b = self.broker("a", self.waiting(redis.address))
        a = b.admin.post("/api/v1/topics/q/t/pause", {"reason": "x" * 500})
        self.assertEqual(a.status, 400)
        self.assertEqual(b.admin.post("/api/v1/topics/q/t/pause", {"reason": 7}).status, 400)
        a = b.admin.post("/api/v1/topics/q/t/pause")
        self.assertEqual((a.status, a.json["paused"]), (200, True))
        b.stop()
        redis.cmd("HSET", "pb:{q}:p", "t", "1")
        b.start()
        equals(lambda: b.topic("q/t")["state"], "paused", 20)
        self.assertEqual(b.topic("q/t")["why"], "paused by an operator")
        self.assertEqual(b.topic("q/t")["pause"], {"since_ms": None, "by": "", "reason": ""})

    def test_the_log_tells_of_a_pause_that_the_storage_has_and_of_no_other(self):
        redis = self.redis()
        b = self.broker("a", self.waiting(redis.address))
        redis.stop()
        wait_until(lambda: b.admin.get("/api/v1/topics/q/t").json["state"] == "waiting", 20)
        self.assertEqual(b.ctl("topic", "pause", "q/t", "--reason", "in vain").status, 1)
        redis.start()
        b.wait_ready()
        self.assertEqual(b.ctl("topic", "pause", "q/t", "--reason", "deploy").status, 0)
        self.assertEqual(b.ctl("topic", "resume", "q/t").status, 0)
        said = [l for l in b.log_text().splitlines() if "paused by" in l or "resumed by" in l]
        self.assertEqual([l.partition("q/t: ")[2] for l in said], ["paused by token at a: deploy", "resumed by token at a"])


if __name__ == "__main__":
    main()

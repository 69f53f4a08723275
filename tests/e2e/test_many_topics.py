"""A broker with many topics: reloads, lists and stops are whole and right, however many turns they take."""

import json
import re
import threading

from harness import Case, case, main, wait_until

TOPICS = 600


class ManyTopics(Case):
    def ini(self, numbers, workers=2):
        text = [f"[storage main]\naddress = {self.server.address}\n[pool p]\nrun_type = exec\nmax_connections = 4\n"]
        for i in numbers:
            text.append(f"[queue q{i}]\npassword = secret-pw\n[topic q{i}/t]\npool = p\nentry = /bin/true\n"
                        f"workers = {workers}\nenabled = {'yes' if i < 3 else 'no'}\n[topic q{i}/u]\npool = p\n"
                        f"entry = /bin/true\nenabled = no\n")
        return "\n".join(text)

    def start(self, n=TOPICS):
        self.server = self.redis()
        return self.broker("a", self.ini(range(n)))

    def names(self, b, **kw):
        return {t["topic"] for t in b.admin.get("/api/v1/topics", **kw).json["topics"]}

    def wanted(self, numbers):
        return {f"q{i}/{t}" for i in numbers for t in "tu"}

    def test_pages_hold_every_topic_once(self):
        b = self.start(40)
        for kind, name, want in (("topics", "topic", self.wanted(range(40))), ("queues", "queue", {f"q{i}" for i in range(40)})):
            seen, cursor = [], ""
            while cursor is not None:
                page = b.admin.get(f"/api/v1/{kind}?limit=7&cursor={cursor}").json
                self.assertLessEqual(len(page[kind]), 7)
                self.assertEqual((page["total"], page["exact"]), (len(want), True))
                seen += [one[name] for one in page[kind]]
                cursor = page["cursor"]
            self.assertEqual(seen, sorted(want))
        self.assertNotIn("total", b.admin.get("/api/v1/topics").json, "without limit all of them, as ever")
        self.assertEqual(b.admin.get("/api/v1/topics?limit=1001").status, 400)
        one = b.admin.get("/api/v1/topics?queue=q7&limit=1").json
        self.assertEqual((one["topics"][0]["topic"], one["total"], one["cursor"]), ("q7/t", 2, "q7/t"))

    @case("X7")
    def test_a_reload_is_applied_whole_while_producers_go_on(self):
        b = self.start()
        stop, failed, pushed = threading.Event(), [], [0]

        def produce():
            with b.client("q0:secret-pw") as c:
                while not stop.is_set():
                    reply = json.loads(c.call("LPUSH", "q0", "job"))
                    pushed[0] += 1
                    if reply["error"]:
                        failed.append(reply)

        t = threading.Thread(target=produce)
        t.start()
        for numbers, workers in ((range(TOPICS), 3), (range(100, TOPICS + 100), 3), (range(TOPICS), 2)):
            numbers = sorted({0, 1, 2} | set(numbers))
            b.write(self.ini(numbers, workers))
            answer = b.admin.post("/api/v1/reload", {})
            self.assertEqual((answer.status, answer.json.get("reloaded")), (200, True), answer)
            self.assertEqual(self.names(b), self.wanted(numbers))
            self.assertEqual({q["queue"] for q in b.admin.get("/api/v1/queues").json["queues"]},
                             {f"q{i}" for i in numbers})
            self.assertEqual(b.topic("q0/t")["workers"], workers)
            self.assertEqual(b.topic(f"q{numbers[-1]}/t")["workers"], workers)
        stop.set()
        t.join()
        self.assertEqual(failed, [])
        wait_until(lambda: b.topic("q0/t")["counters"]["done"] == pushed[0], 60)

    @case("X7")
    def test_reloads_that_are_asked_for_at_once_wait_for_each_other(self):
        b = self.start()
        answers = []
        for workers in (3, 4, 5):
            b.write(self.ini(range(TOPICS), workers))
            threads = [threading.Thread(target=lambda: answers.append(b.admin.post("/api/v1/reload", {})))
                       for _ in range(3)]
            for t in threads:
                t.start()
            b.reload(wait=False)
            for t in threads:
                t.join()
        self.assertEqual([a.status for a in answers], [200] * 9)
        wait_until(lambda: b.topic(f"q{TOPICS - 1}/t")["workers"] == 5)
        b.write("[nonsense]\n")
        self.assertEqual(b.admin.post("/api/v1/reload", {}).status, 400)
        self.assertEqual(b.topic("q0/t")["workers"], 5)

    @case("X7")
    def test_lists_are_whole_and_no_turn_is_long(self):
        b = self.start(1500)
        self.assertEqual(self.names(b), self.wanted(range(1500)))
        self.assertEqual({t["topic"] for t in b.admin.get("/api/v1/topics?queue=q7").json["topics"]}, {"q7/t", "q7/u"})
        self.assertEqual(b.admin.get("/api/v1/topics?queue=nosuch").status, 404)
        topics = b.ctl("topic", "ls", "--json").json["topics"]
        self.assertEqual(len(topics), 3000)
        self.assertTrue(all(t["counts"] for t in topics))
        config = b.admin.get("/api/v1/config").json["config"]
        self.assertEqual(config.count("[topic q"), 3000)
        self.assertIn("pepperbus_loop_turn_cpu_seconds_max", b.admin.get("/metrics").text)
        self.assertEqual(b.stop(), 0)
        self.assertRegex(b.log_text(), r"longest turn of the event loop took [0-9.]+ ms")

    @case("X7")
    def test_a_stop_amid_a_reload_is_clean(self):
        b = self.start()
        b.write(self.ini(range(TOPICS, 2 * TOPICS)))
        b.reload(wait=False)
        self.assertEqual(b.stop(), 0)
        b.start()
        self.assertEqual(self.names(b), self.wanted(range(TOPICS, 2 * TOPICS)))


if __name__ == "__main__":
    main()

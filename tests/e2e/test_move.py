#!/usr/bin/env python3
"""Topics that move to another storage, or get another name: nothing is lost, nothing runs twice."""

import re
import threading
from collections import Counter

from harness import Case, bury, case, equals, main, wait_until


class Move(Case):
    def setUp(self):
        super().setUp()
        self.one, self.two = self.redis("one"), self.redis("two")

    def ini(self, topics, pool="none.sock"):
        """`topics`: "queue/topic:storage", or "queue:" for one without."""
        queues = sorted({t.partition(":")[0].partition("/")[0] for t in topics})
        return f"""
[storage one]
address = {self.one.tcp if not self.proxy else self.proxy.address}
lease = 2s
[storage two]
address = {self.two.tcp}
lease = 2s
[pool p]
run_type = cgi
address = unix:{self.dir}/{pool}
max_connections = 4
""" + "".join(f"[queue {q}]\npassword = a-long-password\n" for q in queues) + "".join(
            f"[topic {t.partition(':')[0]}]\nstorage = {t.partition(':')[2]}\npool = p\n"
            f"entry = {self.worker('log.php')}\n" for t in topics if "/" in t)

    proxy = None

    def fill(self, b, queue="q", redis=None, topic="a"):
        """5 ready, 1 retry, 3 dead, 2 delayed; the ids by place."""
        redis = redis or self.one
        ready = b.push(queue, *[f"ready{i}" for i in range(5)])
        retry = bury(redis, f"{queue}/{topic}", 1, first=1, content=b"retry", kind="r")
        dead = bury(redis, f"{queue}/{topic}", 3, first=10, content=b"dead")
        with b.client(f"{queue}:a-long-password") as c:
            delayed = [c.call("ADDJOB", queue, f"later{i}", "0", "DELAY", "3600") for i in range(2)]
        self.assertEqual(len(delayed), 2)
        return ready, retry, dead

    def counts(self, b, path):
        t = b.topic(path)
        return [t[k] for k in ("ready", "running", "retry", "dead", "delayed")]

    def handled(self, name="handled.q.a"):
        return Counter(line.split(" ", 1)[1] for line in self.lines(name))

    @case("L12", "V4")
    def test_the_storage_of_a_queue_changes(self):
        b = self.broker("a", self.ini(["q/a:one"]))
        self.fill(b)
        b.ctl("topic", "pause", "q/a", "--reason", "moving")
        self.one.cmd("XADD", "pb:{q}:e:a", "*", "i", "1", "c", "500", "n", "a", "m", "how it began")
        b.reload(self.ini(["q/a:two"]))
        wait_until(lambda: b.logged(r"q/a: .*has 5 jobs and 4 failed.*another storage now.*topic move q/a"))
        stray = b.admin.get("/api/v1/queues/q/stray").json["stray"]
        self.assertEqual(stray, [{"topic": "a", "storage": "one", "ready": 5, "running": 0, "retry": 1,
                                  "dead": 3, "delayed": 2}])
        self.assertRegex(b.ctl("topic", "stray", "q").out, r"q/a +one +5 +0 +1 +3 +2")
        self.assertRegex(b.ctl("status").out, r"q/a in storage one: 5 ready")
        self.assertEqual(b.metrics()['pepperbus_stray_jobs{storage="one",queue="q",topic="a",place="ready"}'], 5)
        r = b.ctl("topic", "move", "q/a", "--to", "one")
        self.assertEqual((r.status, "configured for storage two" in r.err), (1, True))
        r = b.ctl("topic", "move", "q/a", "--to", "two")
        self.assertEqual((r.status, r.out), (0, "q/a: moved 5 ready, 1 to be retried, 3 dead, 2 delayed\n"))
        # What was ready waits in the retry set, due at once.
        self.assertEqual(self.counts(b, "q/a"), [0, 0, 6, 3, 2])
        self.assertEqual((b.topic("q/a")["state"], b.topic("q/a")["pause"]["reason"]), ("paused", "moving"))
        self.assertIn("how it began", b.ctl("topic", "errors", "q/a").out)
        self.assertEqual([k for k in self.one.cmd("KEYS", "pb:{q}*") if ":act:" not in k], [])
        self.assertEqual(b.ctl("topic", "move", "q/a").status, 4)
        self.assertEqual(b.admin.get("/api/v1/queues/q/stray").json["stray"], [])

    @case("L12")
    def test_one_of_two_topics_moves_and_each_job_runs_once(self):
        fpm = self.fpm()
        first, then = self.ini(["q/a:one", "q/b:one"]), self.ini(["q/a:two", "q/b:one"])
        b = self.broker("a", first)
        ready = b.push("q", "r1", "r2", "r3")
        with b.client("q:a-long-password") as c:
            c.call("ADDJOB", "q", "soon", "0", "DELAY", "3")
            c.call("ADDJOB", "q", "later", "0", "DELAY", "3600")
        bury(self.one, "q/a", 2, content=b"dead")
        b.reload(then)
        wait_until(lambda: b.topic("q/a")["storage"] == "two")
        self.assertEqual(len(ready), 3)
        after = b.push("q", "n1", "n2")  # in both storages: not for the move to carry
        with b.client("q:a-long-password") as c:
            c.call("ADDJOB", "q", "both", "0", "DELAY", "2")
        self.assertEqual(len(after), 2)
        equals(lambda: b.admin.get("/api/v1/queues/q/stray").json["stray"][0]["ready"], 5)
        r = b.ctl("topic", "move", "q/a")
        self.assertEqual((r.status, r.out), (0, "q/a: moved 3 ready, 0 to be retried, 2 dead, 2 delayed\n"))
        b.reload(then.replace(f"unix:{self.dir}/none.sock", fpm.address))
        want = Counter(["r1", "r2", "r3", "n1", "n2", "soon", "both"])
        equals(lambda: self.handled("handled.q.a"), want, 20)
        equals(lambda: self.handled("handled.q.b"), want, 20)
        t = b.topic("q/a")
        self.assertEqual((t["dead"], t["retry"]), (2, 1))
        b.ctl("topic", "replay", "q/a", "--all")
        equals(lambda: self.handled("handled.q.a"), want + Counter({"dead": 2, "later": 1}), 20)

    @case("L12")
    def test_a_topic_is_renamed(self):
        fpm = self.fpm()
        b = self.broker("a", self.ini(["q/a:one"]))
        self.fill(b)
        b.ctl("topic", "pause", "q/a")
        b.reload(self.ini(["q/b:one"]))
        wait_until(lambda: b.logged(r"q/a: is not configured"))
        b.push("q", "new1", "new2")  # both names get them
        self.assertEqual(b.ctl("topic", "rename", "q/b", "q/none").status, 4)
        r = b.ctl("topic", "rename", "q/a", "q/b")
        self.assertEqual((r.status, r.out), (0, "q/b: moved 5 ready, 1 to be retried, 3 dead, 0 delayed\n"))
        self.assertEqual(self.counts(b, "q/b"), [2, 0, 6, 3, 2])
        self.assertEqual(b.topic("q/b")["state"], "paused")
        b.reload(self.ini(["q/b:one"]).replace(f"unix:{self.dir}/none.sock", fpm.address))
        b.ctl("topic", "resume", "q/b")
        want = Counter([f"ready{i}" for i in range(5)] + ["new1", "new2"])
        equals(lambda: self.handled("handled.q.b"), want, 20)
        b.ctl("topic", "replay", "q/b", "--all")
        equals(lambda: self.handled("handled.q.b"), want + Counter({"dead": 3, "retry": 1}), 20)

    @case("L12")
    def test_a_paused_topic_is_renamed_on_one_node_after_the_other_and_each_job_runs_once(self):
        """As doc/operating.md says it, with jobs before, between and after the reloads."""
        fpm = self.fpm()
        old, new = (self.ini([f"q/{t}:one"]).replace(f"unix:{self.dir}/none.sock", fpm.address) for t in "ab")
        nodes = [self.broker("a", old), self.broker("b", old)]
        nodes[0].ctl("topic", "pause", "q/a")
        wait_until(lambda: nodes[1].topic("q/a")["state"] == "paused", 20)
        want = []

        def push(moment):
            for b in nodes:
                want.append(f"{moment}-{b.name}")
                b.push("q", want[-1])

        push("before")
        for b, moment in zip(nodes, ("between", "after")):
            b.reload(new)
            wait_until(lambda b=b: b.logged(r"q/a: is not configured"))
            push(moment)
        equals(lambda: sorted(self.handled("handled.q.b")), sorted(want[2:]), 20)  # new jobs run meanwhile
        r = nodes[0].ctl("topic", "rename", "q/a", "q/b")
        self.assertEqual((r.status, r.out), (0, "q/b: moved 2 ready, 0 to be retried, 0 dead, 0 delayed\n"))
        self.assertEqual(self.counts(nodes[0], "q/b"), [0, 0, 2, 0, 0])
        nodes[1].ctl("topic", "resume", "q/b")
        equals(lambda: self.handled("handled.q.b"), Counter(want), 20)
        self.assertEqual(self.lines("handled.q.a"), [])

    @case("L12", "V4")
    def test_a_queue_is_renamed(self):
        b = self.broker("a", self.ini(["q/a:one", "r/a:one"]))
        self.fill(b)
        b.reload(self.ini(["r/a:one"]))
        wait_until(lambda: b.logged(r"q: is not configured any more and has \d+ jobs"))
        self.assertRegex(b.ctl("topic", "stray", "q").out, r"q/a +one +5 +0 +1 +3 +2")
        r = b.ctl("topic", "rename", "q/a", "r/a")
        self.assertEqual((r.status, r.out), (0, "r/a: moved 5 ready, 1 to be retried, 3 dead, 2 delayed\n"))
        self.assertEqual(self.counts(b, "r/a"), [0, 0, 8, 3, 0])
        self.assertEqual([k for k in self.one.cmd("KEYS", "pb:{q}*") if ":act:" not in k], [])

    @case("V7", "L12")
    def test_a_reload_says_what_changed(self):
        b = self.broker("a", self.ini(["q/a:one", "q/b:one"]))
        b.write(self.ini(["q/a:two", "q/c:one"]).replace("max_connections = 4", "max_connections = 3"))
        r = b.ctl("config", "reload")
        self.assertRegex(r.out, r"(?m)^added: topic q/c$")
        self.assertRegex(r.out, r"(?m)^changed: pool p, topic q/a$")
        self.assertRegex(r.out, r"(?m)^removed: topic q/b$")
        self.assertRegex(r.err, r"q/a uses storage two now.*topic move q/a")
        b.write(b.ini.replace("a-long-password", "another-password"))
        self.assertRegex(b.ctl("config", "reload").out, r"(?m)^changed: queue q")
        self.assertRegex(b.ctl("config", "reload").out, r"(?m)^nothing changed$")
        # Secrets are shown nowhere; that one is another is.
        b.write(b.ini + "signing_key = 0123456789abcdef-one\n")
        self.assertRegex(b.ctl("config", "reload").out, r"(?m)^changed: topic q/c$")
        b.write(b.ini.replace("abcdef-one", "abcdef-two"))
        self.assertRegex(b.ctl("config", "reload").out, r"(?m)^changed: topic q/c$")

    @case("V4")
    def test_a_queue_whose_only_topic_was_removed_shows_it(self):
        b = self.broker("a", self.ini(["q/a:one", "r/a:one"]))
        self.fill(b)
        b.reload(self.ini(["q:", "r/a:one"]))
        equals(lambda: [s["ready"] for s in b.admin.get("/api/v1/queues/q/stray").json["stray"]], [5])
        wait_until(lambda: "q/a" in b.ctl("status").out)
        self.assertEqual(b.ctl("topic", "drop", "q/a", "--yes").status, 0)
        self.assertEqual(b.admin.get("/api/v1/queues/q/stray").json["stray"], [])
        self.assertEqual(b.admin.get("/api/v1/queues/none/stray").status, 404)

    @case("L12")
    def test_killed_in_the_middle_nothing_is_lost_and_nothing_runs_twice(self):
        fpm = self.fpm()
        self.proxy = self.tcp_proxy(self.one.tcp)
        b = self.broker("a", self.ini(["q/a:one"]))
        n = 1500
        for i in range(0, n, 500):
            b.push("q", *[f"ready{k}" for k in range(i, i + 500)])
        bury(self.one, "q/a", n, content=b"dead")
        b.ctl("topic", "pause", "q/a")  # it is carried over: nothing runs before all is there
        self.proxy.delay(0.03)
        b.reload(self.ini(["q/a:two"], "fpm.sock").replace(f"unix:{self.dir}/fpm.sock", fpm.address))
        wait_until(lambda: b.topic("q/a")["storage"] == "two")
        a = b.admin.post("/api/v1/topics/q/a/move")
        self.assertEqual(a.status, 202)
        act = a.json["act"]["id"]
        for wanted in (n // 3, n):  # it is killed twice
            wait_until(lambda w=wanted: b.admin.get(f"/api/v1/acts/{act}").json["done"] >= w, 30)
            b.kill()
            b.start()
        self.proxy.delay(0)
        wait_until(lambda: b.admin.get(f"/api/v1/acts/{act}").json["state"] == "done", 60)
        self.assertEqual(b.admin.get(f"/api/v1/acts/{act}").json["done"], 2 * n)
        self.assertEqual(self.counts(b, "q/a"), [0, 0, n, n, 0])
        b.ctl("topic", "resume", "q/a")
        equals(lambda: b.unfinished("q/a"), 0, 60)
        self.assertEqual(set(self.handled().values()), {1})
        self.assertEqual(len(self.handled()), n)

    @case("L12")
    def test_jobs_that_run_are_left_until_they_end(self):
        fpm = self.fpm()
        ini = self.ini(["q/a:one"]).replace(f"unix:{self.dir}/none.sock", fpm.address)
        ini = ini.replace(self.worker("log.php"), self.write("slow.php", """<?php
if ($_POST['type'] === 'ping') { header('Code: 200'); header('Consume-Topics: q/a'); exit; }
file_put_contents(__DIR__ . '/began', 'x', FILE_APPEND);
while (!file_exists(__DIR__ . '/go')) { usleep(10000); clearstatcache(); }
file_put_contents(__DIR__ . '/ended', 'x', FILE_APPEND);
header('Code: 200');
"""))
        b = self.broker("a", ini)
        b.push("q", "one")
        wait_until(lambda: (self.dir / "began").exists(), 20)
        b.reload(ini.replace("storage = one", "storage = two"))
        wait_until(lambda: b.admin.get("/api/v1/queues/q/stray").json["stray"], 10)
        # The topic starts in its new storage when its running jobs have ended.
        self.assertIn(b.admin.post("/api/v1/topics/q/a/move").status, (202, 404, 503))
        self.write("go", "")
        equals(lambda: (self.dir / "ended").exists(), True, 20)
        wait_until(lambda: b.topic("q/a")["storage"] == "two", 20)
        wait_until(lambda: b.ctl("topic", "move", "q/a").status in (0, 4), 20)
        equals(lambda: b.admin.get("/api/v1/queues/q/stray").json["stray"], [], 20)
        self.assertEqual((self.dir / "began").read_text(), "x")

    def begin_a_move(self, dead=2000, ready=200):
        """The broker, and an act that stands still in the middle, until the proxy is released: it has jobs in hand, and
        nothing that it sends to their storage arrives."""
        self.proxy = self.tcp_proxy(self.one.tcp)
        b = self.broker("a", self.ini(["q/a:one"]))
        b.push("q", *[f"ready{k}" for k in range(ready)])
        if dead:
            bury(self.one, "q/a", dead, content=b"dead")
        b.reload(self.ini(["q/a:two"]))
        wait_until(lambda: b.topic("q/a")["storage"] == "two")
        came, held = [0], threading.Event()

        def hold_after_400(data):
            came[0] += len(re.findall(rb"ready\d+|dead", data))
            if came[0] >= 400:
                self.proxy.change(None)
                self.proxy.hold()
                held.set()
            return data

        self.proxy.change(hold_after_400)
        act = b.admin.post("/api/v1/topics/q/a/move").json["act"]["id"]
        self.assertTrue(held.wait(60), "the move takes 400 jobs")
        return b, act

    @case("L12")
    def test_the_source_is_taken_out_of_the_configuration_in_the_middle(self):
        b, act = self.begin_a_move()
        whole = b.ini
        self.two.pause()
        self.proxy.hold(False)  # a batch is on its way there
        b.reload(whole.replace(whole[whole.index("[storage one]"):whole.index("[storage two]")], ""))
        wait_until(lambda: "pepperbus" not in self.one.cmd("CLIENT", "LIST"))
        self.two.resume()
        wait_until(lambda: "storage one is not configured" in b.admin.get(f"/api/v1/acts/{act}").json["note"], 20)
        b.reload(whole)
        wait_until(lambda: b.admin.get(f"/api/v1/acts/{act}").json["state"] == "done", 60)
        self.assertEqual(self.counts(b, "q/a"), [0, 0, 200, 2000, 0])

    @case("L12")
    def test_a_cancelled_one_gives_back_what_it_has_in_hand(self):
        b, act = self.begin_a_move(0, 1500)
        pending = ["XPENDING", "pb:{q}:s", "a", "-", "+", "1", f"act:{act}"]
        b.kill()
        self.proxy.cut()  # what it has sent never arrives
        self.proxy.hold(False)
        self.assertEqual(self.two.cmd("HGET", f"pb:{{@}}:act:{act}", "state"), "running")
        self.assertTrue(self.one.cmd(*pending))
        b.write(self.ini(["q/a:one"]))  # back to where it was
        b.start()
        self.assertEqual(b.admin.post(f"/api/v1/acts/{act}/cancel").status, 200)
        wait_until(lambda: b.admin.get(f"/api/v1/acts/{act}").json["state"] == "cancelled", 20)
        self.assertEqual(self.one.cmd(*pending), [])
        moved = self.two.cmd("ZCARD", "pb:{q}:r:a")
        t = b.topic("q/a")
        self.assertEqual((t["running"], t["ready"] + t["retry"] + moved), (0, 1500))


if __name__ == "__main__":
    main()

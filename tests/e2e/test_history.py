#!/usr/bin/env python3
"""Figures that are kept: rows of minutes and hours, signatures of failures, marks.

A reload writes at once what would be written with the minute; one test waits for the minute itself.
"""

import time

from harness import Case, bury, case, equals, main, wait_until

HISTORY = "/api/v1/topics/q/t/history"
HOUR = 3600000


def number(v):
    """7 bits a byte, the lowest first."""
    out = b""
    while v >= 0x80:
        out, v = out + bytes([v & 0x7f | 0x80]), v >> 7
    return out + bytes([v])


def row(seq, accepted, done):
    """A row as doc/store-layout.md has it, without failures and times."""
    return b"\x01" + b"".join(number(v) for v in (seq, 60, accepted, done, 0, 0, 0, 0, 0, 0, 0))


class History(Case):
    def setUp(self):
        super().setUp()
        self.server = self.redis("one")
        self.answer = (200, "")
        self.web = self.http(lambda request: self.answer)

    def ini(self, *topics, more=""):
        return f"""
[storage main]
address = {self.server.address}
[pool w]
run_type = http
max_connections = 4
""" + "".join(f"[queue {q}]\npassword = secret-pw\n" for q in sorted({t.split("/")[0] for t in topics})) + \
            "".join(f"[topic {t}]\npool = w\nentry = {self.web.address}/{t}\nattempts = 1\n{more}" for t in topics)

    def sums(self, b, *members, path=HISTORY, query=""):
        got = b.admin.get(path + query)
        self.assertEqual(got.status, 200, got.text)
        return [sum(r[m] for r in got.json["rows"]) for m in members]

    def written(self, b, done, path=HISTORY, query=""):
        """A reload writes the rows; waits until they have so many jobs that are done."""
        b.reload()
        equals(lambda: self.sums(b, "done", path=path, query=query), [done], 20)

    def run_jobs(self, b, n, topic="q/t"):
        b.push(topic.split("/")[0], *["job"] * n)
        wait_until(lambda: b.unfinished(topic) == 0, 20)

    def test_lines_of_several_topics(self):
        b = self.broker("a", self.ini("q/t", "q/u", "r/t"))
        lines = "/api/v1/topics/lines?topics="
        first = b.admin.get(lines + "q/t").json["from_ms"]
        for i, (minute, done) in enumerate(((-5, 6), (10, 3), (10, 4), (58, 5))):
            self.server.cmd("XADD", "pb:{q}:hm:t", f"{first + minute * 60000}-{i}", "n", "a", "b", row(i, 9, done), "g", "0 0 0 0 0")
        got = b.admin.get(lines + "q/t,q/u,nosuch/t,r/t").json
        self.assertEqual((got["step_s"], got["exact"], [x["topic"] for x in got["lines"]]), (60, True, ["q/t"]))
        shift = (got["from_ms"] - first) // 60000  # a minute may have passed
        done = got["lines"][0]["done"]
        self.assertEqual((len(done), done[10 - shift], done[58 - shift], sum(done)), (60, 7, 5, 12))
        self.assertEqual(b.admin.get("/api/v1/topics/lines").status, 400)
        self.assertEqual(b.admin.get(lines + ",".join(["q/t"] * 101)).status, 400)
        self.server.stop()
        wait_until(lambda: not b.admin.get(lines + "q/t").json["exact"], 20)

    @case("V8")
    def test_rows_signatures_and_marks(self):
        b = self.broker("a", self.ini("q/t"))
        self.run_jobs(b, 20)
        self.answer = (500, "user 17 has no mail")
        b.push("q", "bad", "worse")
        equals(lambda: b.topic("q/t")["dead"], 2, 20)
        # A new signature does not wait for its minute.
        wait_until(lambda: b.admin.get("/api/v1/topics/q/t/signatures").json["signatures"], 20)
        self.written(b, 20)
        self.assertEqual(self.sums(b, "accepted", "done", "failed", "dead"), [22, 20, 2, 2])
        rows = b.admin.get(HISTORY).json["rows"]
        self.assertEqual(sum(r["wait"]["count"] for r in rows), 22)
        self.assertEqual(max(r["failed_jobs"] for r in rows), 2)
        self.assertTrue(all(r["at_ms"] % 60000 == 0 for r in rows))
        def known():
            return [(s["text"], s["code"], s["count"]) for s in b.admin.get("/api/v1/topics/q/t/signatures").json["signatures"]]
        equals(known, [("user # has no mail", 500, 2)], 20)
        self.assertEqual(b.ctl("mark", "shop 7").status, 0)
        marks = [(m["kind"], m["text"], m["node"]) for m in b.admin.get(HISTORY).json["marks"]]
        self.assertIn(("deploy", "shop 7", "a"), marks)
        self.assertIn("start", [m[0] for m in marks])
        out = b.ctl("topic", "history", "q/t")
        self.assertEqual(out.status, 0, out.err)
        self.assertRegex(out.out, "(?s)ACCEPTED.*deploy: shop 7")
        self.assertEqual(self.sums(b, "done", path="/api/v1/nodes/a/history"), [20])
        self.assertEqual(self.sums(b, "done", path="/api/v1/history"), [20])
        for query in ("?step=61", "?step=0", "?step=5400", "?junk=1"):
            self.assertEqual(b.admin.get(HISTORY + query).status, 400, query)
        self.assertEqual(b.admin.post("/api/v1/marks", {"kind": "start", "text": "x"}).status, 400)

    @case("V8")
    def test_a_minute_writes_a_row_and_idle_topics_none(self):
        b = self.broker("a", self.ini("q/t", "idle/t"))
        self.run_jobs(b, 3)
        wait_until(lambda: self.sums(b, "done") == [3], 80)
        self.assertEqual(self.server.cmd("XLEN", "pb:{q}:hm:t"), 1)
        self.assertEqual(self.server.cmd("KEYS", "pb:{idle}:h*"), [])
        self.assertEqual(self.server.cmd("EXISTS", "pb:{q}:sig:t"), 0)

    @case("V8")
    def test_a_kill_loses_the_last_minute_alone(self):
        b = self.broker("a", self.ini("q/t"))
        self.run_jobs(b, 5)
        self.written(b, 5)
        self.run_jobs(b, 4)
        b.kill()
        b.start()
        self.assertEqual(self.sums(b, "done"), [5])
        self.run_jobs(b, 2)
        b.stop()  # a clean stop writes what it has
        b.start()
        self.assertEqual(self.sums(b, "done", "accepted"), [7, 7])

    @case("V8")
    def test_two_nodes_put_an_hour_together_once(self):
        hour = int(time.time() * 1000) // HOUR * HOUR - HOUR
        for i in range(6):
            self.server.cmd("XADD", "pb:{q}:hm:t", f"{hour + i * 60000}-0", "n", "ab"[i % 2], "b", row(i, 10, 7),
                            "g", f"{i} 0 0 0 0")
        a, b = self.broker("a", self.ini("q/t")), self.broker("b", self.ini("q/t"))
        self.assertEqual(self.sums(a, "done", query=f"?step=3600&from={hour}"), [42])
        for n in range(1, 4):  # the first row is answered with the hour, a later one brings it
            for node in (a, b):
                node.push("q", "job")
            wait_until(lambda: a.unfinished("q/t") == 0, 20)
            a.reload()
            b.reload()
            equals(lambda: self.sums(a, "done", query=f"?step=3600&from={hour}"), [42 + 2 * n], 20)
        hours = self.server.cmd("XRANGE", "pb:{q}:hh:t", "-", "+")
        self.assertEqual([h[0] for h in hours], [f"{hour}-1"])
        rows = a.admin.get(HISTORY + f"?step=3600&from={hour}").json["rows"]
        self.assertEqual((rows[0]["at_ms"], rows[0]["done"], rows[0]["accepted"], rows[0]["ready"]), (hour, 42, 60, 5))
        self.assertEqual(self.sums(a, "done", query=f"?from={hour}"), [48])

    @case("V8", "L12")
    def test_figures_go_with_their_topic(self):
        b = self.broker("a", self.ini("q/t"))
        self.run_jobs(b, 6)
        self.answer = (500, "no luck")
        b.push("q", "bad")
        equals(lambda: b.topic("q/t")["dead"], 1, 20)
        self.answer = (200, "")
        self.written(b, 6)
        b.reload(self.ini("q/new"))
        wait_until(lambda: b.admin.get("/api/v1/topics/q/new").status == 200, 20)
        r = b.ctl("topic", "rename", "q/t", "q/new")
        self.assertEqual(r.status, 0, r.err)
        path = "/api/v1/topics/q/new/"
        equals(lambda: self.sums(b, "done", "failed", path=path + "history"), [6, 1], 20)
        self.assertEqual([s["text"] for s in b.admin.get(path + "signatures").json["signatures"]], ["no luck"])
        self.assertEqual(self.server.cmd("KEYS", "pb:{q}:*:t"), [])
        b.reload(self.ini("q/other"))
        wait_until(lambda: b.admin.get("/api/v1/topics/q/other").status == 200, 20)
        self.assertEqual(b.admin.post("/api/v1/queues/q/drop", {"topic": "new"}).status, 200)
        self.assertEqual(self.server.cmd("KEYS", "pb:{q}:*:new"), [])

    @case("V5", "V8")
    def test_the_first_signature_is_kept_behind_100000_others(self):
        b = self.broker("a", self.ini("q/t", more="chunk = 500\nchunk_wait = 100ms\n"))
        def texts():
            return {s["text"]: s["count"] for s in b.admin.get("/api/v1/topics/q/t/signatures").json["signatures"]}
        self.answer = (500, "the first one")
        b.push("q", "bad")
        wait_until(lambda: texts() == {"the first one": 1}, 20)
        self.answer = (500, "order 4711 is lost")
        with b.client("q:secret-pw") as c:
            for _ in range(200):
                c.call("LPUSH", "q", *["x"] * 500)
        equals(lambda: b.topic("q/t")["dead"], 100001, 120)
        b.reload()
        equals(texts, {"the first one": 1, "order # is lost": 100000}, 20)
        self.assertNotIn("the first one", str(self.server.cmd("XRANGE", "pb:{q}:e:t", "-", "+")))


if __name__ == "__main__":
    main()

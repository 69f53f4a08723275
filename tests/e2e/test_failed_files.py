#!/usr/bin/env python3
"""Failed jobs as files: export as JSON lines and CSV, import of JSON lines, what a kill leaves of it, rights."""

import csv
import http.client
import io
import json
import re
import threading

from harness import SLOW, Case, bury, case, main, wait_until
from people import PeopleCase

EXPORT, IMPORT = "/api/v1/topics/q/t/failed/export", "/api/v1/topics/q/t/failed/import"
LOG = "/api/v1/topics/q/log"


class FailedFiles(Case):
    def start(self, ini=None):
        self.store = self.redis("redis")
        self.proxy = self.tcp_proxy(self.store.tcp)
        return self.broker("a", (ini or self.waiting)(self.proxy.address), server="max_job_size = 1mb")

    def bury_some(self, n, **kw):
        return bury(self.store, "q/t", n, **kw)

    def export(self, b, query="", **kw):
        answer = b.admin.get(EXPORT + query, **kw)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def rows(self, answer):
        return [json.loads(line) for line in answer.text.split("\n") if line]

    def imported(self, b, text, query="", status=200, **kw):
        answer = b.admin.post(IMPORT + query, text.encode(), **kw)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def counts(self, answer):
        return tuple(answer[m] for m in ("lines", "imported", "there", "wrong"))

    def forget(self, topic="t"):
        """All failed jobs go."""
        self.store.cmd("DEL", *[f"pb:{{q}}:{kind}:{topic}" for kind in "rxhb"])

    def keys(self, topic="t"):
        return [self.store.cmd("ZCARD", f"pb:{{q}}:{kind}:{topic}") for kind in "rx"]

    def test_five_thousand_jobs_go_out_and_come_back_as_they_were(self):
        b = self.start()
        self.bury_some(3000, content='{"text": "\u00e4 \u4efb\u52a1 \\" \\u0001"}'.encode(), message="no luck\nat \u4e00")
        self.bury_some(500, first=10000, content=b"\xff\0binary", code=-3)
        self.bury_some(1500, first=20000, kind="r", content=b"+" + b"y" * 700, message="=closed")
        answer = self.export(b)
        self.assertEqual(answer.headers["Content-Disposition"], 'attachment; filename="q.t.failed.jsonl"')
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        before = self.rows(answer)
        self.assertEqual(len({row["id"] for row in before}), 5000)
        self.assertEqual({row.get("encoding") for row in before if row["code"] == -3}, {"base64"})
        self.forget()
        self.assertEqual(self.counts(self.imported(b, answer.text)), (5000, 5000, 0, 0))
        self.assertEqual(self.rows(self.export(b)), before)
        self.assertEqual(self.counts(self.imported(b, answer.text)), (5000, 0, 5000, 0))
        newest = self.rows(self.export(b, "?order=newest"))
        self.assertEqual(sorted(r["id"] for r in newest), sorted(r["id"] for r in before))
        self.assertEqual(newest[0]["state"], "dead")
        cause = next(row["signature"] for row in before if row["code"] == -3)
        self.assertEqual(len(self.rows(self.export(b, f"?signature={cause}"))), 500)
        self.assertEqual(len(self.rows(self.export(b, "?set=retry&content=0"))), 1500)

    def test_a_cell_is_no_formula(self):
        b = self.start()
        texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'a "quoted", text\r\nand more', "plain", ""]
        for i, text in enumerate(texts):
            self.bury_some(1, first=i + 1, content=(text or "x").encode(), message=text, died_ms=1700000000000 + i)
        self.bury_some(1, first=100, content=b"\xff", died_ms=1700000000100)
        answer = self.export(b, "?format=csv")
        self.assertEqual(answer.headers["Content-Disposition"], 'attachment; filename="q.t.failed.csv"')
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        guarded = ["'" + t if i < 6 else t for i, t in enumerate(texts)]
        self.assertEqual([row["message"] for row in rows[:9]], guarded)
        self.assertEqual([row["content"] for row in rows[:8]], guarded[:8])
        self.assertEqual((rows[9]["content"], rows[9]["encoding"]), ("/w==", "base64"))
        self.assertEqual((rows[0]["code"], rows[0]["state"], rows[0]["due_ms"]), ("500", "dead", ""))

    def test_lines_that_are_no_jobs_are_told_by_their_number(self):
        b = self.start()
        self.bury_some(1)
        good = self.export(b).text.strip()
        row = json.loads(good)
        other = lambda **kw: json.dumps({**row, **kw})
        lines = [good, "{", "[]", other(id="x"), other(state="ready"), other(failed=-1), other(code="x"), other(content=""),
                 other(content="%", encoding="base64"), other(content_cut=True), other(died_ms=1 << 60), "", "  \r",
                 json.dumps({k: v for k, v in row.items() if k != "content"}), other(id="17", node=5),
                 other(id="18", state="retry", due_ms=1, origin="19")]
        answer = self.imported(b, "\n".join(lines))
        self.assertEqual(self.counts(answer), (16, 1, 1, 12))
        self.assertEqual([f["line"] for f in answer["faults"]], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15])
        self.assertIn("without contents", answer["faults"][-2]["why"])
        came = next(r for r in self.rows(self.export(b)) if r["id"] == "18")
        self.assertEqual((came["origin"], came["content"], came["state"]), ("19", row["content"], "retry"))
        self.assertGreater(came["due_ms"], row["died_ms"] + 50000)
        self.assertEqual(self.counts(self.imported(b, other(id="20", state="retry"), "?state=dead")), (1, 1, 0, 0))
        self.assertEqual(self.keys(), [1, 2])
        many = self.imported(b, "x\n" * 2000)
        self.assertEqual((many["wrong"], len(many["faults"])), (2000, 100))
        self.assertEqual(self.imported(b, "")["lines"], 0)
        for wrong in ("?state=x", "?set=dead"):
            self.imported(b, good, wrong, 400)
        for wrong in ("?format=xml", "?content=2", "?order=up", "?limit=5", "?set=ready"):
            self.assertEqual(b.admin.get(EXPORT + wrong).status, 400, wrong)
        self.assertEqual(b.admin.post(IMPORT, "x" * (9 << 20)).status, 413)

    def test_a_file_that_is_not_whole_does_not_look_whole(self):
        b = self.start()
        self.bury_some(20000, content=b"y" * 1000)
        conn = http.client.HTTPConnection(*b.admin_address.rsplit(":", 1), timeout=60 * SLOW)
        self.addCleanup(conn.close)
        conn.request("GET", EXPORT, headers={"Authorization": f"Bearer {b.token()}"})
        answer = conn.getresponse()
        answer.read(1000)
        self.store.kill()
        with self.assertRaises(http.client.IncompleteRead):
            answer.read()
        self.assertEqual(b.admin.get(EXPORT).status, 503)

    def test_no_more_than_a_page_is_in_memory(self):
        b = self.start()
        self.bury_some(40000, content=b"z" * 2000)
        self.export(b, "?set=dead&code=1")
        before = b.rss()
        most = [before]
        done = threading.Event()
        watch = threading.Thread(target=lambda: [most.append(b.rss()) for _ in iter(lambda: done.wait(0.01), True)])
        watch.start()
        self.assertEqual(len(self.export(b).text.splitlines()), 40000)
        done.set()
        watch.join()
        if SLOW == 1:
            self.assertLess(max(most) - before, 20 << 20)

    @case("V5")
    def test_an_import_that_a_kill_broke_off_may_be_sent_again(self):
        fpm = self.fpm()
        worker = self.worker("log.php")

        def ini(address):
            text = self.waiting(address).replace("/srv/worker.php", worker).replace("topic q/t", "topic q/log")
            return text.replace(f"unix:{self.dir}/nobody.sock", fpm.address)

        b = self.start(ini)
        for i in range(600):
            bury(self.store, "q/log", 1, first=i + 1, content=b"job %d" % i, kind="r" if i % 2 else "x")
        text = re.sub('"due_ms":[0-9]+', '"due_ms":1', b.admin.get(f"{LOG}/failed/export").text)
        self.assertEqual(text.count('"due_ms":1,'), 300)
        self.forget("log")
        for kill in (lambda: (b.kill(), b.start()), lambda: (self.store.kill(), self.store.start())):
            self.proxy.delay(0.03)
            was = sum(self.keys("log"))
            sent = threading.Thread(target=self.try_import, args=(b, text))
            sent.start()
            wait_until(lambda: sum(self.keys("log")) >= was + 100 or sum(self.keys("log")) == 600, 30)
            kill()
            sent.join()
            self.proxy.delay(0)
        wait_until(lambda: b.admin.get("/readyz", token=None).status == 200, 30)
        wait_until(lambda: b.topic("q/log")["state"] == "open", 30)
        answer = wait_until(lambda: self.again(b, text), 30)
        self.assertEqual((answer["wrong"], answer["imported"] + answer["there"]), (0, 600))
        self.assertEqual(b.lines("handled.q.log"), [])
        self.assertEqual(sum(self.keys("log")), 600)
        self.assertEqual(b.admin.post(f"{LOG}/replay", {"all": True, "set": "both"}).status // 100, 2)
        wait_until(lambda: len(b.lines("handled.q.log")) >= 600 and self.keys("log") == [0, 0], 60)
        ran = [int(line.split()[-1]) for line in b.lines("handled.q.log")]
        self.assertEqual(sorted(ran), list(range(600)))

    def try_import(self, b, text):
        try:
            b.admin.post(f"{LOG}/failed/import", text)
        except (OSError, http.client.HTTPException):
            pass  # the node was killed

    def again(self, b, text):
        answer = b.admin.post(f"{LOG}/failed/import", text)
        return answer.json if answer.status == 200 else None


class WhoMay(PeopleCase):
    def test_contents_and_imports_need_their_rights(self):
        b = self.town(1, {"ann": ("admin", ""), "viewer": ("viewer", ""), "blind": ("operator", "contents = no"),
                          "apart": ("operator", "systems = other")}, """
[system own]
[system other]
[queue q]
system = own
password = a-long-password
[topic q/t]
run_type = exec
entry = /bin/false
attempts = 1
""")
        bury(self.store, "q/t", 3, content=b"of bob", message='shop "bob" is closed')
        tokens = {name: self.token_of(b, name)["token"] for name in ("viewer", "blind", "apart")}
        whole = b.admin.get(EXPORT)
        self.assertEqual(whole.text.count("of bob"), 3)
        for name in ("viewer", "blind"):
            for form in ("jsonl", "csv"):
                answer = b.admin.get(f"{EXPORT}?format={form}", token=tokens[name])
                self.assertEqual(answer.status, 200, answer)
                self.assertNotIn("bob", answer.text)
                self.assertNotIn("content", answer.text)
            for query in ("?content=1", "?body=bob", "?match=bob"):
                self.assertEqual(b.admin.get(EXPORT + query, token=tokens[name]).status, 403, query)
        self.assertEqual(b.admin.get(EXPORT, token=tokens["apart"]).status, 403)
        for name in ("viewer", "apart"):
            self.assertEqual(b.admin.post(IMPORT, whole.text, token=tokens[name]).status, 403, name)
        self.assertEqual(b.admin.post(IMPORT, whole.text, token=tokens["blind"]).json["there"], 3)
        row = self.row(b, what="topics.failed.import", user="blind", result="done")
        self.assertEqual(row["after"]["there"], 3)
        self.assertNotIn("bob", json.dumps(self.rows(b)))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What is to be seen of jobs that fail and of workers that do not take any: log, WHY, errors."""

import json
import threading
import time

from harness import Case, case, main, wait_until


class SeenCase(Case):
    def start(self, handle, topic="", pool=""):
        self.worker_server = self.http(handle)
        return self.broker("a", f"""[storage main]
address = {self.redis().address}
[pool p]
run_type = http
{pool}
[queue q]
password = secret-pw
[topic q/t]
pool = p
entry = {self.worker_server.address}/
backoff = 20ms..20ms
{topic}
""")


class Failures(SeenCase):
    @case("V2")
    def test_failed_and_dead_jobs_are_logged_in_numbers(self):
        b = self.start(lambda r: (500, "no such table: orders"), "attempts = 2\nworkers = 2")
        ids = b.push("q", *["x"] * 200)
        wait_until(lambda: b.topic("q/t")["counts"]["dead"] == 200, 30)
        wait_until(lambda: b.logged(r"q/t: .*attempts? failed"), 10)
        self.assertRegex(b.logged("attempts? failed")[0], "1 attempt failed, 1 to be tried again; the latest, job "
                         rf"({'|'.join(ids)}) \(code 500\): no such table: orders")
        b.stop()  # what was not said yet is said now
        lines = b.logged(r"q/t: .*attempts? failed")
        total = sum(int(line.split("q/t: ")[1].split()[0]) for line in lines)
        dead = sum(int(line.split(" to be tried again")[1].split()[1]) for line in lines if " dead" in line)
        self.assertEqual((total, dead), (400, 200), lines)
        self.assertLess(len(lines), 20)

    @case("V2")
    def test_who_replays_purges_and_drops_is_logged(self):
        b = self.start(lambda r: (500, "no"), "attempts = 1")
        first, second = b.push("q", "x", "y")
        wait_until(lambda: b.topic("q/t")["dead"] == 2, 20)
        b.ctl("topic", "pause", "q/t")
        self.assertEqual(b.ctl("topic", "replay", "q/t", "--id", first).status, 0)
        self.assertTrue(b.logged(rf"q/t: replay by token at a: job {first}$"), b.log_text())
        self.assertEqual(b.ctl("topic", "purge", "q/t", "--id", second).status, 0)
        self.assertTrue(b.logged(rf"q/t: purge by token at a: job {second}$"), b.log_text())
        self.assertEqual(b.ctl("topic", "purge", "q/t", "--id", second).status, 4)
        self.assertEqual(len(b.logged(f"purge .*{second}")), 1, "nothing was purged the second time")
        b.reload(b.ini.replace("[topic q/t]", "[topic q/new]"))
        self.assertEqual(b.ctl("topic", "drop", "q/t", "--yes").status, 0)
        self.assertTrue(b.logged("q/t: dropped from storage main by token at a: "), b.log_text())

    @case("V2")
    def test_jobs_that_are_done_are_not_logged(self):
        b = self.start(lambda r: (200, "ok"))
        b.push("q", *["x"] * 20)
        wait_until(lambda: b.topic("q/t")["done"] == 20, 20)
        b.stop()
        self.assertEqual(b.logged("failed"), [])

    @case("V1")
    def test_the_end_of_a_long_message_is_kept(self):
        text = "Traceback (most recent call last):\n" + "  some line of it \u4f60\u597d\n" * 400 + "ValueError: the reason"
        b = self.start(lambda r: (500, text), "attempts = 1")
        b.push("q", "x")
        wait_until(lambda: b.topic("q/t")["counts"]["dead"] == 1, 20)
        for path in ("errors", "retry"):
            got = b.admin.get(f"/api/v1/topics/q/t/{path}" + ("?state=dead" if path == "retry" else "")).json
            text = json.dumps(got, ensure_ascii=False)
            self.assertIn("Traceback (most recent", text)
            self.assertIn("ValueError: the reason", text)
            self.assertNotIn("\ufffd", text)
        self.assertIn("ValueError: the reason", b.ctl("topic", "test", "q/t", stdin="x").out)


class Busy(SeenCase):
    def refused(self, answer, words):
        open_again = []
        b = self.start(lambda r: (200, "ok") if open_again else answer, "workers = 4", "max_connections = 4")
        b.push("q", *["x"] * 200)
        wait_until(lambda: words in b.topic("q/t")["why"], 20, lambda: str(b.topic("q/t")))
        t = b.topic("q/t")
        self.assertEqual((t["state"], t["failed"]), ("open", 0))
        self.assertRegex(t["why"], r"^busy since \d\d:\d\d:\d\d UTC: http://127.0.0.1:\d+ is busy: status")
        self.assertIn("busy since", b.ctl("topic", "ls").out)
        wait_until(lambda: b.logged("p: its workers take no jobs"), 20)
        errors = b.admin.get("/api/v1/topics/q/t/errors").json["errors"]
        wait_until(lambda: [e for e in b.admin.get("/api/v1/topics/q/t/errors").json["errors"] if e["code"] == 503], 10,
                   str(errors))
        open_again.append(True)
        wait_until(lambda: b.unfinished("q/t") == 0, 60)
        wait_until(lambda: b.topic("q/t")["why"] == "", 10)
        self.assertEqual(len(b.logged("p: its workers take no jobs")), 1)
        self.assertEqual(len(b.logged("p: its workers take requests again")), 1)

    @case("V3")
    def test_503_for_ever(self):
        self.refused({"status": 503, "body": "maintenance"}, "503")

    @case("V3")
    def test_429_with_a_wish(self):
        self.refused({"status": 429, "headers": {"Retry-After": "6"}}, "Retry-After 6 s")

    @case("V3")
    def test_what_is_read_ahead_is_not_running(self):
        hold = threading.Event()
        b = self.start(lambda r: hold.is_set() and (200, "ok") or (hold.wait(60), (200, "ok"))[1],
                       "workers = 4", "max_connections = 4")
        hold.set()
        b.push("q", *["x"] * 500)
        wait_until(lambda: b.topic("q/t")["done"] == 500, 30)
        hold.clear()
        b.push("q", *["x"] * 500)
        wait_until(lambda: b.topic("q/t")["node"]["attempts"] == 4 and b.topic("q/t")["node"]["taken"] > 0, 20,
                   lambda: str(b.topic("q/t")))
        row = b.ctl("topic", "ls").out.splitlines()[1].split()
        self.assertEqual(row[:4], ["q/t", "open", "496", "4"])
        self.assertIn("496 ready, 4 running", b.ctl("topic", "show", "q/t").out)
        hold.set()


class Rates(SeenCase):
    def rates(self, b):
        status = b.admin.get("/api/v1/status").json
        topic, queue = b.topic("q/t"), b.admin.get("/api/v1/queues").json["queues"][0]
        both = status["totals"]["rates"], topic["rates"]
        return status["uptime_ms"], [r[k] for r in both for k in ("accepted", "done", "failed")] + [queue["accepted_rate"]]

    def run_some(self):
        b = self.start(lambda r: (500, "no") if b"bad" in r.body else (200, "ok"), "workers = 8\nattempts = 1")
        b.push("q", *["good", "bad"] * 200)
        wait_until(lambda: b.topic("q/t")["done"] == 200 and b.topic("q/t")["counts"]["dead"] == 200, 30)
        wait_until(lambda: any(self.rates(b)[1]), 20)
        return b

    @case("V7")
    def test_what_was_long_ago_is_not_shown_as_now(self):
        b = self.run_some()
        began, _ = self.rates(b)
        answers = [(began, [])]

        def later():  # by the broker's clock
            answers.append(self.rates(b))
            return answers[-1][0] >= began + 8000

        wait_until(later, 20)
        self.assertEqual(answers[-1][1], [0] * 7)
        self.assertIn("0/s added, 0/s done, 0/s failed", b.ctl("status").out)
        self.assertIn("0/s done, 0/s failed", b.ctl("topic", "show", "q/t").out)
        with b.client("q:secret-pw") as c:
            self.assertIn("done_per_s=0.0,failed_per_s=0.0", c.call("INFO"))

    @case("V7")
    def test_a_broker_that_stood_still_shows_what_is_now(self):
        b = self.run_some()
        began = self.rates(b)[0]
        wait_until(lambda: self.rates(b)[0] >= began + 2000, 20)  # all of it was looked at
        b.pause()
        time.sleep(6)  # it passes, and nothing happens in it
        b.resume()
        self.assertEqual(self.rates(b)[1], [0] * 7)


class Faults(SeenCase):
    @case("V7")
    def test_a_reload_logs_every_fault_and_every_warning(self):
        b = self.start(lambda request: (200, "ok"))
        good = b.ini
        b.reload(good + "".join(f"[queue f{i}]\npassword = short-{i}\n[topic f{i}/t]\npool = p\nentry = http://x/\nodd = {i}\n"
                                for i in range(30)), wait=False)
        wait_until(lambda: b.logged("was not reloaded"), 10)
        self.assertEqual(len(b.logged(r"error: .*\[topic f\d+/t\]")), 30)
        b.reload(good + "".join(f"[queue f{i}]\npassword = short-{i}\n" for i in range(30)), wait=False)
        wait_until(lambda: b.logged("configuration reloaded"), 10)
        self.assertEqual(len(b.logged(r"warning: .*\[queue f\d+\]: no topic")), 30)


if __name__ == "__main__":
    main()

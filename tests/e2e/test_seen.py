#!/usr/bin/env python3
"""What is to be seen of jobs that fail and of workers that do not take any: log, WHY, errors."""

import json

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


if __name__ == "__main__":
    main()

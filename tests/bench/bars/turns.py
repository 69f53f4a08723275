#!/usr/bin/env python3
"""The bar for the length of a turn of the loop (X7): with 5,000 topics no start, reload, scrape,
list or stop takes a turn of more than 20 ms of CPU time, and a stop is done within a second.

    tests/bench/bars/turns.py [TOPICS [QUEUES]]     prints the figures; 0: within the bar, 1: not
"""

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

from harness import Case, wait_until  # noqa: E402  pylint: disable=wrong-import-position

BAR_MS, STOP_S = 20, 1
TOPICS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
QUEUES = int(sys.argv[2]) if len(sys.argv) > 2 else TOPICS


class Turns(Case):
    def ini(self, numbers, workers=2, timeout=30):
        text = [f"[storage main]\naddress = {self.server.address}\n[pool p]\nrun_type = cgi\n"
                f"address = 127.0.0.1:{self.nobody}\nmax_connections = 4\n"]
        queues = {}
        for i in numbers:
            queues.setdefault(f"q{i % QUEUES}", []).append(i)
        for q, topics in queues.items():
            text.append(f"[queue {q}]\npassword = secret-pw-of-this\n")
            for i in topics:
                text.append(f"[topic {q}/t{i}]\npool = p\nentry = /srv/app/worker/W{i}.php\n"
                            f"timeout = {timeout}s\nworkers = {workers if i % 10 == 0 else 2}\n")
        return "\n".join(text)

    def longest(self):
        text = self.b.admin.get("/metrics?detail=total").text
        return float(re.search(r"^pepperbus_loop_turn_cpu_seconds_max (\S+)", text, re.M)[1]) * 1000

    def told(self, what, begin):
        took, longest = time.monotonic() - begin, self.longest()
        over = longest > BAR_MS
        self.over |= over
        print(f"{what:34} {took:6.2f} s, longest turn so far {longest:6.1f} ms of CPU{'   <- over the bar' if over else ''}",
              flush=True)

    def reload(self, numbers, workers=2, timeout=30):
        begin = time.monotonic()
        self.b.write(self.ini(numbers, workers, timeout))
        answer = self.b.admin.post("/api/v1/reload", {}, timeout=120)
        assert answer.status == 200, answer
        wait_until(lambda: self.b.admin.get("/api/v1/status").json["topics"] == len(numbers), 60)
        return begin

    def runTest(self):  # pylint: disable=invalid-name
        self.over = False
        self.server, self.nobody = self.redis(), self.free_port()
        begin = time.monotonic()
        self.b = self.broker("a", self.ini(range(TOPICS)), wait=False)
        self.b.wait_ready(120)
        self.told(f"start with {TOPICS} topics", begin)
        time.sleep(2)
        self.told("2 s later", time.monotonic())
        self.told("reload, nothing changed", self.reload(range(TOPICS)))
        self.told("reload, a tenth changed", self.reload(range(TOPICS), 3))
        tenth = TOPICS // 10
        self.told("reload, a tenth goes, another comes", self.reload(range(tenth, TOPICS + tenth), 3))
        self.told("reload, all changed", self.reload(range(tenth, TOPICS + tenth), 3, 31))
        for path in ("/metrics", "/metrics?detail=topic", "/api/v1/status", "/api/v1/queues", "/api/v1/pools",
                     "/api/v1/config", "/api/v1/topics"):
            begin = time.monotonic()
            size = len(self.b.admin.get(path, timeout=120).text)
            self.told(f"{path}, {size / 1e6:.1f} MB", begin)
        begin = time.monotonic()
        self.b.ctl("topic", "ls", "--json", seconds=120)
        self.told("topic ls --json", begin)
        with self.b.client("q700:secret-pw-of-this" if QUEUES > 700 else "q1:secret-pw-of-this") as c:
            begin = time.monotonic()
            c.call("INFO")
            self.told("INFO", begin)
        self.server.restart()
        begin = time.monotonic()
        wait_until(lambda: self.b.admin.get("/readyz").status == 200, 60)
        self.told("Redis away and back", begin)
        begin = time.monotonic()
        self.b.stop(120)
        took = time.monotonic() - begin
        longest = float(re.findall(r"longest turn of the event loop took (\S+) ms", self.b.log_text())[-1])
        self.over |= took > STOP_S or longest > BAR_MS
        print(f"{'stop':34} {took:6.2f} s, longest turn so far {longest:6.1f} ms of CPU"
              f"{'   <- over the bar' if took > STOP_S or longest > BAR_MS else ''}")


if __name__ == "__main__":
    t = Turns()
    t.setUp()
    try:
        t.runTest()
    finally:
        t.tearDown()
    sys.exit(1 if t.over else 0)

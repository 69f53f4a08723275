#!/usr/bin/env python3
"""The bar for the page of the console: with 10,000 topics, a million dead jobs in one of them, as many errors as jobs in
another, and a job of 30 MB, each list can be used within 1 s, and no task of the page takes 200 ms.

    tests/bench/bars/page.py [TOPICS [JOBS]] [topics|failed|large]     prints the figures; 0: within the bar, 1: not

A real browser is needed, as for the tests of the console (tests/README.md). The longest task is told by its CPU time
as well, and judged by that: other work on the machine makes no page slow. Not in the bar is when a login, the groups
of all jobs, a filter of few jobs and a job of 30 MB are there: the page shows meanwhile that it waits, or how far it is.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

NUMBERS = [int(a) for a in sys.argv[1:] if a.isdigit()]
PARTS = [a for a in sys.argv[1:] if not a.isdigit()]
sys.argv = sys.argv[:1]
from console_case import ConsoleCase  # noqa: E402
from failed import bury_kinds  # noqa: E402
from harness import bury, wait_until  # noqa: E402

TOPICS, JOBS = (NUMBERS + [10000, 1000000][len(NUMBERS):])[:2]
QUEUES = max(TOPICS // 10, 1)
USABLE_MS, TASK_MS = 1000, 200
LISTS = ("topics", "topics: sorted by ready", "topics: filtered", "topics: last page", "queues", "dead jobs: list", "jobs of a topic")


def an_error(i):
    """One of its own for each: in words, for numbers make no difference."""
    word = "".join("abcdefghijklmnopqrstuvwxyz"[i // 26 ** k % 26] for k in range(5))
    return f"the service {word} is not known here:" + " at some line of some file" * 8


class Page(ConsoleCase):
    def ini(self):
        text = [f"[storage main]\naddress = {self.redis_.address}\n[pool p]\nrun_type = cgi\n"
                f"address = 127.0.0.1:{self.free_port()}\nmax_connections = 4\n"]
        for q in range(QUEUES):
            text.append(f"[queue q{q}]\npassword = secret-pw-of-this\n")
            text += [f"[topic q{q}/t{i}]\npool = p\nentry = /srv/app/worker/W{i}.php\n" for i in range(q, TOPICS, QUEUES)]
        return "\n".join(text)

    def runTest(self):  # pylint: disable=invalid-name
        self.over = False
        self.redis_ = self.redis()
        bury_kinds(self.redis_, JOBS, "q0/t0")
        bury_kinds(self.redis_, JOBS, "q1/t1", an_error)
        bury(self.redis_, "q2/t2", 1, content=b'{"list": [' + b", ".join(b'"a text of the list"' for _ in range(1500000)) + b"]}")
        b = self.console(self.ini(), server="max_job_size = 64mb")
        wait_until(lambda: b.admin.get("/api/v1/status").json["topics"] == TOPICS, 60)
        for line in self.measured(b):
            over = line["cpu_ms"] >= TASK_MS or (line["usable_ms"] > USABLE_MS and line["name"] in LISTS)
            self.over |= over
            print(f"{line['name']:36} usable after {line['usable_ms']:5} ms; longest task {line['task_ms']:4} ms, of CPU "
                  f"{line['cpu_ms']:4} ms ({line['parts']}){'   <- over the bar' if over else ''}", flush=True)

    def measured(self, b):
        os.environ["TEST_TIMEOUT"] = "1200"
        return [result for result in self.scenario("page.mjs", b, *PARTS) if "task_ms" in result]


if __name__ == "__main__":
    t = Page()
    t.setUp()
    try:
        t.runTest()
    finally:
        t.tearDown()
    sys.exit(1 if t.over else 0)

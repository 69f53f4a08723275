#!/usr/bin/env python3
"""A look through a million dead jobs. How soon is the first page of a filter there, how long do a filter that
matches little and the groups of all jobs take, how long does the longest script hold Redis up, and what does a
producer feel of it?

    PEPPERBUSD=... tests/bench/bars/failed.py [JOBS]      in the build folder: ../tests/bench/bars/failed.py

The bars: the first page after 300 ms, the groups after 5 s; no script takes 10 ms; the producer's p99 is at most
20 ms, or three times the one without. A filter that matches little should take about 2 s a million. On a
machine with other work look at the CPU of Redis and of the broker, which is printed as well.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

from harness import Case, main  # noqa: E402
from producer import Producer  # noqa: E402

JOBS = int(next((a for a in sys.argv[1:] if a.isdigit()), "1000000"))
sys.argv = [a for a in sys.argv if not a.isdigit()]
PAGE_S, GROUPS_S, LONGEST_MS, P99_MS = 0.3, 5.0, 10.0, 20.0
MESSAGES = (
    "SQLSTATE[23000]: Integrity constraint violation: 1062 Duplicate entry '%d' for key 'orders.user_%d'",
    "cURL error 28: Operation timed out after %d milliseconds with %d bytes received",
    "Call to a member function getName() on null in /srv/www/app/src/Order.php:%d stack %d",
    "user %d of tenant %d not found",
    "Allowed memory size of %d bytes exhausted (tried to allocate %d bytes)",
)


def a_kind(i):
    return MESSAGES[i % 5] % (i, i * 7)


def bury_kinds(redis, n, path="q/t", message_of=a_kind):
    """Dead jobs of a topic with five messages, three codes and seven nodes, as settle_others.lua stores them. The
    last but nine has a message of its own."""
    queue, topic = path.split("/")
    first, field = int(time.time() * 1000) - n, "1:2130706433:12017"
    with redis.client() as c:
        for start in range(0, n, 1000):
            places, records, bodies = [], [], []
            for i in range(start, min(start + 1000, n)):
                job, at, node = (1 << 63) + i, first + i, f"web{i % 7}"
                message = "needle in the haystack" if i == n - 10 else message_of(i)
                head = f"{1 + i % 5} 0 {at} {at} {500 + i % 3} {len(field)} {len(node)}"
                places += (at, job)
                records += (job, f"{head}\n{field}{node}{message}")
                bodies += (job, job.to_bytes(8, "big") + b'\0{"user":%d,"what":"mail"}' % i)
            c.raw(c.encode("ZADD", f"pb:{{{queue}}}:x:{topic}", *places) + c.encode("HSET", f"pb:{{{queue}}}:h:{topic}", *records)
                  + c.encode("HSET", f"pb:{{{queue}}}:b:{topic}", *bodies))
            for _ in range(3):
                c.recv()


def cpu_of(pid):
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Failed(Case):
    def test_failed(self):
        redis = self.redis("main", "--slowlog-log-slower-than", "1000", "--slowlog-max-len", "10000")
        b = self.broker("a", self.waiting(redis.address))
        bury_kinds(redis, JOBS)
        alone = Producer(b)
        alone.start()
        time.sleep(5)
        alone_p99, _ = alone.end()
        redis.cmd("SLOWLOG", "RESET")
        with_it = Producer(b)
        with_it.start()
        pids = [int(line.partition(":")[2]) for line in str(redis.cmd("INFO", "server")).splitlines()
                if line.startswith("process_id")] + [b.pid]
        print(f"# {JOBS} dead jobs; load {os.getloadavg()[0]:.1f}")
        page = self.timed("the first page", b, pids, "failed?match=memory&limit=50", whole=False)
        newest = self.timed("the first page, newest first", b, pids, "failed?match=memory&limit=50&order=newest", False)
        self.timed("one in all", b, pids, "failed?match=needle&limit=50")
        self.timed("a node that none has", b, pids, "failed?node=web99&limit=50")
        groups = self.timed("groups of all", b, pids, "failed/groups")
        p99, worst = with_it.end()
        slow = [e[2] / 1000 for e in redis.cmd("SLOWLOG", "GET", "10000")]
        print(f"# longest command {max(slow, default=0):.1f} ms ({sum(s > 2 for s in slow)} over 2 ms);"
              f" producer p99 {p99:.1f} ms (alone {alone_p99:.1f}), worst {worst:.1f} ms")
        self.assertLess(max(page, newest), PAGE_S)
        self.assertLess(groups, GROUPS_S)
        self.assertLess(max(slow, default=0), LONGEST_MS)
        self.assertLess(p99, max(P99_MS, 3 * alone_p99))

    def timed(self, name, b, pids, path, whole=True):
        """Asks until nothing is left, or (not `whole`) once; the seconds that took."""
        began, cpu, looked, asked, query = time.monotonic(), [cpu_of(p) for p in pids], 0, 0, path
        while True:
            answer = b.admin.get(f"/api/v1/topics/q/t/{query}")
            self.assertEqual(answer.status, 200, answer.text)
            looked += answer.json["looked"]
            cursor, asked = answer.json["cursor"], asked + 1
            if not whole or not cursor:
                break
            query = f"{path}{'&' if '?' in path else '?'}cursor={cursor}"
        took = time.monotonic() - began
        used = [cpu_of(p) - was for p, was in zip(pids, cpu)]
        print(f"# {name}: {took:.2f} s, {looked} looked at, {asked} requests;"
              f" CPU of Redis {used[0]:.2f} s, of the broker {used[1]:.2f} s")
        return took


if __name__ == "__main__":
    main()

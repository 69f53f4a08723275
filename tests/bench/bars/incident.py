#!/usr/bin/env python3
"""An incident of 200,000 failures from two causes, as somebody meets it at night: two commands tell both causes,
when each began and its share; one cause is replayed without the other. Then a replay at 50 jobs a second is
watched for a minute.

    PEPPERBUSD=... tests/bench/bars/incident.py [JOBS]    in the build folder: ../tests/bench/bars/incident.py

The bars: the numbers are exact; in no 60 seconds more than the rate and one slice, and no less than 90 % of it.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

from harness import Case, bury, main, wait_until  # noqa: E402

JOBS = int(next((a for a in sys.argv[1:] if a.isdigit()), "200000"))
sys.argv = [a for a in sys.argv if not a.isdigit()]
RATE, SECONDS, SLICE = 50, 60, 50


class Incident(Case):
    def start(self):
        redis = self.redis("main")
        b = self.broker("a", f"""
[storage main]
address = {redis.address}
[queue q]
password = a-long-password
[topic q/t]
run_type = exec
entry = /bin/true
""")
        self.assertEqual(b.ctl("topic", "pause", "q/t").status, 0)
        now, rare = int(time.time() * 1000), JOBS // 8
        bury(redis, "q/t", JOBS - rare, died_ms=now - 7200000, message="SMTP connect to 10.0.0.7 failed")
        bury(redis, "q/t", rare, first=JOBS + 1, died_ms=now - 600000, message="order 4711 has no user 12")
        return b, JOBS - rare, rare

    def told(self, what, *words, b):
        began = time.monotonic()
        got = b.ctl(*words)
        self.assertEqual(got.status, 0, got.err)
        print(f"# {what}: {time.monotonic() - began:.2f} s: pepperbusctl {' '.join(words)}", flush=True)
        return got

    def test_two_causes(self):
        b, often, rare = self.start()
        print(self.told("both causes", "topic", "failed", "q/t", "--group", b=b).out, flush=True)
        groups = b.ctl("topic", "failed", "q/t", "--group", "--json").json["groups"]
        self.assertEqual(sorted(g["count"] for g in groups), sorted((often, rare)))
        self.assertGreater(max(g["first_ms"] for g in groups) - min(g["first_ms"] for g in groups), 6000000)
        cause = min(groups, key=lambda g: g["count"])
        self.told("one cause", "topic", "replay", "q/t", "--signature", cause["signature"], "--follow", b=b)
        wait_until(lambda: b.topic("q/t")["counts"]["dead"] == often, 10)
        left = b.ctl("topic", "failed", "q/t", "--set", "dead", "--group", "--json").json["groups"]
        self.assertEqual([(g["count"], g["signature"] == cause["signature"]) for g in left], [(often, False)])

    def test_a_rate(self):
        b, _, _ = self.start()
        act = b.ctl("topic", "replay", "q/t", "--match", "smtp", "--rate", f"{RATE}/s", "--json").json["act"]["id"]
        seen, began = [], time.monotonic()
        while time.monotonic() - began < SECONDS + 10:
            at = time.monotonic()
            seen.append((at, b.admin.get(f"/api/v1/acts/{act}").json["done"]))
            time.sleep(0.25)
        most = max(to - of for i, (at, of) in enumerate(seen) for then, to in seen[i:] if then - at <= SECONDS)
        print(f"# in {SECONDS} s at most {most} jobs at {RATE}/s ({most / SECONDS:.1f}/s)", flush=True)
        self.assertLessEqual(most, RATE * SECONDS + SLICE)
        self.assertGreaterEqual(most, RATE * SECONDS * 0.9)


if __name__ == "__main__":
    main()

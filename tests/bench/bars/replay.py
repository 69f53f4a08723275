#!/usr/bin/env python3
"""T2: a replay of a million dead jobs. How long does it take, how long does its longest script hold Redis
up, and what does a producer feel of it?

    PEPPERBUSD=... tests/bench/bars/replay.py [JOBS]      in the build folder: ../tests/bench/bars/replay.py

The bar: no command takes 10 ms; the producer's p99 is at most 20 ms, or three times the one without.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

from harness import Case, bury, main  # noqa: E402
from producer import Producer  # noqa: E402

JOBS = int(next((a for a in sys.argv[1:] if a.isdigit()), "1000000"))
sys.argv = [a for a in sys.argv if not a.isdigit()]
LONGEST_MS, P99_MS = 10.0, 20.0


class Replay(Case):
    def test_replay(self):
        redis = self.redis("main", "--slowlog-log-slower-than", "2000", "--slowlog-max-len", "1000")
        b = self.broker("a", self.waiting(redis.address))
        bury(redis, "q/t", JOBS)
        alone = Producer(b)
        alone.start()
        time.sleep(5)
        alone_p99, _ = alone.end()
        redis.cmd("SLOWLOG", "RESET")
        with_it = Producer(b)
        with_it.start()
        began = time.monotonic()
        r = b.ctl("topic", "replay", "q/t", "--all", seconds=1200)
        took = time.monotonic() - began
        p99, worst = with_it.end()
        slow = [e[2] / 1000 for e in redis.cmd("SLOWLOG", "GET", "1000")]
        longest = max(slow, default=0)
        turn = [v for k, v in b.metrics().items() if k.startswith("pepperbus_loop_turn_cpu_seconds_max")]
        self.assertEqual(r.status, 0)
        self.assertEqual(b.topic("q/t")["retry"], JOBS)
        print(f"# {JOBS} dead jobs replayed in {took:.1f} s; longest command {longest:.1f} ms"
              f" ({len(slow)} over 2 ms); producer p99 {p99:.1f} ms (alone {alone_p99:.1f}), worst {worst:.1f} ms;"
              f" longest turn {turn}; load {os.getloadavg()[0]:.1f}")
        self.assertLess(longest, LONGEST_MS)
        self.assertLess(p99, max(P99_MS, 3 * alone_p99))


if __name__ == "__main__":
    main()

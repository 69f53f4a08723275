#!/usr/bin/env python3
"""Bar: the history costs at most one command a minute and active topic, and idle topics none.

    tests/bench/bars/history.py [SECONDS]     prints the figures; 0: within the bar, 1: not

20 topics get a job every few seconds and 20 get none. Counted is what Redis' MONITOR shows of keys of
the history: commands of the broker, and what its scripts run inside.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

from harness import Case  # noqa: E402  pylint: disable=wrong-import-position

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 120
TOPICS = 20


class Bar(Case):
    def count(self, broker):
        """Commands about the history of a, of i topics; commands within scripts."""
        log = self.dir / "monitor"
        with open(log, "wb") as out:
            monitor = subprocess.Popen(["redis-cli", "-s", self.server.sock, "MONITOR"], stdout=out)
        begin = time.monotonic()
        while time.monotonic() - begin < SECONDS:
            for i in range(TOPICS):
                broker.push(f"a{i}", "job")
            time.sleep(5)
        monitor.terminate()
        monitor.wait()
        lines = [l for l in log.read_text(errors="replace").splitlines() if re.search(r"pb:\{[ai]\d+\}:(hm|hh|sig):", l)]
        inner = [l for l in lines if " lua] " in l]
        outer = [l for l in lines if " lua] " not in l]
        return [sum(f"pb:{{{w}" in l for l in outer) for w in "ai"], len(inner)

    def runTest(self):  # pylint: disable=invalid-name
        self.server = self.redis("main")
        web = self.http(lambda request: (200, ""))
        broker = self.broker("a", f"[storage main]\naddress = {self.server.address}\n[pool w]\nrun_type = http\n"
                             "max_connections = 4\n" + "".join(
                                 f"[queue {k}{i}]\npassword = secret-pw\n[topic {k}{i}/t]\npool = w\n"
                                 f"entry = {web.address}/x\n" for k in "ai" for i in range(TOPICS)))
        (active, idle), inner = self.count(broker)
        minutes = SECONDS / 60
        print(f"{SECONDS} s: {active / TOPICS / minutes:.2f} commands a minute and active topic, "
              f"{idle} of {TOPICS} idle topics; {inner / max(1, active):.1f} commands on these keys within a script", flush=True)
        # A minute begins for a topic where its name says: a window may hold one more of it.
        self.over = idle > 0 or active > TOPICS * (minutes + 1)


if __name__ == "__main__":
    t = Bar()
    t.setUp()
    try:
        t.runTest()
    finally:
        t.tearDown()
    sys.exit(1 if t.over else 0)

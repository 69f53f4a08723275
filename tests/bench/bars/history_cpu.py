#!/usr/bin/env python3
"""Bar: the history costs at most 2 % more CPU a job, the broker's and Redis' together.

    tests/bench/bars/history_cpu.py [PAIRS [JOBS]]     prints the figures; 0: within the bar, 1: not

A pair is a drain by this build, and one by a build of the same commit without the history: times are not
noted, failures not kept, rows not written. The order alternates. It is over the bar when the median of the
pairs' ratios is, and 6 of 7 pairs are: on a busy machine pairs differ by 10 % and more. Run by hand; the other build is made once beside this one, in bench-history/.
"""

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "e2e"), str(HERE.parent)]

from compare import configured_like  # noqa: E402
from drain import INI, drain, null_plugins  # noqa: E402
from harness import ROOT, Case  # noqa: E402

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
JOBS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000000
MOST, OFTEN, OF = 2, 6, 7
BUILD = Path(os.environ.get("PEPPERBUSD", ROOT / "build/pepperbusd")).resolve().parent
# What the history is on the way of a job, and beside it.
OFF = [("core/base/histogram.h", "  h->count++;\n  h->sum_ms += ms;\n  h->bucket[histogram_bucket(ms)]++;\n",
        "  (void)h;\n  (void)ms;\n"),
       ("core/dispatch/request_jobs.c", "  if (job->failed || job->crashes) return;\n", "  return;\n"),
       ("core/dispatch/failures.c", "  if (!f) return;\n  signature_of", "  return;\n  signature_of"),
       ("core/history/history.c", "  timer_start(&h->tick, HISTORY_LOOK_MS);\n  return h;\n", "  return h;\n")]


def build_without():
    """The folder of a build of HEAD without the history."""
    name = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], check=True, text=True, capture_output=True).stdout.strip()
    place = BUILD / "bench-history" / name[:12]
    if (place / "built").exists():
        return place
    print(f"# building without the history in {place}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", ROOT, "archive", name], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", place], input=archive, check=True)
    for path, was, becomes in OFF:
        text = (place / path).read_text()
        if text.count(was) != 1:
            sys.exit(f"{path} has other lines than this bar knows")
        (place / path).write_text(text.replace(was, becomes))
    with open(place / "build.log", "wb") as log:
        for step in (["./autogen.sh"], ["./configure", "--without-console", *configured_like(BUILD)], ["make"]):
            if subprocess.run(step, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
                sys.exit(f"{step[0]} failed; its log is {place}/build.log")
    (place / "built").touch()
    return place


class Bar(Case):
    def side(self, name, build):
        redis = self.redis(name)
        plugins = null_plugins(self.dir / f"plugins-{name}", build / "plugins/.libs")
        broker = self.broker(name, f"[storage main]\naddress = {redis.address}\n" + INI, programs=str(build),
                             plugin_dir=plugins)
        return broker, redis

    def runTest(self):
        sides = {True: self.side("with", BUILD), False: self.side("without", build_without())}
        ratios = []
        for i in range(-1, PAIRS):  # what grows once has grown after the first
            runs = {}
            for history in ((True, False) if i % 2 else (False, True)):
                runs[history] = drain(*sides[history], JOBS if i >= 0 else JOBS // 4)
            (w, w_took), (n, n_took) = runs[True], runs[False]
            if i < 0:
                continue
            ratios.append(sum(w) / sum(n))
            print(f"without {n[0]:6.2f} + {n[1]:6.2f} us a job in {n_took:5.1f} s, with {w[0]:6.2f} + {w[1]:6.2f} us "
                  f"in {w_took:5.1f} s: {(ratios[-1] - 1) * 100:+5.1f} %", flush=True)
        cost = (statistics.median(ratios) - 1) * 100
        above = sum((r - 1) * 100 > MOST for r in ratios)
        good = cost <= MOST or above * OF < OFTEN * PAIRS
        print(f"the history costs {cost:+.1f} % CPU a job (median of {PAIRS} pairs, {above} above {MOST} %)"
              f"{'' if good else '   <- over the bar'}")
        return good


if __name__ == "__main__":
    bar = Bar()
    bar.setUp()
    try:
        met = bar.runTest()
    finally:
        bar.tearDown()
        bar.doCleanups()
    sys.exit(0 if met else 1)

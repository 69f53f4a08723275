#!/usr/bin/env python3
"""Bar: the history costs at most 2 % more of the broker's instructions a job, and Redis no command more.

    tests/bench/bars/history_cpu.py [JOBS [PAIRS]]     prints the figures; 0: within the bar, 1: not

CPU time of two builds of the same source differs by 25 % from run to run on a busy machine, so instructions are
counted: by callgrind (Debian's package valgrind), of a broker that drains JOBS jobs, and of one that drains six
times as many. The difference is of 5 x JOBS jobs alone: start, first jobs and end cancel out. All this is done
with this build, and with one of the same commit without the history: times are not noted, failures not kept,
rows not written. The pairs differ by two percent (how many jobs a turn has at hand is chance): the median of them
counts. Redis' commands are counted the same way, by INFO commandstats. Run by hand; the other build is made once
beside this one, in bench-history/.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "e2e"), str(HERE.parent)]

from compare import configured_like  # noqa: E402
from drain import INI, drain, null_plugins  # noqa: E402
from harness import ROOT, Case  # noqa: E402

JOBS = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
PAIRS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
MOST = 2
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
        for step in (["./autogen.sh"], ["./configure", "--without-console", *configured_like(BUILD)], ["make", "-j2"]):
            if subprocess.run(step, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
                sys.exit(f"{step[0]} failed; its log is {place}/build.log")
    (place / "built").touch()
    return place


class Bar(Case):
    runs = 0

    def counted(self, build):
        """A folder with the programs of a build: its broker counts its instructions in `out`."""
        folder = self.dir / f"counted-{self.runs}"
        folder.mkdir()
        self.write(folder / "pepperbusd", "#!/bin/sh\nexec valgrind --tool=callgrind --quiet "
                   f"--callgrind-out-file={folder}/out {build}/pepperbusd \"$@\"\n", 0o755)
        (folder / "pepperbusctl").symlink_to(build / "pepperbusctl")
        return folder

    def run_once(self, build, jobs):
        """Instructions of a broker that drains so many jobs; calls of Redis by command."""
        self.runs += 1
        name, folder = f"r{self.runs}", self.counted(build)
        redis = self.redis(name)
        plugins = null_plugins(self.dir / f"plugins-{name}", build / "plugins/.libs")
        broker = self.broker(name, f"[storage main]\naddress = {redis.address}\n{INI}",
                             programs=str(folder), plugin_dir=plugins)
        drain(broker, redis, jobs)
        stats = re.findall(r"cmdstat_([^:]+):calls=(\d+)", redis.cmd("INFO", "commandstats"))
        broker.stop()
        redis.stop()
        total = re.search(r"^(?:summary|totals): (\d+)", (folder / "out").read_text(), re.M)
        return int(total[1]), {c: int(n) for c, n in stats if c not in ("info", "xlen", "ping")}

    def a_job(self, build):
        """Instructions; {command: calls in 1,000 jobs}."""
        (few, few_calls), (many, calls) = (self.run_once(build, n) for n in (JOBS, 6 * JOBS))
        per = {c: (n - few_calls.get(c, 0)) / (5 * JOBS) * 1000 for c, n in calls.items()}
        return (many - few) / (5 * JOBS), per

    def runTest(self):  # pylint: disable=invalid-name
        pairs = [[self.a_job(b) for b in (build_without(), BUILD)] for _ in range(PAIRS)]
        (n, n_calls), (w, w_calls) = sorted(pairs, key=lambda p: p[1][0] / p[0][0])[PAIRS // 2]
        print("# " + ", ".join(f"{(b[0] / a[0] - 1) * 100:+.2f} %" for a, b in pairs), flush=True)
        cost = (w / n - 1) * 100
        good = cost <= MOST
        print(f"{n:,.0f} instructions a job without, {w:,.0f} with: {cost:+.2f} %{'' if good else '   <- over the bar'}")
        calls = [f"{c} {n_calls.get(c, 0):.1f} -> {w_calls.get(c, 0):.1f}" for c in sorted({*n_calls, *w_calls})
                 if max(n_calls.get(c, 0), w_calls.get(c, 0)) >= 0.1]
        print(f"calls of Redis in 1,000 jobs, without -> with: {', '.join(calls)}")
        return good


if __name__ == "__main__":
    if not shutil.which("valgrind"):
        sys.exit("this bar needs valgrind (Debian: apt-get install valgrind)")
    bar = Bar()
    bar.setUp()
    try:
        met = bar.runTest()
    finally:
        bar.tearDown()
        bar.doCleanups()
    sys.exit(0 if met else 1)

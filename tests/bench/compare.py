#!/usr/bin/env python3
"""Is this build slower than an older commit? Builds that commit beside this one, then runs the rows of
run.sh with the two by turns, in pairs: before and after, after and before, ... A row is worse when the
median of its ratios is below 0.97 *and* it was worse in 6 of 7 pairs. Called by `make bench BASE=COMMIT`.

  BENCH_ROWS="intake drain"   these rows (see run.sh); default: all that take seconds, not minutes
  BENCH_PAIRS=7               pairs of a row; fewer than 7 prove nothing
  BENCH_ROUNDS=3              rounds within one run, whose median counts: where the kernel puts three busy
                              processes on two cores doubles a rate, or does not
  BENCH_SCALE=30              percent of run.sh's jobs and seconds
  BENCH_JSON=FILE             default ./bench-compare.json; empty: nowhere
Exit status 1: a row is worse.
"""

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = "intake pipelined topics drain chunk null latency idle producers memory http exec_resident exec_once"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORSE, OFTEN, OF = 0.97, 6, 7


def say(text):
    print(text, file=sys.stderr, flush=True)


def build_of(commit, builds, like):
    """The folder of a build of `commit` with the compiler and the flags of the build `like`; made once."""
    name = subprocess.run(["git", "-C", ROOT, "rev-parse", "--verify", f"{commit}^{{commit}}"], check=True, text=True,
                          capture_output=True).stdout.strip()
    place = builds / name[:12]
    if not (place / "built").exists():
        say(f"# building {commit} in {place}")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        tree = subprocess.Popen(["git", "-C", ROOT, "archive", name], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", place], stdin=tree.stdout, check=True)
        if tree.wait():
            sys.exit(f"git archive {name} failed")
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
        log = place / "build.log"
        with open(log, "wb") as out:
            for step in (["./autogen.sh"], ["./configure", *like], ["make", f"-j{os.cpu_count()}"]):
                if subprocess.run(step, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                  check=False).returncode:
                    sys.exit(f"{commit}: {step[0]} failed; its log is {log}")
        (place / "built").touch()
    return name, place


def configured_like(build):
    """CC and CFLAGS of a build, as arguments of configure."""
    out = subprocess.run([build / "config.status", "--config"], check=True, text=True, capture_output=True).stdout
    return [a for a in shlex.split(out) if a.split("=")[0] in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS")]


def run(row, build, scale, include):
    """{what: (value, more is better)} of one run of a row. A plugin that the row builds is built with the headers
    in `include`: those of the older side, for a broker takes no plugin that is newer than itself."""
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        env = {**os.environ, "PEPPERBUSD": str(build / "pepperbusd"), "PEPPERBUSCTL": str(build / "pepperbusctl"),
               "PEPPERBUS_PLUGIN_DIR": str(build / "plugins/.libs"), "BENCH_ROWS": row,
               "BENCH_ROUNDS": os.environ.get("BENCH_ROUNDS", "3"),
               "BENCH_SCALE": str(scale), "PLUGIN_INCLUDE": str(include), "BENCH_JSON": f.name, "BENCH_STRICT": ""}
        p = subprocess.run(["bash", HERE / "run.sh"], env=env, text=True, stdin=subprocess.DEVNULL,
                           capture_output=True, check=False)
        text = Path(f.name).read_text()
        if p.returncode or not text:
            sys.exit(f"{row} with {build} failed ({p.returncode}):\n{p.stdout[-1000:]}{p.stderr[-3000:]}")
        measured = {}
        for r in json.loads(text)["rows"]:
            # The other side of a ratio is the same program in both: its noise is left out.
            if "jobs_per_s" in r:
                measured[r["what"] + ": jobs/s"] = (r["jobs_per_s"], True)
            else:
                measured[f"{r['what']}: {r['unit']}"] = (r["value"], r["rule"] == "at-least")
        return measured


def judge(row, before, after):
    """One line of the table for each figure of the row."""
    lines = []
    for what in after[0]:
        pairs = [(b[what], a[what]) for b, a in zip(before, after) if what in b and what in a]
        # Above 1 is better, whichever way the figure counts; nothing and nothing are the same.
        ratios = [1.0 if a[0] == b[0] else (a[0] / b[0] if a[1] else b[0] / a[0]) if a[0] and b[0] else
                  (2.0 if (a[0] > b[0]) == a[1] else 0.5) for b, a in pairs]
        ratio, lost = statistics.median(ratios), sum(r < 1 for r in ratios)
        lines.append({"row": row, "what": what, "before": statistics.median(b[0] for b, _ in pairs),
                      "after": statistics.median(a[0] for _, a in pairs), "ratio": round(ratio, 3),
                      "worse_in": lost, "pairs": len(ratios), "ratios": [round(r, 3) for r in ratios],
                      "worse": ratio < WORSE and lost * OF >= OFTEN * len(ratios)})
    return lines


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare.py COMMIT BUILD   (make bench BASE=COMMIT)\n\n" + __doc__)
    build = Path(sys.argv[2]).resolve()
    rows = os.environ.get("BENCH_ROWS", ROWS).split()
    pairs = int(os.environ.get("BENCH_PAIRS", "7"))
    scale = int(os.environ.get("BENCH_SCALE", "30"))
    name, base = build_of(sys.argv[1], build / "bench-base", configured_like(build))
    lines = []
    for row in rows:
        say(f"# {row}")
        sides = {base: [], build: []}
        for i in range(pairs):
            for side in ((base, build), (build, base))[i % 2]:
                sides[side].append(run(row, side, scale, base / "include"))
        for line in judge(row, sides[base], sides[build]):
            say(f"  {line['what']}: {line['ratio']:.3f}, worse in {line['worse_in']} of {line['pairs']}")
            lines.append(line)
    worse = sum(l["worse"] for l in lines)
    print(f"\n{'what':<58} {'before':>11} {'after':>11} {'ratio':>6}  worse in")
    for l in lines:
        print(f"{l['what']:<58} {l['before']:>11g} {l['after']:>11g} {l['ratio']:>6.3f}  "
              f"{l['worse_in']} of {l['pairs']}{'  WORSE' if l['worse'] else ''}")
    print(f"{worse} worse than {sys.argv[1]} ({name[:12]}); above 1 is better; load average "
          f"{Path('/proc/loadavg').read_text().split()[0]}, {os.cpu_count()} cores")
    where = os.environ.get("BENCH_JSON", "bench-compare.json")
    if where:
        Path(where).write_text(json.dumps({"base": name, "scale": scale, "pairs": pairs, "worse": worse, "rows": lines},
                                          indent=1) + "\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

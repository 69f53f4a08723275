"""A drain through a plugin without a worker, and the CPU time that a job of it costs."""

import os
import subprocess
import time
from pathlib import Path

from harness import PLUGIN_DIR, ROOT

INI = """
[queue q]
password = a-long-secret
[topic q/one]
run_type = null
workers = 8
"""


def null_plugins(folder, more=PLUGIN_DIR, include=ROOT / "include"):
    """A folder of the plugins in `more` and the plugin null; its path."""
    folder.mkdir()
    for so in Path(more).glob("*.so"):
        (folder / so.name).symlink_to(so.resolve())
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden",
                    f"-I{include}", "-o", folder / "null.so", f"{ROOT}/tests/bench/null.c"], check=True)
    return str(folder)


def cpu(broker, redis):
    """Seconds of the broker, of Redis."""
    own = 0
    for task in Path(f"/proc/{broker.pid}/task").iterdir():
        own += int((task / "schedstat").read_text().split()[0]) / 1e9
    info = dict(line.split(":", 1) for line in redis.cmd("INFO", "cpu").splitlines() if ":" in line)
    return own, float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def drain(broker, redis, jobs):
    """CPU a job in us: the broker's, Redis'. And how long it took."""
    broker.admin.post("/api/v1/topics/q/one/pause", {})
    with broker.client("q:a-long-secret") as c:
        for _ in range(jobs // 1000):
            c.call("LPUSH", "q", *["x" * 64] * 1000)
    before, begin = cpu(broker, redis), time.monotonic()
    broker.admin.post("/api/v1/topics/q/one/resume", {})
    while redis.cmd("XLEN", "pb:{q}:s"):
        time.sleep(0.05)
    after = cpu(broker, redis)
    return [(a - b) / jobs * 1e6 for a, b in zip(after, before)], time.monotonic() - begin

#!/usr/bin/env python3
"""A backlog of large jobs before fast workers: what the broker holds, and what Redis holds for it, is
bounded by bytes, however many jobs speed would ask for."""

import json
import os
import re
from pathlib import Path

from harness import SANITIZED, Case, equals, main, wait_until

MB = 4  # of a large job
LARGE = MB << 20
# Four jobs run, each as it came and as a request; 16 MB wait. ASan keeps more.
BOUND = 250 if SANITIZED else 150


class LargeJobs(Case):
    def start(self):
        # Their way in is the largest part of this; without an append-only file it is half as long.
        self.storage = self.redis("redis", "--appendonly", "no")
        fpm = self.fpm(extra="php_admin_value[post_max_size] = 64M")
        self.ini = f"""
{self.php_pool(self.storage, fpm, 4)}
[queue q]
password = pw
[topic q/size]
pool = php
entry = {self.worker("size.php")}
workers = 4
chunk = %s
"""
        asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=32")))
        self.b = self.broker("b", self.ini % 1, env={"ASAN_OPTIONS": asan})
        self.b.becomes("q/size", "state", "open", 10, "open")

    def reload(self, chunk, wait_ms=None):
        self.b.reload(self.ini % chunk)
        self.b.becomes("q/size", "chunk", 100, 10, "chunk = 100")
        if wait_ms:
            self.b.becomes("q/size", "chunk_wait_ms", wait_ms, 10, "chunk_wait")
        self.b.becomes("q/size", "state", "open", 10, "and open again")

    def push_large(self, n):
        job = b"x" * LARGE
        with self.b.client("q:pw", unix=True) as c:
            errors = [json.loads(c.call("LPUSH", "q", job))["error"] for _ in range(n)]
        self.assertEqual(errors, [""] * n, f"{n} jobs of {MB} MB are stored")

    def push_small(self, n):
        self.b.push("q", *range(1, n + 1))

    def small_ones_show_the_speed(self, n):
        self.push_small(n)
        equals(lambda: len(self.lines("handled")), n, 20, "small jobs are handled")

    def large_handled(self):
        """The ids of large jobs that workers have handled, each as often as it was."""
        return [line.split()[0] for line in self.lines("handled") if line.endswith(f" {LARGE}")]

    def all_large_handled(self, n, what, seconds=20):
        equals(lambda: len(set(self.large_handled())), n, seconds, what)

    def memory_mb(self, name):
        """VmHWM: at most; VmRSS: now."""
        status = Path(f"/proc/{self.b.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{name}:\s+([0-9]+) kB", status, re.MULTILINE)[1]) // 1024

    def count_peak_anew(self):
        Path(f"/proc/{self.b.pid}/clear_refs").write_text("5", encoding="ascii")

    def peak_is_below(self, bound, what):
        peak = self.memory_mb("VmHWM")
        print(f"# {peak} MB at most")
        self.assertLess(peak, bound, what)

    def pause(self):
        self.b.admin.post("/api/v1/topics/q/size/pause")
        self.b.becomes("q/size", "state", "paused", 5, "paused")

    def resume(self):
        self.b.admin.post("/api/v1/topics/q/size/resume")


class OneByOne(LargeJobs):
    def redis_mb(self, name):
        return int(self.storage.info("memory")[name]) >> 20

    def test_broker_and_redis_hold_little_and_go_on_after_a_kill(self):
        self.start()
        # Small jobs show the broker how fast the workers are: 128 jobs and more are read ahead.
        self.small_ones_show_the_speed(500)
        self.pause()
        jobs = 200
        self.push_large(jobs)
        before = self.redis_mb("used_memory")
        self.count_peak_anew()
        self.resume()
        wait_until(lambda: len(self.large_handled()) >= 60, 20, "it goes on")
        self.peak_is_below(BOUND, f"the broker had less than {BOUND} MB at any time")
        self.assertLess(self.redis_mb("used_memory_peak") - before, 100,
                        "and Redis less than 100 MB on the way to it")

        self.b.kill()
        self.b.start()
        self.all_large_handled(jobs, "kill -9 in the middle: all are handled", 30)
        self.assertLessEqual(len(self.large_handled()), jobs + 12, "few of them twice")
        self.b.becomes("q/size", "running", 0, 10, "all are settled")
        self.peak_is_below(BOUND, f"the new broker had less than {BOUND} MB at any time")


class Chunks(LargeJobs):
    """Requests of up to 100 jobs: two large ones fill one."""

    def test_large_jobs_behind_small_ones_are_bounded_and_the_memory_is_given_back(self):
        self.start()
        self.reload("100")
        self.small_ones_show_the_speed(1000)
        # While all workers are busy large ones come in behind small ones, of which every free slot
        # takes a hundred.
        self.write("hold", "")
        for i in range(4):
            self.push_small(1)
            self.b.becomes("q/size", "running", i + 1, 5, "four keep the workers busy")
        self.push_small(600)
        self.push_large(60)
        self.count_peak_anew()
        (self.dir / "hold").unlink()
        self.all_large_handled(60, "all are handled")
        # Two jobs in each of four requests.
        self.peak_is_below(BOUND + 30, f"the broker had less than {BOUND + 30} MB at any time")
        if not SANITIZED:  # ASan keeps memory of its own
            # Some 10 MB it has at least, 16 the allocator keeps (M_TRIM_THRESHOLD), and what lies above
            # may be held by one small block; large jobs took 100.
            wait_until(lambda: self.memory_mb("VmRSS") < 50, 10, "when all is done the memory is given back")

    def test_a_request_that_is_full_does_not_wait_for_chunk_wait(self):
        self.start()
        self.reload("100\nchunk_wait = 10m", 600000)  # longer than anything here waits for an event
        self.push_large(2)
        self.all_large_handled(2, "a request that has its 8 MB leaves at once", 10)
        # Small ones that wait before large ones: each request has its hundred, and waits for no more.
        self.pause()
        (self.dir / "handled").unlink()
        self.push_small(400)
        self.push_large(4)
        self.resume()
        equals(lambda: len(self.lines("handled")), 404, 20, "requests that can be full do not wait for chunk_wait")


if __name__ == "__main__":
    main()

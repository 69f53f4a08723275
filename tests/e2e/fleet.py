"""Several brokers on one Redis, each behind a TCP proxy of its own, with workers in the test that
know which node has started which job, and that hold jobs until they are let go."""

import json
import threading
import time
from collections import defaultdict

from harness import wait_until

PASSWORD = "a-long-password"


class Fleet:
    """`nodes` brokers ("a", "b", ...) of one topic q/t. `starts` is (job id, node, attempt, time) of
    all that was started; content "held" runs until release()."""

    def __init__(self, case, nodes=2, lease="2s", workers=8, storage="", topic="", redis=None):
        self.case, self.lease, self.workers = case, lease, workers
        self.storage, self.topic_lines = storage, topic
        self.starts, self.lock = [], threading.Lock()
        self.held = threading.Event()
        self.redis = redis or case.redis("redis", "--enable-debug-command", "yes")
        self.worker = case.http(self.handle)
        self.proxies, self.brokers = {}, {}
        for name in "abcdef"[:nodes]:
            self.proxies[name] = case.tcp_proxy(self.redis.tcp)
            self.brokers[name] = case.broker(name, self.ini(name))
        wait_until(lambda: all(b.topic("q/t")["state"] == "open" for b in self.brokers.values()), 20,
                   "not all topics are open")

    def ini(self, name):
        return f"""
[storage main]
address = {self.proxies[name].address}
lease = {self.lease}
connect_timeout = 2s
command_timeout = 3s
{self.storage}
[pool w]
run_type = http
max_connections = {self.workers}
[queue q]
password = {PASSWORD}
[topic q/t]
storage = main
pool = w
entry = {self.worker.address}/{name}
workers = {self.workers}
timeout = 120s
attempts = 3
backoff = 100ms..200ms
crashes = 2
{self.topic_lines}
"""

    # --- the workers ---

    def handle(self, request):
        jobs = json.loads(request.form["jobs"])
        failed = False
        for job in jobs:
            with self.lock:
                self.starts.append((job["id"], request.path[1:], job["RetryTimes"], time.monotonic()))
            content = job["content"]
            if content.startswith("fails") and job["RetryTimes"] == 1:
                failed = True
                continue
            if "held" in content:
                self.held.wait(600)
        return (500, "the first time it fails") if failed else (200, "done")

    def release(self):
        self.held.set()

    def hold(self):
        self.held.clear()

    def count(self):
        with self.lock:
            return len(self.starts)

    def started(self):
        """Job id -> [(node, attempt), ...]"""
        found = defaultdict(list)
        with self.lock:
            for job, node, attempt, _ in self.starts:
                found[job].append((node, attempt))
        return found

    def nodes_of(self, jobs):
        started = self.started()
        return {job: [node for node, _ in started[job]] for job in jobs}

    # --- jobs ---

    def push(self, n, content="held"):
        """n jobs, by turns at each broker; their ids."""
        names = list(self.brokers)
        return [self.brokers[names[i % len(names)]].push("q", content)[0] for i in range(n)]

    def run_held(self, n):
        """n jobs that are running now on these nodes."""
        self.hold()
        before = self.count()
        jobs = self.push(n)
        wait_until(lambda: self.count() >= before + n, 20, lambda: f"{self.count() - before} of {n} run")
        return jobs

    def run_held_by_all(self, n):
        """n jobs, or more: until each node runs one. A quick one takes all that its workers can."""
        jobs = self.run_held(n)
        while {name for names in self.nodes_of(jobs).values() for name in names} < set(self.brokers):
            jobs += self.run_held(1)
        return jobs

    def settled(self, name=None):
        """Nothing is ready, running or to be retried."""
        b = self.brokers[name] if name else next(b for b in self.brokers.values() if b.running)
        return b.unfinished("q/t") == 0

    def ready(self):
        return all(b.admin.get("/readyz", token=None).status == 200
                   for b in self.brokers.values() if b.running)

    def back(self, seconds=30):
        wait_until(self.ready, seconds, "not all brokers have the storage back")

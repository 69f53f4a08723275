#!/usr/bin/env python3
"""The loss ledger of several nodes: three brokers, two storages, workers by cgi, http and exec, while
Redis is away, full, read-only, slow, frozen and failed over, links are cut and brokers are killed.

Acknowledged minus handled is 0 for each topic. Workers note id, node, time and attempt of each run at
its begin and end. Each second run of a job must have its cause: it failed before (some do on
purpose), or the node or the worker of the run before it died, or that node was silent for longer
than its lease while others were not. An outage of Redis, however long, is no cause.

  LEDGER_SECONDS   after each fault has been once, they go on by chance until then (0)
  LEDGER_SEED      of that chance; printed
  LEDGER_FAILOVER  1: afterwards a failover without coordination, figures only
  LEDGER_LIST      1: every run that was not the first, with its cause
"""

import os
import random
import re
import threading
import time
from collections import defaultdict

from harness import SANITIZED, SLOW, Case, RespClient, RespError, case, main, wait_until
from ledger.stalls import Stalls

LEASE = 2.0 if not SANITIZED else 5.0
SECONDS = float(os.environ.get("LEDGER_SECONDS", "0"))
SEED = int(os.environ.get("LEDGER_SEED") or random.randrange(1, 100000))
PASSWORD = "a-long-password"
NODES = "abc"
TOPICS = {"cgi": "one", "http": "one", "exec": "two", "http2": "two"}
SLACK = 0.5 * SLOW  # an outcome may be so long on its way; what the machine stood still comes on top
LONG = 1.5 * LEASE  # an outage

CGI = """<?php
$d = getenv('T');
function note($d, $line) { $f = fopen("$d/runs", 'a'); fwrite($f, "$line\\n"); fclose($f); }
if (($_POST['type'] ?? '') === 'ping') { header('Code: 200'); header('Consume-Topics: ledger/cgi'); exit; }
$code = 200;
foreach (json_decode($_POST['jobs'], true) as $job) {
    [, , $ms, $kind] = explode('-', $job['content']);
    $run = "cgi $job[content] NODE $job[RetryTimes] " . getmypid();
    note($d, sprintf('begin %s %.3f', $run, microtime(true)));
    usleep($ms * 1000);
    $fails = $kind === 'fails' && ($job['RetryTimes'] == 1 || file_exists("$d/sick"));
    note($d, sprintf('%s %s %.3f', $fails ? 'failed' : 'done', $run, microtime(true)));
    if ($fails) $code = 500;
}
header("Code: $code");
"""

EXEC = """in=$(cat)
content=${in#*'"content":"'}; content=${content%%'"'*}
attempt=${in#*'"RetryTimes":'}; attempt=${attempt%%,*}
IFS=- read -r _ _ ms kind <<E
$content
E
run="exec $content $1 $attempt $$"
echo "begin $run $(date +%s.%3N)" >>"$2/runs"
sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
if [ "$kind" = fails ] && { [ "$attempt" = 1 ] || [ -e "$2/sick" ]; }; then
  echo "failed $run $(date +%s.%3N)" >>"$2/runs"
  exit 70
fi
echo "done $run $(date +%s.%3N)" >>"$2/runs"
"""


class Run:
    """One run of a job by a worker, and how it ended."""

    def __init__(self, node, attempt, begin):
        self.node, self.attempt, self.begin = node, attempt, begin
        self.end, self.outcome = None, None

    def __repr__(self):
        return f"{self.node}#{self.attempt} {self.begin:.3f}..{self.end or 0:.3f} {self.outcome}"


class Ledger(Case):
    def setUp(self):
        super().setUp()
        os.environ["T"] = str(self.dir)
        self.lock, self.enough = threading.Lock(), threading.Event()
        self.acknowledged, self.troubles = {}, 0
        self.events = []  # (kind, what, from, until)
        self.storages = {"one": self.redis("one"), "two": self.redis("two")}
        self.spare = self.redis("spare")
        self.spare.replica_of(self.storages["one"])
        self.fpm = self.fpm("fpm", 12)
        self.worker_ = self.http(self.http_run)
        exec_worker = self.write("worker.sh", EXEC)
        self.proxies, self.brokers = {}, {}
        for node in NODES:
            cgi = self.write(f"worker-{node}.php", CGI.replace("NODE", node))
            for storage, redis in self.storages.items():
                self.proxies[node, storage] = self.tcp_proxy(redis.tcp)
            self.brokers[node] = self.broker(node, self.ini(node, cgi, exec_worker), "drain_timeout = 5s", wait=False)
        for b in self.brokers.values():
            b.wait_ready(30)

    def ini(self, node, cgi, exec_worker):
        storages = "".join(f"""
[storage {s}]
address = {self.proxies[node, s].address}
lease = {int(LEASE * 1000)}ms
connect_timeout = 1s
command_timeout = {int(LEASE * 1000)}ms
""" for s in self.storages)
        topic = "timeout = 30s\nattempts = 30\nbackoff = 100ms..400ms\ncrashes = 100\nworkers = 4\n"
        return f"""{storages}
[pool php]
run_type = cgi
address = {self.fpm.address}
max_connections = 4
[pool web]
run_type = http
max_connections = 8
[pool sh]
run_type = exec
max_connections = 4
[queue ledger]
password = {PASSWORD}
[topic ledger/cgi]
storage = one
pool = php
entry = {cgi}
{topic}
[topic ledger/http]
storage = one
pool = web
entry = {self.worker_.address}/{node}
{topic}
[topic ledger/http2]
storage = two
pool = web
entry = {self.worker_.address}/{node}
{topic}
[topic ledger/exec]
storage = two
pool = sh
entry = /bin/sh {exec_worker} {node} {self.dir}
{topic}
"""

    # --- the workers that live here ---

    def note(self, line):
        with self.lock, open(self.dir / "runs", "a", encoding="ascii") as f:
            f.write(line + "\n")

    def http_run(self, request):
        job = re.search(r'"content":"([^"]*)".*?"RetryTimes":(\d+)', request.form["jobs"])
        content, attempt = job[1], int(job[2])
        _, _, ms, kind = content.split("-")
        run = f"{request.form['topic']} {content} {request.path[1:]} {attempt} -"
        self.note(f"begin {run} {time.time():.3f}")
        time.sleep(int(ms) / 1000)
        fails = kind == "fails" and (attempt == 1 or (self.dir / "sick").exists())
        self.note(f"{'failed' if fails else 'done'} {run} {time.time():.3f}")
        return (500, "on purpose") if fails else (200, "")

    # --- producers ---

    def produce(self, name, token):
        """What is refused, or not answered, is added again: with its token under the same name,
        without one under another."""
        chance, client, at, n = random.Random(f"{SEED}{name}"), None, NODES.index(name[-1]), 0
        while not self.enough.is_set():
            n += 1
            ms = chance.choice((0, 0, 0, 5, 20, 50, 300, 800, int(LEASE * 1500)) if n % 10 == 0 else (0, 2, 10))
            content = f"{name}-{n}-{ms}-{'fails' if n % 23 == 0 else 'good'}"
            while not self.enough.is_set():
                try:
                    if client is None:
                        client = RespClient(self.brokers[NODES[at]].address, timeout=5 * SLOW)
                        client.call("AUTH", f"ledger:{PASSWORD}")
                    if token:
                        client.call("ADDJOB", "ledger", content, 0, "ID", content)
                    elif '"error":""' not in client.call("LPUSH", "ledger", content):
                        raise RespError("refused")
                    self.acknowledged[content] = time.time()
                    break
                except (OSError, RespError) as e:
                    self.troubles += 1
                    if client and not isinstance(e, RespError):
                        client.close()
                        client = None
                    at = (at + 1) % len(NODES) if client is None else at
                    time.sleep(0.05)
                    if not token:
                        break
            time.sleep(0.06 * SLOW)

    # --- faults ---

    def event(self, kind, what, begin):
        self.events.append((kind, what, begin, time.time()))

    def lasting(self, seconds):
        """A fault lasts by the clock: this is its length, and no wait for something."""
        time.sleep(seconds)

    def goes_on(self):
        """Jobs are acknowledged before the next fault: what runs through none shows nothing."""
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) >= before + 30, 30, "no more jobs are acknowledged after a fault")

    def ready_again(self):
        for node, b in self.brokers.items():
            wait_until(lambda b=b: b.admin.get("/readyz", token=None).status == 200, 30,
                       f"broker {node} is not ready again")

    def of(self, storage):
        return [p for (_, s), p in self.proxies.items() if s == storage]

    def away(self, storage="one"):
        begin = time.time()
        self.storages[storage].kill()
        self.lasting(LONG)
        self.storages[storage].start()
        self.ready_again()
        self.event("outage", storage, begin)

    def full(self):
        begin = time.time()
        self.storages["two"].config_set("maxmemory", "1")
        self.lasting(LONG)
        self.storages["two"].config_set("maxmemory", "0")
        self.ready_again()
        self.event("outage", "two", begin)

    def read_only(self):
        begin = time.time()
        self.storages["two"].cmd("REPLICAOF", "127.0.0.1", "1")
        self.lasting(LONG)
        self.storages["two"].cmd("REPLICAOF", "NO", "ONE")
        self.ready_again()
        self.event("outage", "two", begin)

    def frozen(self):
        begin = time.time()
        self.storages["one"].pause()
        self.lasting(LONG)
        self.storages["one"].resume()
        self.ready_again()
        self.event("outage", "one", begin)

    def slow(self):
        begin = time.time()
        for p in self.of("two"):
            p.delay(0.2 * LEASE)
        self.lasting(LONG)
        for p in self.of("two"):
            p.delay(0)
        self.ready_again()
        self.event("outage", "two", begin)

    def followed(self):
        """The spare server has all that the first one has."""
        info = self.storages["one"].info("replication")
        return info.get("slave0") and "state=online" in info["slave0"] and \
            info["master_repl_offset"] == re.search(r"offset=(\d+)", info["slave0"])[1]

    def failover(self):
        """Coordinated: writes pause until the other one has them; then the name means that one."""
        begin, one, spare = time.time(), self.storages["one"], self.spare
        wait_until(lambda: "state=online" in one.info("replication").get("slave0", ""), 30, "no replica")
        one.cmd("FAILOVER", "TO", "127.0.0.1", spare.port)
        wait_until(lambda: spare.info("replication")["role"] == "master", 30, "no failover")
        self.move_to(spare)
        self.ready_again()
        self.event("outage", "one", begin)

    def move_to(self, spare):
        self.spare, self.storages["one"] = self.storages["one"], spare
        for p in self.of("one"):
            p.point_to(spare.tcp)
            p.cut()

    def broker_killed(self, node=None, pause=0.0):
        node = node or self.chance.choice(NODES)
        begin = time.time()
        self.brokers[node].kill()
        self.event("killed", node, begin)
        self.lasting(pause)
        self.brokers[node].start(wait=False)
        self.brokers[node].wait_ready(30)

    def broker_killed_for_long(self):
        self.broker_killed(pause=2.5 * LEASE)

    def broker_killed_in_an_outage(self):
        begin, node = time.time(), self.chance.choice(NODES)
        self.storages["one"].kill()
        self.lasting(LONG)
        self.brokers[node].kill()
        self.event("killed", node, begin)  # outcomes of the whole outage died with it
        self.storages["one"].start()
        self.lasting(LEASE)
        self.brokers[node].start(wait=False)
        self.ready_again()
        self.event("outage", "one", begin)

    def broker_stopped(self):
        node, begin = self.chance.choice(NODES), time.time()
        self.assertEqual(self.brokers[node].stop(), 0)
        self.event("stopped", node, begin)  # is no cause: a drain leaves nothing half done
        self.brokers[node].start(wait=False)
        self.brokers[node].wait_ready(30)

    def broker_frozen(self):
        node, begin = self.chance.choice(NODES), time.time()
        self.brokers[node].pause()
        self.lasting(3 * LEASE)
        self.brokers[node].resume()
        self.ready_again()
        self.event("silent", node, begin)

    def link_cut(self, leases=0.7, kind="cut"):
        node, begin = self.chance.choice(NODES), time.time()
        for (n, _), p in self.proxies.items():
            if n == node:
                p.refuse()
                p.cut()
        self.lasting(leases * LEASE)
        for (n, _), p in self.proxies.items():
            if n == node:
                p.refuse(False)
        self.ready_again()
        self.event(kind, node, begin)  # shorter than a lease it is no cause

    def link_cut_for_long(self):
        self.link_cut(3, "silent")

    def fpm_killed(self):
        begin = time.time()
        with open(f"/proc/{self.fpm.pid}/task/{self.fpm.pid}/children", encoding="ascii") as f:
            children = f.read().split()
        for pid in children:
            try:
                os.kill(int(pid), 9)
            except OSError:
                pass
        self.event("worker", "cgi", begin)

    def replayed_and_undone(self):
        """While some jobs fail again and again, operators replay them, a node dies in the middle of it, and they take
        it back. Then what fails is mended, and all that is left is replayed. A failure is the cause of each run."""
        sick, node, victim = self.dir / "sick", *self.chance.sample(NODES, 2)
        sick.touch()
        wait_until(lambda: all(self.waiting_retries(t) >= 5 for t in TOPICS), 30, "nothing fails")
        acts = [self.act(node, f"topics/ledger/{t}/failed/replay", {"filter": {"set": "both"}, "rate": 3}) for t in TOPICS]
        self.broker_killed(victim)
        undone = [self.act(node, f"acts/{act}/undo", {}) for act in acts]
        for act in acts + undone:
            wait_until(lambda act=act: self.admin(node).get(f"/api/v1/acts/{act}").json["state"] != "running", 60)
        for act in undone:
            ended = self.admin(node).get(f"/api/v1/acts/{act}").json
            self.assertEqual(ended["state"], "done", ended)
        sick.unlink()
        for t in TOPICS:
            self.act(node, f"topics/ledger/{t}/replay", {"all": True, "set": "both"})
        self.acts += len(acts)

    acts = 0

    def admin(self, node):
        return self.brokers[node].admin

    def act(self, node, path, body):
        answer = self.admin(node).post(f"/api/v1/{path}", body)
        self.assertIn(answer.status, (200, 202), answer)
        return answer.json["act"]["id"] if "act" in answer.json else answer.json["id"]

    def waiting_retries(self, topic):
        return self.storages[TOPICS[topic]].cmd("ZCARD", f"pb:{{ledger}}:r:{topic}")

    # --- the judge ---

    def runs(self):
        """topic -> content -> its runs in the order of their begin."""
        found, open_runs = defaultdict(lambda: defaultdict(list)), {}
        for line in self.lines("runs"):
            what, topic, content, node, attempt, pid, at = line.split(" ")
            key = (topic, content, node, attempt, pid)
            if what == "begin":
                run = Run(node, int(attempt), float(at))
                found[topic][content].append(run)
                open_runs[key] = run
            else:
                open_runs[key].end, open_runs[key].outcome = float(at), what
        for contents in found.values():
            for runs in contents.values():
                runs.sort(key=lambda r: r.begin)
        return found

    def on_its_way(self, topic, run):
        """Until when the outcome of the run may have been on its way to Redis."""
        if run.end is None:
            return float("inf")
        until = run.end + SLACK
        for kind, what, begin, end in self.events:
            if kind == "outage" and what == TOPICS[topic] and begin <= until and run.end <= end:
                until = max(until, end + SLACK)
        return until + self.stalls.between(run.end, until + 5)

    def cause(self, topic, before, run):
        """Why a job ran again after the run `before`; None: there is no cause."""
        if before.outcome == "failed":
            return "failed on purpose"
        until = self.on_its_way(topic, before)
        # A worker notes its begin some time after the broker sent it the job.
        for kind, what, begin, end in self.events:
            if kind == "killed" and what == before.node and before.begin - SLACK <= end and begin <= until \
                    and begin <= run.begin:
                return f"broker {what} was killed"
            if kind == "silent" and what == before.node and before.begin - SLACK <= end and begin <= until \
                    and run.begin >= begin + LEASE:
                return f"broker {what} was silent"
            # Its process was being started, on a thread, when the broker stood still.
            if kind == "silent" and what == run.node and topic == "exec" and begin <= run.begin <= end + SLACK \
                    and before.begin >= begin + LEASE:
                return f"broker {what} was silent"
            if kind == "worker" and what == topic and before.begin - SLACK <= end and begin - SLACK <= until:
                return "its worker was killed"
        if any(b - a > LEASE / 2 for a, b in self.stalls if a <= run.begin and b >= before.begin):
            return "the machine stood still"
        return None

    def judge(self):
        """Lost jobs, runs without a cause, number of second runs."""
        lost, unexplained, again = [], [], 0
        found = self.runs()
        for topic in TOPICS:
            done = {c for c, runs in found[topic].items() if any(r.outcome == "done" for r in runs)}
            lost += [f"{topic}: {c}, acknowledged {at:.3f}" for c, at in self.acknowledged.items() if c not in done]
            for content, runs in found[topic].items():
                for before, run in zip(runs, runs[1:]):
                    again += 1
                    cause = self.cause(topic, before, run)
                    if cause is None:
                        unexplained.append(f"{topic}: {content}: {before} then {run}")
                    elif os.environ.get("LEDGER_LIST"):
                        print(f"# {topic}: {content}: {before} then {run}: {cause}")
        return lost, unexplained, again

    # --- all of it ---

    def settled(self):
        return all(b.unfinished(f"ledger/{t}") == 0 for b in self.brokers.values() for t in TOPICS)

    def begin(self):
        self.chance = random.Random(SEED)
        print(f"# seed {SEED}")
        threads = [threading.Thread(target=self.produce, args=(f"{kind}_{n}", kind == "token"), daemon=True)
                   for n in NODES for kind in ("token", "plain")]
        self.stalls = Stalls()
        for t in threads:
            t.start()
        return threads

    def end(self, threads):
        self.enough.set()
        for t in threads:
            t.join(60 * SLOW)
        wait_until(self.settled, 60, lambda: "not all is settled: " + str(
            {t: self.brokers["a"].topic(f"ledger/{t}")["counts"] for t in TOPICS}))
        self.stalls.stop()
        lost, unexplained, again = self.judge()
        print(f"# {len(self.acknowledged)} acknowledged for {len(TOPICS)} topics, {self.troubles} troubles, "
              f"{len(self.events)} faults, {again} second runs: {len(unexplained)} without a cause, {len(lost)} lost")
        return lost, unexplained

    def show(self, what, some):
        return f"{len(some)} {what}:\n" + "\n".join(some[:20]) + "\nfaults:\n" + "\n".join(
            f"{kind} {of} {a:.3f}..{b:.3f}" for kind, of, a, b in self.events)

    @case("T1", "R3", "R4")
    def test_nothing_is_lost_and_every_second_run_has_its_cause(self):
        once = [self.away, self.full, self.failover, self.broker_killed]
        if not SANITIZED:
            once += [self.read_only, self.slow, self.frozen, self.link_cut, self.fpm_killed,
                     self.broker_killed_in_an_outage, self.link_cut_for_long, self.broker_frozen,
                     self.broker_stopped, self.replayed_and_undone]
        threads, started = self.begin(), time.monotonic()
        self.goes_on()
        for fault in once:
            fault()
            self.goes_on()
        while time.monotonic() - started < SECONDS:
            self.chance.choice([*once, self.broker_killed_for_long])()
            self.lasting(self.chance.random())
        lost, unexplained = self.end(threads)
        self.assertGreater(len(self.acknowledged), 100)
        self.assertEqual([], lost, self.show("lost", lost))
        self.assertEqual([], unexplained, self.show("second runs without a cause", unexplained))
        for topic in TOPICS:
            self.assertEqual(self.brokers["a"].topic(f"ledger/{topic}")["dead"], 0)

    def test_a_failover_without_coordination(self):
        if not os.environ.get("LEDGER_FAILOVER"):
            self.skipTest("figures only: LEDGER_FAILOVER=1")
        threads = self.begin()
        wait_until(self.followed, 30, "no replica")
        self.lasting(2)
        begin = time.time()
        self.storages["one"].kill()
        self.spare.cmd("REPLICAOF", "NO", "ONE")
        self.move_to(self.spare)
        self.ready_again()
        self.event("outage", "one", begin)
        self.lasting(2)
        self.end(threads)


if __name__ == "__main__":
    main()

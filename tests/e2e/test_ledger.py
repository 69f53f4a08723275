#!/usr/bin/env python3
"""The loss ledger. Producers note every job that was acknowledged, workers every job they handled, while the
broker is killed again and again, Redis and php-fpm are stopped, frozen, killed and reloaded. At the end:
acknowledged minus handled is 0, for each topic of the queue, and whatever was handled twice was handled around
the death of a broker or of a worker. Nothing else excuses it: not a Redis that stopped, not a reload, not a clean
stop.

  LEDGER_KILLS    how often the broker gets SIGKILL (25)
  LEDGER_SECONDS  how long jobs are added, about (60)
  LEDGER_NODES    brokers on that one Redis (1; or 2, of which one may be away past its lease)
  LEDGER_LIST     1: every job that was handled twice, by name
  LEDGER_SEED     of the faults' order and times; printed
"""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from harness import SLOW, Case, main, php, wait_until
from ledger.judge import Event, Judge
from ledger.stalls import Stalls

KILLS = int(os.environ.get("LEDGER_KILLS", "25"))
SECONDS = int(os.environ.get("LEDGER_SECONDS", "60"))
SEED = int(os.environ.get("LEDGER_SEED") or random.randrange(1, 100000))
NODES = "ab"[:int(os.environ.get("LEDGER_NODES", "1"))]
TOPICS = ("one", "two")
# How long an outcome may be on its way while two cores do all of this, fsync included; what the machine stood
# still comes on top.
SLACK = 0.25 * SLOW
STALL = 0.05
# name, how it adds, microseconds between its requests
PRODUCERS = (("p1", "client", 8000), ("p2", "client", 8000), ("p3", "client", 15000), ("p4", "pipe", 6000))
PROGRAMS = Path(__file__).parent / "ledger"

TOPIC = """timeout = 20s
attempts = 30
backoff = 200ms..1s
"""


class LedgerCase(Case):
    """What the ledger is kept of, and the faults."""

    def setUp(self):
        super().setUp()
        self._need(shutil.which("php") and php("echo extension_loaded('redis') ? 1 : 0;") == "1",
                   "PHP's redis extension")
        # fsync always: what Redis said is on the disk, so a stopped or killed Redis loses nothing.
        self.store = self.redis("redis", "--appendfsync", "always", "--aof-load-truncated", "yes")
        self.fpm_ = self.fpm("fpm", 8, extra="pm.max_requests = 5000", control_timeout="5s")
        self.brokers = {node: self.broker(node, self.ini(), "drain_timeout = 10s") for node in NODES}
        self.chance, self.events = random.Random(SEED), []
        self.killed = self.crashed = self.stuck = 0
        self.unclean = []  # statuses of clean stops that were not 0
        self.outage = None  # since when Redis is away: outcomes of that time die with the broker
        self.node = NODES[0]  # the one that it happens to

    def ini(self):
        return f"""
[storage main]
address = {self.store.address}
lease = 6s
[pool php]
run_type = cgi
address = {self.fpm_.address}
max_connections = {8 // len(NODES)}
connect_timeout = 500ms
[queue ledger]
password = pw
[topic ledger/one]
pool = php
entry = {PROGRAMS / "worker.php"}
workers = 8
{TOPIC}
[topic ledger/two]
pool = php
entry = {PROGRAMS / "worker.php"}
workers = 4
chunk = 16
{TOPIC}
"""

    def produce(self):
        """Starts the producers, spread over the brokers."""
        return [self.spawn("php", PROGRAMS / "producer.php", name, mode, pause,
                           self.brokers[NODES[n % len(NODES)]].bus, name=f"producer.{name}", env={"T": str(self.dir)})
                for n, (name, mode, pause) in enumerate(PRODUCERS)]

    # --- helpers of faults ---

    def event(self, kind, begin, death=False):
        self.events.append(Event(kind, begin, time.time(), death))

    def nap(self, ms):
        """A fault lasts by the clock: this is its length, and no wait for something."""
        time.sleep(ms / 1000)

    def upto(self, ms):
        return self.chance.randrange(ms)

    def ready_again(self):
        for b in self.brokers.values():
            b.wait_ready()

    def redis_again(self):
        """Reading a minute of all this back may take long where others want the machine too."""
        self.store.start(wait=False)
        wait_until(self.store.ready, 60, "Redis does not start")

    def on_its_way(self):
        """What the topics' consumers hold."""
        held = set()
        for topic in TOPICS:
            held |= {(topic, row[0]) for row in self.store.cmd("XPENDING", "pb:{ledger}:s", topic, "-", "+", 10000)}
            held |= {(topic, job) for job in self.store.cmd("HKEYS", f"pb:{{ledger}}:c:{topic}")}
        return held

    def catch_up(self):
        """Outcomes wait while Redis is away, however long ago their jobs were handled: the next kill comes when what
        was on its way by the time it came back has arrived."""
        before = self.on_its_way()
        try:
            wait_until(lambda: not before & self.on_its_way(), 20)
        except AssertionError:
            self.stuck += 1

    def kill_broker(self):
        """One that is not there any more before it is killed has crashed."""
        begin = self.outage or time.time()
        self.crashed += not self.brokers[self.node].running
        self.brokers[self.node].kill()
        self.event("broker-killed", begin, death=True)
        self.killed += 1

    def start_broker(self):
        self.brokers[self.node].start(wait=False)

    def children(self):
        """php-fpm's; it has none for a while when it is reloaded."""
        return [int(p) for p in Path(f"/proc/{self.fpm_.pid}/task/{self.fpm_.pid}/children").read_text().split()]

    # --- faults ---

    def broker_killed(self):
        self.kill_broker()
        if not self.upto(3):
            self.nap(self.upto(400))
        if len(NODES) > 1 and not self.upto(5):
            self.nap(9000)  # its jobs go to the other node
        self.start_broker()
        if not self.upto(6):  # sometimes it is killed while it starts
            self.nap(self.upto(60))
            self.kill_broker()
            self.start_broker()
        self.ready_again()

    def redis_away(self, number):
        self.outage = begin = time.time()
        self.store.signal(number)
        self.store.wait()
        self.nap(self.upto(1500))
        if self.upto(2):  # the broker dies while it cannot store what it knows
            self.kill_broker()
            self.start_broker()
            self.nap(self.upto(500))
        self.redis_again()
        self.ready_again()
        self.catch_up()
        self.outage = None
        self.event(f"redis-{number.name}", begin)

    def redis_stopped(self):
        self.redis_away(signal.SIGTERM)

    def redis_killed(self):
        self.redis_away(signal.SIGKILL)

    def redis_frozen(self):
        begin = time.time()
        self.store.pause()
        self.nap(4000)
        self.store.resume()
        self.ready_again()
        self.catch_up()
        self.event("redis-frozen", begin)

    def broker_stopped(self):
        """A clean stop, which must leave nothing half done."""
        status = self.brokers[self.node].stop()
        self.unclean += [status] if status else []
        self.event("broker-stopped", time.time())
        self.nap(self.upto(300))
        self.brokers[self.node].start()

    def fpm_reloaded(self):
        begin = time.time()
        self.fpm_.signal(signal.SIGUSR2)
        self.nap(400)
        self.event("fpm-reload", begin)

    def fpm_killed(self):
        children, begin = wait_until(self.children, 10), time.time()
        self.fpm_.signal(signal.SIGKILL)
        for pid in children:
            self.kill_child(pid)
        self.fpm_.wait()
        self.event("fpm-killed", begin, death=True)
        self.nap(self.upto(800))
        self.fpm_.sock.unlink(missing_ok=True)
        self.fpm_.start()

    def worker_killed(self):
        """One worker in the middle of its work."""
        children, begin = wait_until(self.children, 10), time.time()
        self.kill_child(self.chance.choice(children))
        self.event("child-killed", begin, death=True)

    def replayed_and_undone(self):
        """An operator replays those that failed the first time, slowly, and takes it back. The broker may die
        meanwhile. A job that waits for its retry is replayed, one that runs is not: none runs twice for this."""
        begin = time.time()
        topic, b = self.chance.choice(TOPICS), self.brokers[self.node]
        wanted = {"filter": {"set": "both", "match": "the FIRST time"}, "rate": 50}
        act = wait_until(lambda: b.admin.post(f"/api/v1/topics/ledger/{topic}/failed/replay", wanted).json["act"]["id"],
                         20, "a replay begins")
        self.nap(self.upto(300))
        if self.upto(2):
            self.kill_broker()
            self.start_broker()
            self.ready_again()
        wait_until(lambda: b.admin.post(f"/api/v1/acts/{act}/undo").status in (200, 202, 409), 20,
                   f"the act {act} is undone, or it is too late for that")
        self.event("replayed-and-undone", begin)

    @staticmethod
    def kill_child(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Ledger(LedgerCase):
    def faults(self):
        """All of them, for about SECONDS."""
        others = [self.redis_stopped, self.fpm_reloaded, self.fpm_killed, self.broker_stopped, self.redis_killed,
                  self.worker_killed, self.redis_frozen, self.fpm_reloaded, self.redis_stopped, self.worker_killed,
                  self.broker_stopped, self.fpm_killed, self.redis_stopped, self.fpm_reloaded, self.broker_stopped,
                  self.replayed_and_undone, self.replayed_and_undone]
        until, every, step = time.time() + SECONDS, KILLS // (len(others) + 1) + 1, 0
        while self.killed < KILLS:
            # What is left of the time, over what is left of the kills: between half and one and a half.
            left = 1000 * max(0, until - time.time())
            self.nap(50 + left / (KILLS - self.killed) * (50 + self.upto(100)) / 100)
            self.node = self.chance.choice(NODES)
            self.broker_killed()
            step += 1
            if step % every == 0 and others:
                self.nap(self.upto(500))
                others.pop(0)()
        for fault in others:
            self.nap(200 + self.upto(500))
            fault()
        self.nap(1000 * max(0, until - time.time()))

    def at_rest(self):
        """Nothing is left to do."""
        count = self.store.cmd
        return not any([count("XLEN", "pb:{ledger}:s"), *[count("ZCARD", f"pb:{{ledger}}:r:{t}") for t in TOPICS]])

    def acknowledged(self):
        """id -> (content, time) of all that the producers were told; ids that were given twice."""
        found, twice = {}, []
        for name, _, _ in PRODUCERS:
            for job, content, ms in (line.split(" ") for line in self.lines(f"acknowledged.{name}")):
                if job in found:
                    twice.append(f"id {job} was given to {found[job][0]} and to {content}")
                found[job] = (content, int(ms) / 1000)
        return found, twice

    def judge(self, topic, stalls):
        acknowledged, twice = self.acknowledged()
        handled = [(job, int(ms) / 1000, content)
                   for job, ms, content in (line.split(" ") for line in self.lines(f"handled.{topic}"))]
        dead = self.store.cmd("ZRANGE", f"pb:{{ledger}}:x:{topic}", 0, -1)
        j = Judge(acknowledged, handled, dead, self.events, stalls, SLACK)
        for line in [*twice, *j.notes, *(j.explained() if os.environ.get("LEDGER_LIST") else []), *j.summary(topic)]:
            print(f"# {line}", flush=True)
        self.assertGreater(len(acknowledged), SECONDS * 10, f"{topic}: enough jobs were acknowledged")
        self.assertTrue(self.lines(f"refused.{topic}"), f"{topic}: some failed the first time")
        self.assertEqual(len(j.lost), 0, f"{topic}: acknowledged minus handled")
        self.assertEqual(len(j.dead), 0, f"{topic}: no job is dead")
        self.assertEqual(len(twice) + j.mixed, 0, f"{topic}: no id twice, no job under another's id")
        self.assertEqual(j.unexplained, 0,
                         f"{topic}: each of the {j.twice} handled more than once is explained by a kill")
        self.assertEqual([self.store.cmd("HLEN", f"pb:{{ledger}}:{k}:{topic}") for k in "hbc"], [0, 0, 0],
                         f"{topic}: no record, body or claim is left behind")
        self.assertEqual(self.store.cmd("XPENDING", "pb:{ledger}:s", topic)[0], 0, f"{topic}: nothing is pending")
        self.assertEqual(self.store.cmd("ZCARD", f"pb:{{ledger}}:x:{topic}"), len(j.dead),
                         f"{topic}: dead jobs are counted")

    def test_nothing_is_lost_and_what_ran_twice_ran_around_a_death(self):
        print(f"# seed {SEED}: {KILLS} kills in about {SECONDS} s", flush=True)
        producers, stalls = self.produce(), Stalls(STALL, self.dir / "stalls.byte")
        self.faults()
        # Everything stays up until nothing is left to do.
        (self.dir / "enough").touch()
        for p in producers:
            self.assertEqual(p.wait(), 0, f"{p.argv} ended")
        last = time.time()
        wait_until(self.at_rest, 90, "all that was added is settled in the end")
        troubles = sum(len(self.lines(f"troubles.{name}")) for name, _, _ in PRODUCERS)
        print(f"# at rest {time.time() - last:.1f} s after the last job; {self.killed} kills; {troubles} times "
              "a producer was told of trouble", flush=True)
        self.assertEqual(self.crashed, 0, "the broker never ended by itself")
        self.ready_again()  # and is up
        self.assertEqual(self.stuck, 0, "what waited for Redis was settled when it was back")
        self.assertTrue(stalls.stop(), "what stands still was noted until now")
        self.assertEqual(self.unclean + [b.stop() for b in self.brokers.values()], [0] * len(NODES),
                         "clean stops end with 0")
        for b in self.brokers.values():
            self.assertEqual(b.logged("AddressSanitizer|runtime error:|LeakSanitizer"), [],
                             "no sanitizer had anything to say")
        for topic in TOPICS:
            with self.subTest(topic):
                self.judge(topic, stalls)


class JudgeCase(Case):
    """Who judges the ledger sees what is wrong with it."""

    def judge(self, acknowledged, handled, dead=(), events=(), stalls=()):
        noted = Stalls()
        noted.stop()
        noted.noted = stalls
        return Judge({job: (content, 100.0) for job, content in acknowledged.items()}, handled, dead, events,
                     noted, 0.25)

    def test_what_was_acknowledged_and_never_handled_is_lost(self):
        j = self.judge({"1": "a", "2": "b", "3": "c"}, [("1", 101.0, "a")], dead=["3"])
        self.assertEqual((j.lost, j.dead, j.mixed), (["2"], {"3"}, 0))

    def test_ids_and_contents_that_do_not_belong_together_are_mixed(self):
        self.assertEqual(self.judge({"1": "a"}, [("1", 101.0, "b")]).mixed, 1, "another content than it was added with")
        self.assertEqual(self.judge({}, [("1", 101.0, "a"), ("2", 101.0, "a")]).mixed, 1, "one content under two ids")

    def test_only_a_death_explains_a_second_handling(self):
        twice = [("1", 101.0, "a"), ("1", 109.0, "a")]
        late = Event("broker-killed", 101.5, 101.6, True)
        for event, stalls, unexplained in ((Event("broker-killed", 101.2, 101.3, True), [], 0),
                                           (late, [], 1),
                                           (late, [(101.1, 101.4)], 0),
                                           (Event("broker-killed", 100.5, 100.6, True), [], 1),
                                           (Event("fpm-reload", 101.0, 101.1, False), [], 1)):
            j = self.judge({"1": "a"}, twice, events=[event], stalls=stalls)
            self.assertEqual((j.twice, j.unexplained), (1, unexplained), f"{event}, stalls {stalls}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Many failed jobs: they are kept, counted and listed, and the error log stays small. Replay and purge of
all end while workers go on failing and producers go on adding."""

import time
from collections import Counter

from harness import SLOW, Case, equals, main, wait_until


class ManyFailed(Case):
    def setUp(self):
        super().setUp()
        self.store = self.redis()
        fpm = self.fpm(children=4)
        self.broken = self.dir / "broken"
        self.broken.write_text("shop 7 is closed\n")
        self.b = self.broker("b", f"""
{self.php_pool(self.store, fpm, 4)}
[queue q]
password = a-long-password
[topic q/once]
pool = php
entry = {self.worker("any.php")}
attempts = 1
[queue r]
password = a-long-password
[topic r/thrice]
pool = php
entry = {self.worker("any.php")}
attempts = 3
backoff = 50ms..100ms
""")

    def produce(self, queue, count, content):
        """Adds jobs one by one; the ids that were told."""
        replies = self.b.push_each(queue, [f"{content}{i}" for i in range(count)])
        return [i for r in replies for i in r["jobs"] or []]

    def dead_at_once(self, count):
        """So many dead jobs of q/once; their ids."""
        ids = self.produce("q", count, "a")
        self.assertEqual(len(set(ids)), count, "each job is acknowledged under an id of its own")
        self.b.becomes("q/once", "dead", count, 30, "all are dead")
        return ids


class Kept(ManyFailed):
    def test_dead_jobs_are_kept_counted_and_listed(self):
        b, ids = self.b, self.dead_at_once(1500)
        self.assertEqual(len(self.lines("tries")), 1500, "after one attempt each")
        equals(lambda: len(b.ctl("topic", "errors", "q/once", "--count", "1000", "--json").json["errors"]), 1000, 10,
               "the error log can be read")
        # Redis trims by whole nodes of a hundred entries.
        self.assertLessEqual(self.store.cmd("XLEN", "pb:{q}:e:once"), 1200,
                             "the error log keeps about the last thousand")
        listed = [job["id"] for at in range(0, 2000, 400)
                  for job in b.ctl("topic", "retry", "q/once", "--set", "dead", "--offset", str(at),
                                   "--count", "400", "--json").json["jobs"]]
        self.assertEqual(sorted(listed), sorted(ids), "page by page the list has each of them once")
        self.assertRegex(b.ctl("topic", "retry", "q/once", "--count", "1").out, "1 of 1,500",
                         "and says how many there are")
        self.assertEqual(b.admin.get("/api/v1/topics/q/once/retry?count=1001").status, 400,
                         "a page has at most 1000")
        name = 'pepperbus_topic_jobs{queue="q",topic="once",state="dead"}'
        wait_until(lambda: b.metrics().get(name) == 1500, 10, "/metrics shows how many are dead")


class Replayed(ManyFailed):
    def test_replay_of_all_ends_while_workers_fail(self):
        self.dead_at_once(1500)
        more = self.beside(self.produce, "q", 500, "more")
        start = time.monotonic()
        replayed = self.b.act("q/once", "replay")
        took = time.monotonic() - start
        more.result(60 * SLOW)
        self.assertLess(took, 60, "replay of all ends while workers fail")
        self.assertGreaterEqual(replayed, 1500, "at least those that were dead before")
        self.assertLessEqual(replayed, 2000, "and none twice")
        self.b.becomes("q/once", "dead", 2000, 30, "all are dead again, and the new ones")
        tries = " ".join(self.lines("tries")).split()
        self.assertEqual(len(self.lines("tries")), 2000 + replayed,
                         "each replayed job ran once more, no job more often")
        self.assertEqual([i for i, n in Counter(tries).items() if n > 2], [], "and none a third time")


class Purged(ManyFailed):
    def purge_under_load(self, path, before):
        """Purges of all while 2500 more jobs come and fail; `before`: how many were there already."""
        queue, topic = path.split("/")
        added = self.beside(self.produce, queue, 2500, "p")
        deleted = purges = 0
        while not added.done() or self.b.unfinished(path) or purges < 2:
            deleted += self.b.act(path, "purge")
            purges += 1
        total = before + len(set(added.result()))
        wait_until(lambda: self.b.unfinished(path) == 0, 30, f"{path}: nothing waits or runs any more")
        left = self.b.topic(path)["dead"]
        print(f"# {path}: {purges} purges deleted {deleted} of {total}, {left} are left")
        self.assertGreater(deleted, 100, f"{path}: several purges hit something")
        self.assertEqual(deleted + left, total, f"{path}: deleted and left over are what was there, each counted once")
        self.assertEqual(self.b.topic(path)["done"], 0, f"{path}: none was done")
        records, bodies = (self.store.cmd("HLEN", f"pb:{{{queue}}}:{k}:{topic}") for k in "hb")
        kept = sum(self.store.cmd("HLEN", key) for key in self.store.cmd("KEYS", f"pb:{{{queue}}}:undo:*"))
        self.assertEqual(records, left, f"{path}: and Redis keeps records of the rest only")
        self.assertEqual(bodies, left + kept, f"{path}: and bytes of what can still be undone")
        self.assertEqual(kept, deleted, f"{path}: which is all that was deleted")

    def test_purge_counts_what_it_deletes_while_more_fail(self):
        self.dead_at_once(1500)
        self.purge_under_load("q/once", 1500)

    def test_purge_of_jobs_between_their_attempts(self):
        self.purge_under_load("r/thrice", 0)
        self.b.act("r/thrice", "purge")
        self.broken.unlink()
        self.b.push("r", "after")
        wait_until(lambda: len(self.lines("handled")) == 1, 10, "mended: a new job is handled")


if __name__ == "__main__":
    main()

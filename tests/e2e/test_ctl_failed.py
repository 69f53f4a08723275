#!/usr/bin/env python3
"""pepperbusctl on what failed: errors by cause and as they come; clients."""

import os
import re

from harness import PEPPERBUSCTL, Case, case, main, wait_until

FAIL = """#!/bin/sh
read -r job
case $job in
*smtp*) echo "SMTP connect to 10.0.0.$$ failed after $$ ms" >&2 ;;
*) echo "order $$ is not in table \\"orders\\"" >&2 ;;
esac
exit 70
"""


class FailedCase(Case):
    def setUp(self):
        super().setUp()
        redis = self.redis("main")
        fail = self.write("fail.sh", FAIL)
        os.chmod(fail, 0o755)
        self.b = self.broker("a", f"""
[storage main]
address = {redis.address}
[queue q]
password = a-long-password
[topic q/fails]
run_type = exec
entry = {fail}
attempts = 1
""")

    def fail(self, *contents):
        before = self.b.topic("q/fails")["dead"]
        ids = self.b.push("q", *contents)
        self.b.becomes("q/fails", "dead", before + len(contents))
        return ids

    def ctl(self, *words, status=0):
        r = self.b.ctl(*words)
        self.assertEqual(r.status, status, f"{words}: {r}")
        return r


class Errors(FailedCase):
    @case("V8")
    def test_group_by_cause(self):
        """Numbers and ids differ, the cause is one; the most frequent stands first."""
        self.fail("smtp 1", "order 1", "order 2", "order 3")
        groups = lambda: self.ctl("topic", "errors", "q/fails", "--group", "--json").json["signatures"]
        wait_until(lambda: sum(g["count"] for g in groups()) == 4, 10, "an error is kept after its job")
        self.assertEqual(sorted(g["count"] for g in groups()), [1, 3], "two causes")
        out = self.ctl("topic", "errors", "q/fails", "--group").out
        self.assertRegex(out, r'(?s)FAILURES +SHARE.*\n +3 +75 % .*order # is not in table "orders"\n'
                         r" +1 +25 % .*SMTP connect to #.#.#.# failed", "count, share and the text without numbers")
        self.assertRegex(out, "2 causes of (the latest )?4 failures", "and how many there are")
        self.ctl("topic", "errors", "q/fails", "--group", "--follow", status=2)
        self.ctl("topic", "errors", "q/none", "--group", status=4)

    def test_follow(self):
        first, = self.fail("order 1")
        top = self.terminal(PEPPERBUSCTL, "-c", self.b.path, "topic", "errors", "q/fails", "--follow")
        wait_until(lambda: first in top.screen, 10, "what failed before")
        second, = self.fail("smtp 1")
        wait_until(lambda: second in top.screen, 10, "what fails now")
        self.assertEqual(top.screen.count(first), 1, "nothing is shown twice")
        self.assertLess(top.screen.index(first), top.screen.index(second), "the newest is last")


class Failed(FailedCase):
    def test_one_and_a_list_under_both_names(self):
        first, second = self.fail("order 1", "smtp 2")
        for name in ("failed", "retry"):
            out = self.ctl("topic", name, "q/fails").out
            self.assertRegex(out, rf"(?s){first} +dead .*{second} +dead ", "both, the oldest first")
            self.assertIn("order 1", self.ctl("topic", name, "q/fails", "--id", first).out, "--id: its content")
            self.assertEqual([j["id"] for j in self.ctl("topic", name, "q/fails", "--json").json["jobs"]],
                             [first, second], "--json")
        self.assertIn("2 of 2", self.ctl("topic", "failed", "q/fails", "--count", "5").out, "by place, as before")

    def test_a_file_goes_out_and_comes_back(self):
        self.fail(*[f"smtp {i}" for i in range(2500)], "order \u4e00")
        path = str(self.dir / "out.jsonl")
        told = self.ctl("topic", "export", "q/fails", path)
        self.assertIn("2,501 jobs", told.out)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertFalse(os.path.exists(path + ".part"))
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.assertEqual(self.ctl("topic", "export", "q/fails", "-").out, text)
        one = self.ctl("topic", "export", "q/fails", "--match", "orders", "--format", "csv", "--no-content").out
        self.assertEqual((one.count("\n"), "content" in one), (2, False))
        self.assertIn("0 jobs imported, 2,501 there already", self.ctl("topic", "import", "q/fails", path).out)
        self.ctl("topic", "purge", "q/fails", "--all", "--now", "--yes")
        r = self.b.ctl("topic", "import", "q/fails", stdin=text + "{}\n" + text.splitlines()[0])
        self.assertEqual(r.status, 1, r)
        self.assertIn("2,501 jobs imported, 1 there already, 1 line wrong", r.out)
        self.assertIn("line 2502: \"id\" is not a job id", r.err)
        self.assertEqual(self.b.topic("q/fails")["dead"], 2501)
        told = self.ctl("topic", "import", "q/fails", path, "--dead", "--json").json
        self.assertEqual((told["lines"], told["imported"], told["there"]), (2501, 0, 2501))

    def test_a_file_that_is_not_whole_is_none(self):
        path = str(self.dir / "out.csv")
        r = self.ctl("topic", "export", "q/none", path, status=4)
        self.assertIn("q/none", r.err)
        self.ctl("topic", "export", "q/fails", path, "--format", "xml", status=2)
        self.ctl("topic", "export", "q/fails", "/nowhere/x", status=2)
        self.ctl("topic", "import", "q/fails", "/nowhere/x", status=2)
        self.ctl("topic", "import", "q/fails", str(self.dir), status=2)
        self.assertEqual([f for f in os.listdir(self.dir) if f.startswith("out")], [])

    def test_what_is_no_filter(self):
        for words, what in ((("--code", "x"), "--code x"), (("--attempts", "3..x"), "--attempts 3..x"),
                            (("--since", "soon"), "--since"), (("--limit", "0"), "--limit 0")):
            self.assertIn(what, self.ctl("topic", "failed", "q/fails", *words, status=2).err, "it names the option")
        self.ctl("topic", "replay", "q/fails", status=2)
        self.assertIn("--rate fast", self.ctl("topic", "replay", "q/fails", "--all", "--rate", "fast", status=2).err,
                      "a rate is a number")
        self.ctl("topic", "replay", "q/fails", "--all", "--now", status=2)
        self.ctl("topic", "purge", "q/fails", "--code", "1", "--id", "1", status=2)


class Filter(FailedCase):
    def test_one_cause_is_purged_without_the_other_and_put_back(self):
        self.fail("smtp 1", "order 1", "smtp 2")
        groups = {g["count"]: g["signature"]
                  for g in self.ctl("topic", "failed", "q/fails", "--group", "--json").json["groups"]}
        self.assertRegex(self.ctl("topic", "failed", "q/fails", "--group").out, "2 causes in 3 jobs of 3 failed jobs",
                         "both causes")
        self.assertRegex(self.ctl("topic", "failed", "q/fails", "--match", "SMTP").out, "2 jobs of 3 failed jobs",
                         "--match, in any case")
        one = ("--signature", groups[2])
        self.assertIn("2 jobs of q/fails match; nothing was done",
                      self.ctl("topic", "purge", "q/fails", *one, "--dry-run").out, "--dry-run")
        asked = self.terminal(PEPPERBUSCTL, "-c", self.b.path, "topic", "purge", "q/fails", *one)
        wait_until(lambda: "Delete 2 jobs of q/fails that match" in asked.screen, 10, "the number first")
        asked.type("n\n")
        self.assertEqual(asked.wait(10), 1, "no")
        self.ctl("topic", "purge", "q/fails", *one, status=2)
        self.assertEqual(self.b.topic("q/fails")["dead"], 3, "nothing is gone yet")
        out = self.ctl("topic", "purge", "q/fails", *one, "--yes").out
        self.assertIn("2 jobs deleted", out, "--yes")
        self.b.becomes("q/fails", "dead", 1)
        act = re.search("pepperbusctl act undo (\\S+)", out)[1]
        self.assertIn(f"where signature = {groups[2]}", self.ctl("act", "show", act).out, "act show says which jobs")
        self.assertIn("2 jobs put back", self.ctl("act", "undo", act).out, "act undo")
        self.b.becomes("q/fails", "dead", 3)


class Clients(FailedCase):
    def test_a_client_is_shown_and_its_connection_ended(self):
        c = self.b.client("q:a-long-password")
        row = re.search(r"^ *(\d+) +127.0.0.1:\d+ +q  ", self.ctl("client", "ls").out, re.M)
        self.assertTrue(row, "its address and its queue")
        self.assertIn("say --yes", self.ctl("client", "kill", row[1], status=2).err, "kill asks")
        self.assertEqual(c.call("PING"), "PONG", "and has ended nothing")
        self.ctl("client", "kill", row[1], "--yes")
        wait_until(lambda: "0 of 0 clients on node a" in self.ctl("client", "ls").out, 10, "it is gone")
        self.ctl("client", "kill", row[1], "--yes", status=4)
        self.ctl("client", "kill", "all", "--yes", status=2)


if __name__ == "__main__":
    main()

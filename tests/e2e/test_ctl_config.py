#!/usr/bin/env python3
"""pepperbusctl and the shared configuration: check, diff, apply, conflicts, history, rollback, export, import."""

import json

from cluster import LOCAL
from harness import PEPPERBUSCTL, Case, main, wait_until

SHARED = """; of the team
[queue q]
password = a-good-long-password

# its worker comes by itself
[topic q/t]
storage = main
run_type = pull
workers = {workers}
"""

SECRETS = """
[storage other]
address = {address}
password = a-redis-password
"""


class ConfigCase(Case):
    def setUp(self):
        super().setUp()
        self.redis_ = self.redis("main")
        self.b = self.broker("b", LOCAL.format(address=self.redis_.address))

    def ctl(self, *words, status=0, stdin=""):
        r = self.b.ctl("config", *words, stdin=stdin)
        self.assertEqual(r.status, status, f"{words}: {r}")
        self.assertNotIn("long-password", r.out + r.err, "no secret is printed")
        return r

    def text(self, name="shared.ini", workers=1, more=""):
        return str(self.write(name, SHARED.format(workers=workers) + more))

    def shared(self):
        return self.ctl("shared", "--json").json

    def number(self):
        return self.shared()["number"]

    def applied(self, number):
        """That revision is the newest, and runs here."""
        wait_until(lambda: self.shared()["runs"] == number, 10,
                   lambda: f"revision {number} does not run: {self.b.log_text()[-2000:]}")


class BeforeTheFirstKey(ConfigCase):
    def setUp(self):
        Case.setUp(self)
        self.redis_ = self.redis("main")
        self.b = self.broker("b", f"[storage main]\naddress = {self.redis_.address}\n")

    def key_files(self):
        return [p.name for p in self.b.state_dir.iterdir() if "key" in p.name]

    def test_only_an_apply_makes_the_clusters_key(self):
        secrets = SECRETS.format(address=self.redis("other", "--requirepass", "a-redis-password").address)
        self.ctl("check", self.text(more="colour = blue\n"), status=2)
        self.assertIn("added: storage other", self.ctl("check", self.text(more=secrets)).out)
        self.assertEqual(self.key_files(), [], "a check makes no key")
        self.ctl("apply", self.text(more=secrets))
        self.applied(1)
        self.assertEqual(len(self.key_files()), 1, "an apply does")


class Applying(ConfigCase):
    def test_check_tells_what_would_change_and_changes_nothing(self):
        r = self.ctl("check", self.text())
        self.assertRegex(r.out, "sound(?s:.*)added: queue q\n(?s:.*)added: topic q/t\n")
        self.assertEqual(self.number(), 0)
        self.ctl("check")  # of the local file, as ever

    def test_apply_says_what_changed(self):
        r = self.ctl("apply", self.text(), "-m", "the first")
        self.assertRegex(r.out, "^revision 1 is the newest\n(?s:.*)added: queue q\n")
        self.applied(1)
        self.assertEqual(self.b.topic("q/t")["workers"], 1, "it runs")
        r = self.ctl("apply", "-", "--base", "1", stdin=SHARED.format(workers=4))
        self.assertRegex(r.out, r"^revision 2 is the newest\n  changed: topic q/t \(workers\)\n$")
        self.applied(2)
        r = self.ctl("apply", self.text(workers=4))
        self.assertEqual((r.out, r.err), ("nothing changed; revision 2 stays the newest\n", ""), "once")
        o = self.ctl("apply", self.text(workers=5), "--json").json
        self.assertEqual(o["number"], 3, "--json is the API's answer")

    def test_faults_are_told_with_the_lines_of_the_file(self):
        path = self.text(workers="many")
        self.assertRegex(self.ctl("check", path, status=2).err, f"^{path}:9: .*workers")
        self.assertRegex(self.ctl("apply", path, status=2).err, f"^{path}:9: .*workers")
        path = self.text(more="[topic q/t2\n")
        self.assertRegex(self.ctl("apply", path, status=2).err, f"^{path}:10: ")
        path = self.text(more="\n\n; end\n[topic q/u]\nrun_type = exec\nentry = /bin/true\n")
        self.assertRegex(self.ctl("apply", path, status=2).err, f"^{path}:1[3-5]: ", "what may not be shared")
        self.assertRegex(self.ctl("apply", "-", status=2, stdin="[server]\nlisten = x\n").err, "^standard input:1: ")
        self.assertEqual(self.number(), 0)

    def test_two_people_who_apply_on_one_base(self):
        self.ctl("apply", self.text())
        self.applied(1)
        self.ctl("apply", self.text(workers=2), "--base", "1")
        self.applied(2)
        mine = self.text("mine.ini", workers=1, more="[queue mine]\npassword = another-good-long-password\n")
        r = self.ctl("apply", mine, "--base", "1", status=1)
        self.assertRegex(r.err, r"theirs(?s:.*)changed: topic q/t \(workers\)")
        self.assertRegex(r.err, r"yours(?s:.*)queue mine")
        self.assertIn("export", r.err, "and what to do")
        self.assertEqual(self.number(), 2, "nothing is overwritten")

    def test_a_secret_does_not_follow_a_changed_address(self):
        other = self.redis("other", "--requirepass", "a-redis-password")
        self.ctl("apply", self.text(more=SECRETS.format(address=other.address)))
        self.applied(1)
        masked = SECRETS.format(address="127.0.0.1:1").replace("a-redis-password", "********")
        r = self.ctl("apply", self.text(more=masked), "--base", "1", status=1)
        self.assertRegex(r.err, r"given again(?s:.*)storage other.*password")

    def test_what_is_no_base_is_refused(self):
        self.assertIn("--base", self.ctl("apply", self.text(), "--base", "one", status=2).err)
        self.ctl("apply", str(self.dir / "nothing.ini"), status=2)
        self.ctl("rollback", "x", status=2)

    def test_on_a_terminal_a_text_without_a_base_is_shown_first(self):
        self.ctl("apply", self.text())
        self.applied(1)
        for key, status, number in (("n", 1, 1), ("y", 0, 2)):
            t = self.terminal(PEPPERBUSCTL, "-c", self.b.path, "config", "apply", self.text(workers=9))
            wait_until(lambda: "[y/N]" in t.screen, 20, lambda: t.screen)
            self.assertIn("changed: topic q/t (workers)", t.screen)
            t.type(f"{key}\n")
            self.assertEqual(t.wait(20), status, t.screen)
            self.assertEqual(self.number(), number)


class History(ConfigCase):
    def setUp(self):
        super().setUp()
        for workers in (1, 2, 3):
            self.ctl("apply", self.text(workers=workers), "-m", f"{workers} workers")
            self.applied(workers)

    def test_rollback_is_an_old_text_as_a_new_revision(self):
        r = self.ctl("rollback", "1")
        self.assertRegex(r.out, r"^revision 4 is the newest\n  changed: topic q/t \(workers\)\n$")
        self.applied(4)
        self.assertEqual(self.b.topic("q/t")["workers"], 1)
        self.assertIn("workers = 1\n", self.ctl("shared").out)
        self.ctl("rollback", "99", status=4)

    def test_history_and_what_it_holds(self):
        out = self.ctl("history").out
        self.assertRegex(out, r"3 +20.* 3 workers\n +2 .* 2 workers\n +1 .* 1 workers\n")
        self.assertEqual([r["number"] for r in self.ctl("history", "--limit", "2", "--json").json["revisions"]], [3, 2])
        r = self.ctl("show", "2")
        self.assertIn("workers = 2\n", r.out)
        self.assertRegex(r.err, "^revision 2, .*: 2 workers")
        self.ctl("show", "9", status=4)
        self.ctl("show", "two", status=2)
        self.assertIn("[server]", self.ctl("show").out, "without a number: what is in effect")
        self.assertEqual(self.ctl("diff", "1", "3", status=1).out, "changed: topic q/t (workers)\n")
        self.assertEqual(self.ctl("diff", "3").out, "")
        self.assertEqual(self.ctl("diff", "1", status=1).out, "changed: topic q/t (workers)\n")

    def test_an_export_knows_what_it_was_made_from(self):
        mine = self.ctl("export").out
        self.assertRegex(mine, "^; revision 3 of the shared configuration\n(?s:.*)workers = 3\n")
        self.ctl("apply", self.text(workers=4), "--base", "head")
        self.applied(4)
        self.assertIn("theirs", self.ctl("apply", "-", status=1, stdin=mine.replace("= 3", "= 5")).err,
                      "somebody else was faster")
        again = self.ctl("export").out
        self.ctl("apply", "-", stdin=again.replace("workers = 4", "workers = 5"))
        self.applied(5)
        self.assertEqual(self.b.topic("q/t")["workers"], 5)
        lines = self.ctl("export", "--format", "jsonl").out
        self.assertEqual([json.loads(line)["kind"] for line in lines.splitlines()], ["queue", "topic"])
        self.ctl("import", "-", "--base", "5", stdin=lines.replace('"5"', '"6"'))
        self.applied(6)
        self.assertEqual(self.b.topic("q/t")["workers"], 6, "JSON lines")
        for bad, why in (('{"kind":"queue"', "no JSON"), ('{"kind":"queue"}', "values"),
                         ('{"kind":"queue","name":"a","values":{"max_length":1}}', "max_length is a text"),
                         (lines.splitlines()[0], "is there twice")):
            r = self.ctl("import", "-", "--base", "6", stdin=f"{lines}\n{bad}\n", status=2)
            self.assertRegex(r.err, f"^standard input:4: .*{why}")

    def test_a_file_is_compared_with_the_newest_revision(self):
        self.assertEqual(self.ctl("diff", self.text(workers=3)).out, "")
        r = self.ctl("diff", self.text(workers=3, more="[system s]\n"), status=1)
        self.assertEqual(r.out, "added: system s\n")

    def test_after_a_loss_the_revision_of_a_node_is_restored(self):
        self.redis_.cmd("FLUSHALL")
        wait_until(lambda: self.shared()["state"] == "lost", 20)
        self.assertIn("restore", self.ctl("apply", self.text(workers=7), "--base", "3", status=1).err, "what to do")
        self.ctl("restore")
        wait_until(lambda: self.shared()["state"] == "ready", 20)
        self.assertIn("workers = 3\n", self.ctl("shared").out, "nothing is lost")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""pepperbusctl top: all columns that fit, what is hidden is named, order, filter and pages."""

import re

from harness import PEPPERBUSCTL, Case, case, main, wait_until

TOPICS = 40


class Top(Case):
    def setUp(self):
        super().setUp()
        redis = self.redis("main")
        queues = "".join(f"""
[queue q{i:02d}]
password = a-long-password
[topic q{i:02d}/send-mail-to-customers]
run_type = exec
entry = {"/bin/false" if i == 30 else "/bin/cat"}
attempts = 1
enabled = {"no" if i == 20 else "yes"}
""" for i in range(TOPICS))
        self.b = self.broker("a", f"""
[storage main]
address = {redis.address}
[pool away]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue mail]
password = a-long-password
[topic mail/away]
pool = away
entry = {self.dir}/worker.php
{queues}""")
        self.b.becomes("mail/away", "state", "unreachable")
        self.b.push("mail", "one", "two")
        self.b.push("q30", "fails")
        self.b.becomes("q30/send-mail-to-customers", "dead", 1)

    def top(self, rows, columns, *words):
        return self.terminal(PEPPERBUSCTL, "-c", self.b.path, "top", *words, rows=rows, columns=columns)

    @staticmethod
    def picture(top):
        """The lines of the last whole picture, without colours."""
        frames = [f for f in top.screen.split("\033[H") if "\033[2mq end" in f or "\033[2mtype a" in f]
        return re.sub("\033\\[[?0-9;]*[a-zA-Z]", "", frames[-1]).split("\n") if frames else []

    def shows(self, top, pattern, what):
        wait_until(lambda: re.search(pattern, "\n".join(self.picture(top))), 10, what)
        return "\n".join(self.picture(top))

    def wide(self, lines, columns):
        self.assertEqual([line for line in lines if len(line) > columns], [], f"{columns} columns are enough")

    @case("V5")
    def test_what_does_not_fit_is_named(self):
        """On 80 columns the hidden columns are named, and the reason stands below its topic."""
        top = self.top(24, 80)
        text = self.shows(top, "mail/away", "the topics are shown")
        self.wide(text.split("\n"), 80)
        self.assertLessEqual(len(text.split("\n")), 24, "24 lines are enough")
        self.assertRegex(text, r"topics 1 to \d+ of 41, busiest first", "it says which topics these are")
        self.assertRegex(text, "mail/away +unreachable +2 .*\n    cannot reach php-fpm", "the reason is below its row")
        titles = re.search("^TOPIC.*$", text, re.M)[0].split()
        hidden = re.search("^hidden: ([A-Z ]+);", text, re.M)[1].split()
        self.assertEqual(sorted(titles + hidden), sorted([
            "TOPIC", "STATE", "READY", "RUNNING", "RETRY", "DEAD", "DONE", "FAILED", "OLDEST", "DRAIN", "DELAYED"]),
            "each column is shown or named")
        top.type("\033[C" * 6)
        text = self.shows(top, "TOPIC.*DELAYED", "the right arrow brings the hidden ones")
        self.assertRegex(text, "hidden:.* READY", "and says what is hidden now")
        top.type("q")
        self.assertEqual(top.wait(10), 0, "q ends it")

    @case("V5")
    def test_a_wide_screen_has_all_columns(self):
        text = self.shows(self.top(50, 200), "mail/away", "the topics are shown")
        self.assertRegex(text, "TOPIC +STATE +READY +RUNNING +RETRY +DEAD +DONE +FAILED +OLDEST +DRAIN +DELAYED +WHY",
                         "all columns")
        self.assertNotIn("hidden", text, "nothing is hidden")
        self.assertRegex(text, r"mail/away +unreachable +2 .* [0-9.]+ m?s +stands +0  cannot reach",
                         "age of the oldest job, that it does not drain, and why")

    def test_pages(self):
        top = self.top(24, 120)
        first = self.shows(top, r"topics 1 to \d+ of 41", "the first page")
        shown = int(re.search(r"topics 1 to (\d+)", first)[1])
        top.type(" ")
        self.shows(top, rf"topics {shown + 1} to \d+ of 41", "space: the next page follows without a gap")
        top.type("G")
        text = self.shows(top, "to 41 of 41", "G: the last page")
        self.assertIn("q39/send-mail-to-customers", text, "with the last topic")
        top.type("\033[5~")
        self.shows(top, rf"topics (?!1 )\d+ to (?!41)\d+ of 41", "page up")
        top.type("g")
        self.shows(top, "topics 1 to", "g: the first page")

    def test_filter_and_order(self):
        top = self.top(24, 120)
        self.shows(top, "mail/away", "the topics are shown")
        top.type("/DISABLED")
        text = self.shows(top, r"filter: DISABLED_ \(1 of 41 topics match\)", "the filter takes name, state and reason")
        self.assertIn("q20/send-mail-to-customers", text, "the topic that matches")
        self.assertNotIn("mail/away", text, "and no other one")
        top.type("\r")
        self.shows(top, r"filter: DISABLED \(1 of 41", "Enter keeps it")
        top.type("/\033")
        self.shows(top, "topics 1 to .* of 41", "Esc drops it")
        top.type("/q\x7f\x7fzzz")
        self.shows(top, r"filter: zzz_ \(0 of 41 topics match\); topics 0 to 0 of 0", "nothing matches")
        top.type("\033")
        top.type(">")
        text = self.shows(top, "sorted by TOPIC", "> sorts by the next column")
        self.assertLess(text.index("mail/away"), text.index("q00/"), "by name")
        top.type("r")
        text = self.shows(top, "sorted by TOPIC, reversed", "r reverses")
        self.assertLess(text.index("q39/"), text.index("q38/"), "the last name first")
        top.type("b")
        self.shows(top, "busiest first", "b: as at the start")

    def test_without_a_terminal_everything_is_printed_once(self):
        out = self.b.ctl("top", "--sort", "dead").out
        self.assertEqual(len([line for line in out.split("\n") if "send-mail" in line]), TOPICS, "all topics")
        self.assertNotIn("\033", out, "no colours")
        self.assertNotIn("hidden", out, "nothing is hidden")
        self.assertRegex(out, "WHY\nq30/send-mail-to-customers +open +0 +0 +0 +1", "--sort: most dead jobs first")
        r = self.b.ctl("top", "--sort", "colour")
        self.assertEqual(r.status, 2, "a column that is none")
        self.assertIn("busiest, topic, state, ready", r.err, "and which there are")
        self.assertEqual(len(self.b.ctl("top", "--json").json["topic_list"]), TOPICS + 1, "--json")


if __name__ == "__main__":
    main()

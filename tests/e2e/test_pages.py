#!/usr/bin/env python3
"""doc/operating.md and doc/runbook.md: their commands run, and the lines and reasons that they quote are the broker's.

Commands in blocks of the kind ```sh are run; those that need root or another machine stand in indented blocks.
"""

import errno
import json
import os
import re
import shutil

from harness import PEPPERBUSCTL, PEPPERBUSD, PLUGIN_DIR, ROOT, Case, main, wait_until

PASSWORD = "a-long-password"
INI = f"""
[cluster]
name = prod
[storage main]
managed = yes
[pool php]
run_type = exec
[queue msg]
password = {PASSWORD}
[topic msg/reply]
pool = php
entry = sh -c "! grep -q bad"
attempts = 1
"""


def page(name):
    return (ROOT / "doc" / name).read_text()


# Chapters whose commands test_pages_cluster.py runs.
ELSEWHERE = ("Several nodes, one configuration", "Users and rights", "LDAP", "Behind a proxy", "Keys and secrets")


def section(text, title, level="###"):
    """From this heading to the next of its level or above; the text without it."""
    before, heading, rest = text.partition(f"\n{level} {title}\n")
    assert heading, title
    inside, mark, after = re.split(rf"(?m)(^#{{1,{len(level)}}} )", rest, maxsplit=1)
    return inside, f"{before}\n{mark}{after}"


def commands(text):
    """A line that ends with a backslash goes on in the next."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S):
        yield from re.sub(r" *\\\n *", " ", block).splitlines()


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.b = self.broker("a", INI)
        for name, line in (("pepperbusctl", f'exec {PEPPERBUSCTL} "$@" -c {self.b.path}'),
                           ("pepperbusd", f'exec {PEPPERBUSD} "$@" -p {PLUGIN_DIR}')):
            self.write(f"bin/{name}", f"#!/bin/sh\n{line}\n", 0o755)
        self.write("bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
        self.write("bin/chown", "#!/bin/sh\n", 0o755)  # there is no user pepperbus here
        self.ran = {}
        wait_until((self.b.state_dir / "cluster.key").exists, 20, "the node makes the cluster's key")

    def with_failed_jobs(self):
        """The id of a dead job; a replay or purge before may have taken them all."""
        self.b.push("msg", *["bad"] * 3)
        wait_until(lambda: self.b.topic("msg/reply")["dead"] >= 3, 20)
        return self.b.ctl("topic", "retry", "msg/reply", "--set", "dead", "--json").json["jobs"][0]["id"]

    def run_line(self, line, **names):
        """One command of a page, with the paths and ports of this broker."""
        for there, here in (("/etc/pepperbus/pepperbus.ini", self.b.path), ("/var/lib/pepperbus", self.b.state_dir),
                            ("/var/backups", self.dir), ("127.0.0.1:19840", f"127.0.0.1:{self.b.admin_port}")):
            line = line.replace(there, str(here))
        env = {**os.environ, "PATH": f"{self.dir}/bin:{os.environ['PATH']}", "TERM": "dumb", **names}
        r = self.run_program("bash", "-c", f"set -o pipefail; {line}", env=env)
        # The act may have ended; the copy of a Redis that runs may end within a command.
        self.assertIn(r.status, (0, 1) if re.search("act cancel|redis-check-aof", line) else (0,), f"{line}: {r}")
        return r

    def walk(self, text, at_least):
        lines = list(commands(text))
        self.assertGreaterEqual(len(lines), at_least)
        for line in lines:
            acts = self.b.ctl("act", "ls", "--json").json["acts"]
            job = self.with_failed_jobs()
            groups = self.b.ctl("topic", "failed", "msg/reply", "--group", "--json").json["groups"] if "$SIG" in line else ()
            self.ran[line] = self.run_line(line, ID=job, ACT=acts[0]["id"] if acts else "none",
                                           SIGNATURE=groups[0]["signature"] if groups else "none")

    def test_those_of_operating_run(self):
        text = section(page("operating.md"), "A managed Redis")[1]
        for title in ELSEWHERE:
            text = section(text, title, "##")[1]
        self.walk(text, 16)

    def test_those_of_the_runbook_run(self):
        self._need(shutil.which("jq"), "jq")
        self.walk(page("runbook.md"), 24)

    def test_a_copy_before_a_purge_is_whole(self):
        self._need(shutil.which("jq"), "jq")
        contents = ["bad", "bad" * 4000, "bad \u00fc\n"]
        ids = self.b.push("msg", *contents)
        wait_until(lambda: self.b.topic("msg/reply")["dead"] == 3, 20)
        for line in commands(page("runbook.md").partition("**To keep a copy first,**")[2].partition("\n## ")[0]):
            self.run_line(line)
        copied = [json.loads(line) for line in self.run_line("jq -c . dead.jsonl").out.splitlines()]
        self.assertEqual({c["id"]: c["content"] for c in copied}, dict(zip(ids, contents)))
        self.run_line("pepperbusctl topic purge msg/reply --set dead --all --yes")
        self.assertEqual(self.b.topic("msg/reply")["dead"], 0)
        self.run_line("pepperbusctl topic import msg/reply dead.jsonl")
        wait_until(lambda: self.b.topic("msg/reply")["dead"] == 3, 20)

    def test_a_backup_is_restored(self):
        """A managed Redis: what was there comes back, what came later does not."""
        self._need(shutil.which("redis-check-aof"), "redis-check-aof")
        backup, restore = section(page("operating.md"), "A managed Redis")[0].split("To restore")
        self.b.push("msg", "bad before")
        wait_until(lambda: self.b.topic("msg/reply")["dead"] == 1, 20)
        copies = [self.run_line(line).out.strip() for line in commands(backup)]
        folder = next(c for c in copies if c.startswith(str(self.dir)))
        self.b.push("msg", "bad after")
        wait_until(lambda: self.b.topic("msg/reply")["dead"] == 2, 20)
        for line in commands(restore):
            if line == "sudo systemctl stop pepperbus":
                self.assertEqual(self.b.stop(), 0)
            elif line == "sudo systemctl start pepperbus":
                self.b.start()
            else:
                self.run_line(line, BACKUP=folder)
        jobs = self.b.ctl("topic", "retry", "msg/reply", "--json").json["jobs"]
        self.assertEqual([j["content"] for j in jobs], ["bad before"])


def fragments():
    """What stands in the program's strings, between what is filled in."""
    found = set()
    for path in (p for top in ("core", "plugins") for p in (ROOT / top).rglob("*.[ch]")):
        text = re.sub(r'"\s*\n\s*"', "", path.read_text()).replace('%" PRIu64 "', "%u")
        for string in re.findall(r'"((?:\\.|[^"\\\n])*)"', text):
            found.update(re.split(r"%[-+ 0-9.*]*(?:hh|h|ll|l|z)?[a-zA-Z]", string.replace('\\"', '"')))
    found = {f.replace("\\n", "").strip(" %") for f in found} | {os.strerror(n) for n in errno.errorcode}
    return {f for f in found if len(f) >= 10}


class Words(Case):
    def quoted(self, text):
        """The texts in the first column of tables, without their subject."""
        for row in re.findall(r"^\| (.*?) \|", text, re.M):
            for quote in re.findall(r"`([^`]+)`", row):
                yield re.sub(r"^(msg/\w+|php|pool \w+|storage main|clients|listener|admin|cluster|accounts|audit): ", "", quote)

    def unknown(self, text):
        known = fragments()
        self.assertGreater(len(known), 500)
        lost = []
        for quote in self.quoted(text):
            # Numbers, addresses and the words of error replies are filled in.
            for part in (p.strip() for p in re.split(r"\.\.\.|\S*\d\S*|\b[A-Z]{4,}\b", quote)):
                if len(part) > 12 and not any(k in part or part in k for k in known):
                    lost.append(part)
        return lost

    def test_log_lines_are_the_brokers(self):
        text = page("runbook.md").partition("## Log lines")[2]
        self.assertGreater(len(list(self.quoted(text))), 30)
        self.assertEqual(self.unknown(text), [])

    def test_the_redis_user_is_that_of_the_layout(self):
        """test_acl.py tries the one of store-layout.md."""
        rights = [re.findall(r"^ACL SETUSER.*?(?=```)", page(n), re.M | re.S) for n in ("operating.md", "store-layout.md")]
        self.assertEqual(len(rights[0]), 1)
        self.assertEqual(rights[0], rights[1])

    def test_reasons_are_the_brokers(self):
        """test_contrib.py knows the alerts of Prometheus."""
        text = page("runbook.md").partition("## Log lines")[0]
        text = "".join(s for s in re.split(r"(?m)^(?=## )", text) if not s.startswith(("## Jobs wait", "## Alerts of Prom")))
        self.assertEqual(self.unknown(text), [])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""doc/operating.md and doc/runbook.md: their commands run, and the lines and reasons that they quote are the broker's.

Commands in blocks of the kind ```sh are run; those that need root or another machine stand in indented blocks.
"""

import errno
import os
import re

from harness import PEPPERBUSCTL, PEPPERBUSD, PLUGIN_DIR, ROOT, Case, main, wait_until

PASSWORD = "a-long-password"
INI = f"""
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


def commands(name):
    for block in re.findall(r"^```sh\n(.*?)^```$", page(name), re.M | re.S):
        yield from block.splitlines()


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.b = self.broker("a", INI)
        for name, line in (("pepperbusctl", f'exec {PEPPERBUSCTL} "$@" -c {self.b.path}'),
                           ("pepperbusd", f'exec {PEPPERBUSD} "$@" -p {PLUGIN_DIR}')):
            self.write(f"bin/{name}", f"#!/bin/sh\n{line}\n", 0o755)

    def with_failed_jobs(self):
        """The id of a dead job; a replay or purge before may have taken them all."""
        self.b.push("msg", *["bad"] * 3)
        wait_until(lambda: self.b.topic("msg/reply")["dead"] >= 3, 20)
        return self.b.ctl("topic", "retry", "msg/reply", "--set", "dead", "--json").json["jobs"][0]["id"]

    def run_line(self, line):
        acts = self.b.ctl("act", "ls", "--json").json["acts"]
        env = {**os.environ, "PATH": f"{self.dir}/bin:{os.environ['PATH']}", "TERM": "dumb",
               "ID": self.with_failed_jobs(), "ACT": acts[0]["id"] if acts else "none"}
        here = line.replace("/etc/pepperbus/pepperbus.ini", str(self.b.path))
        here = here.replace("/var/lib/pepperbus", str(self.b.state_dir))
        here = here.replace("127.0.0.1:19840", f"127.0.0.1:{self.b.admin_port}")
        r = self.run_program("bash", "-c", f"set -o pipefail; {here}", env=env)
        if line.startswith("pepperbusctl act cancel"):  # the act may have ended
            self.assertIn(r.status, (0, 1), f"{line}: {r}")
        else:
            self.assertEqual(r.status, 0, f"{line}: {r}")
        return r

    def walk(self, name, at_least):
        lines = list(commands(name))
        self.assertGreaterEqual(len(lines), at_least)
        return {line: self.run_line(line) for line in lines}

    def test_those_of_operating_run(self):
        ran = self.walk("operating.md", 20)
        self.assertTrue(any("aof_rewrite_in_progress:0" in r.out for r in ran.values()))
        self.assertTrue((self.b.state_dir / "main/backup/appendonly.aof.manifest").exists())

    def test_those_of_the_runbook_run(self):
        self.walk("runbook.md", 20)


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
                yield re.sub(r"^(msg/\w+|php|pool \w+|storage main|clients|listener|admin): ", "", quote)

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
        text = page("runbook.md").partition("## Log lines")[0]
        text = "".join(s for s in re.split(r"(?m)^(?=## )", text) if not s.startswith("## Jobs wait"))
        self.assertEqual(self.unknown(text), [])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What differs from one machine to the next: names of programs, versions of libraries."""

import re
import shutil
import subprocess

from harness import Case, case, main, wait_until
from harness.env import PEPPERBUSD, ROOT
from harness.redis import SERVER


class Valkey(Case):
    @case("P1")
    def test_a_managed_storage_takes_valkey_where_there_is_no_redis(self):
        self._need(SERVER, "redis-server")
        tools = self.dir / "path"
        tools.mkdir()
        (tools / "valkey-server").symlink_to(shutil.which(SERVER))
        b = self.broker("a", "[storage main]\nmanaged = yes\n", env={"PATH": str(tools)})
        started = b.logged("started its redis-server")
        self.assertEqual(len(started), 1, b.log_text())
        pid = int(started[0].split("(pid ")[1].split(")")[0])
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            self.assertEqual(f.read().split(b"\0")[0].split(b" ")[0], b"valkey-server", "the program that runs")
        self.assertEqual(b.stop(), 0, "a clean stop")

    @case("P1")
    def test_without_either_the_reason_names_what_was_asked_for(self):
        empty = self.dir / "empty"
        empty.mkdir()
        b = self.broker("a", "[storage main]\nmanaged = yes\n", env={"PATH": str(empty)}, wait=False)
        wait_until(lambda: b.logged("cannot start redis-server: No such file.*install Redis"), 10)


class Hiredis(Case):
    @case("P1")
    def test_the_broker_takes_the_reader_of_hiredis_and_nothing_that_differs_by_release(self):
        """Contexts and replies have another layout in each release."""
        nm = shutil.which("nm")
        self._need(nm, "nm")
        out = subprocess.run([nm, "-D", "--undefined-only", PEPPERBUSD], text=True, capture_output=True, check=True)
        used = {s for s in out.stdout.split() if s.startswith("redis")}
        self.assertEqual(sorted(used), ["redisReaderCreateWithFunctions", "redisReaderFeed", "redisReaderFree",
                                        "redisReaderGetReply"], "what the broker takes of hiredis")


class PhpUnit(Case):
    @case("P1")
    def test_data_providers_are_static(self):
        """PHPUnit 10 and later refuse others, which 9 takes."""
        texts = [p.read_text() for p in sorted((ROOT / "sdk/php/tests").glob("*.php"))]
        names = {n for t in texts for n in re.findall(r"@dataProvider (\w+)", t)}
        self.assertTrue(names)
        found = {n for t in texts for n in re.findall(r"^    (?:public )?function (\w+)\(", t, re.M) if n in names}
        self.assertEqual(found, set(), "data providers that are not static")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What differs from one machine to the next: names of programs, versions of libraries."""

import os
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
        (tools / "valkey-server").symlink_to(shutil.which("valkey-server") or SERVER)
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


class Reconfigured(Case):
    @case("P3")
    def test_another_prefix_in_the_same_build_folder_is_in_the_objects_then(self):
        self._need((ROOT / "configure").exists(), "configure")
        # One object each of the broker, of pepperbusctl and of a plugin that knows a path.
        objects = ["core/libcore_a-settings_check.o", "core/ctl/pepperbusctl-api.o",
                   "plugins/exec/la-launch.lo", "core/pepperbusd-main.o"]
        build = self.dir / "build"
        build.mkdir()
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "TESTS")}

        def step(*argv):
            p = subprocess.run([str(a) for a in argv], cwd=build, env=env, text=True, stdin=subprocess.DEVNULL,
                               capture_output=True, check=False)
            self.assertEqual(p.returncode, 0, p.stdout[-2000:] + p.stderr[-2000:])
            return p.stdout

        def texts():
            found = [p for p in sorted(build.rglob("*.o"))]
            self.assertTrue(found)
            return b"".join(p.read_bytes() for p in found)

        configure = [ROOT / "configure", "CC=" + os.environ.get("CC", "cc"), "CFLAGS=-O0"]
        step(*configure, "--prefix=/opt/first")
        step("make", *objects)
        self.assertIn(b"/opt/first/etc/pepperbus", texts())
        self.assertNotIn("  CC ", step("make", *objects), "nothing to do")
        step(*configure, "--prefix=/opt/second", "--sysconfdir=/srv/conf")
        step("make", *objects)
        self.assertNotIn(b"/opt/first", texts(), "the old prefix in an object")
        for place in (b"/srv/conf/pepperbus/pepperbus.ini", b"/opt/second/lib/pepperbus",
                      b"/opt/second/libexec/pepperbus/pepperbus-exec"):
            self.assertIn(place, texts())
        unit = (build / "conf/pepperbus.service").read_text()
        self.assertIn("ExecStart=/opt/second/bin/pepperbusd -c /srv/conf/pepperbus/pepperbus.ini", unit)
        # Other flags are another build, too.
        step(*configure, "--prefix=/opt/second", "--sysconfdir=/srv/conf", "CPPFLAGS=-DOTHER")
        self.assertIn("  CC ", step("make", *objects), "other flags: built anew")


if __name__ == "__main__":
    main()

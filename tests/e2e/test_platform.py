#!/usr/bin/env python3
"""What differs from one machine to the next: names of programs, versions of libraries."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

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


class Systemd(Case):
    def unit(self):
        """The unit of this build, with its programs where the build has them."""
        built = Path(PEPPERBUSD).parent / "conf/pepperbus.service"
        self._need(built.exists(), str(built))
        return built.read_text()

    def settings(self, name):
        return re.findall(rf"^{name}=(.*)$", self.unit(), re.M)

    @case("P2")
    def test_the_unit_can_be_loaded(self):
        verify = shutil.which("systemd-analyze")
        self._need(verify, "systemd-analyze")
        text = self.unit()
        self.assertNotRegex(text, r"@[A-Za-z_]+@|\$\{", "a variable that nobody has filled in")
        bindir = re.match(r"(/\S+)/pepperbusd ", self.settings("ExecStart")[0]).group(1)
        text = text.replace(bindir + "/", str(Path(PEPPERBUSD).parent) + "/").replace("=pepperbus\n", "=root\n")
        # Pages are not installed here.
        path = self.write("pepperbus.service", re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
        p = subprocess.run([verify, "verify", "--man=no", path], text=True, capture_output=True, check=False,
                           env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.dir}:"})
        said = [l for l in (p.stdout + p.stderr).splitlines() if "pepperbus" in l]
        self.assertEqual((p.returncode, said), (0, []), p.stderr)

    @case("P2")
    def test_the_unit_leaves_children_to_the_broker(self):
        self.assertEqual(self.settings("KillMode"), ["process"])

    @case("P2")
    def test_a_reload_of_a_bad_file_fails(self):
        """What `systemctl reload` runs, one after the other until one fails."""
        redis = self.redis("main")
        good = f"[storage main]\naddress = {redis.address}\n"
        b = self.broker("a", good)
        path = re.search(r"-c (\S+)", self.settings("ExecStart")[0]).group(1)
        bindir = re.match(r"(/\S+)/pepperbusd ", self.settings("ExecStart")[0]).group(1)

        def reload():
            for line in self.settings("ExecReload"):
                line = line.replace(path, str(b.path)).replace("$MAINPID", str(b.pid))
                line = line.replace(bindir + "/", str(Path(PEPPERBUSD).parent) + "/")
                status = self.run_program(*line.split()).status
                if status:
                    return status
            return 0

        b.write("[storage main]\nadress = 127.0.0.1:1\n")
        self.assertEqual(reload(), 2, "the bad file")
        self.assertTrue(b.running)
        b.write(good + "[queue q]\npassword = a-password-of-q\n")
        self.assertEqual(reload(), 0, "the good one")
        wait_until(lambda: b.logged("configuration reloaded"), 10)
        self.assertFalse(b.logged("was not reloaded"), "the broker has not seen the bad one")

    def heard(self, s, want, seconds=20):
        """Messages to the service manager until one has `want`."""
        said = []

        def come():
            try:
                while True:
                    said.append(s.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return any(want in m for m in said)

        wait_until(come, seconds, lambda: f"{want} was not told, but {said}")
        return said

    @case("P2")
    def test_the_service_manager_hears_what_becomes_of_the_broker(self):
        redis = self.redis("main")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(str(self.dir / "notify"))
            ini = f"[storage main]\naddress = {redis.address}\n"
            b = self.broker("a", ini, server="drain_timeout = 10m", env={"NOTIFY_SOCKET": str(self.dir / "notify")})
            self.heard(s, "READY=1")
            b.reload("[storage main]\nadress = 127.0.0.1:1\n")
            self.heard(s, "STATUS=the configuration was not reloaded")
            b.reload(ini)
            self.heard(s, "STATUS=configuration reloaded")
            self.assertEqual(b.stop(), 0)
            last = self.heard(s, "STOPPING=1")[-1]
            extended = int(re.search(r"EXTEND_TIMEOUT_USEC=(\d+)", last).group(1))
            self.assertGreater(extended, 600 * 10**6, "longer than drain_timeout")

    @case("P2")
    def test_a_start_without_its_redis_is_a_start(self):
        """The service manager would end it otherwise, and jobs of other storages with it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(str(self.dir / "notify"))
            self.broker("a", f"[storage main]\naddress = unix:{self.dir}/nobody.sock\n", wait=False,
                        env={"NOTIFY_SOCKET": str(self.dir / "notify")})
            self.heard(s, "READY=1")


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
        objects = ["core/config/libcore_a-rules.o", "core/tools/ctl/pepperbusctl-api.o",
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

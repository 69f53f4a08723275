#!/usr/bin/env python3
"""examples/plugin-unix as a stranger has it: built with its own Makefile against the installed tree,
installed beside the other plugins, and used: jobs flow, one of a chunk fails alone, the service is
killed and comes back, a reload, figures and health."""

import shutil
import socket
import sys

from harness import ROOT, Case, main, wait_until


class UnixPlugin(Case):
    """The plugin, built and installed; its service is examples/plugin-unix/service.py."""

    def setUp(self):
        super().setUp()
        self._need(self.run_program("sh", "-c", "pkg-config --exists jansson").status == 0, "jansson with its headers")
        self.tree = self.installed()
        self.outside = self.dir / "outside"
        shutil.copytree(ROOT / "examples/plugin-unix", self.outside)
        self.run_program("chmod", "-R", "u+w", self.outside)
        self.make("CFLAGS=-O2 -g -Werror")
        self.make("install")  # pkg-config knows the root
        self.plugin = self.tree.at("plugindir") / "unix.so"
        self.assertTrue(self.plugin.exists(), "it is installed beside the others")
        self.sock = self.dir / "service.sock"

    def make(self, *args):
        r = self.run_program("make", "-C", self.outside, *args, env=self.tree.env, seconds=120)
        self.assertEqual(r.status, 0, f"make {args}: {r.out[-1000:]} {r.err[-1000:]}")

    def service(self):
        with open(self.dir / "seen", "ab") as seen:
            service = self.spawn(sys.executable, self.outside / "service.py", self.sock, name="service", stdout=seen)

        def up():
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.sock))
                return True

        wait_until(up, 10, "the service does not start")
        return service

    def ini(self, pool="connections = 3"):
        return f"""[storage main]
address = {self.redis_server.address}
[pool service]
run_type = unix
address = unix:{self.sock}
{pool}
[queue q]
password = secret-pw
[topic q/log]
pool = service
chunk = 4
attempts = 2
backoff = 100ms..200ms
timeout = 5s
"""

    def start(self, pool="connections = 3", **kw):
        self.redis_server = self.redis()
        return self.broker("b", self.ini(pool), **self.tree.programs, **kw)

    def seen(self, beginning):
        return len([l for l in self.lines("seen") if l.startswith(beginning)])

    def push(self, b, name, n):
        for i in range(n // 20):
            b.push("q", *[f"{name}-{i}-{j}" for j in range(20)])

    def test_it_keeps_the_contract(self):
        self.make("-s", "check")

    def test_it_keeps_the_contract_with_a_service_that_answers(self):
        self.service()
        r = self.run_program("pepperbus-plugin-check", "--pool", f"address=unix:{self.sock}", "--wait", "10000",
                             self.plugin, env=self.tree.env)
        self.assertEqual(r.status, 0, r.out + r.err)

    def test_jobs_flow_and_one_of_a_chunk_fails_alone(self):
        self.service()
        b = self.start()
        self.assertRegex(b.ctl("plugin", "ls").out, r"unix +1\.0 +1\.[0-9]+ +unix +loaded", "plugin ls has it")
        b.becomes("q/log", "state", "open", 10, "its ping passes")
        self.push(b, "first", 200)
        b.becomes("q/log", "done", 200, 20, "200 jobs are done")
        self.assertEqual(self.seen("first-"), 200, "each was seen once")
        b.push("q", "good-1", "bad", "good-2", "good-3")
        b.becomes("q/log", "dead", 1, 20, "one job of a chunk fails, in the end for good")
        b.becomes("q/log", "done", 203, 20, "the others of its chunk are done")
        self.assertEqual(self.seen("good-"), 3, "and ran once each")
        self.assertEqual(self.seen("bad"), 2, "the bad one was tried again, alone")
        b.complains("q/log", "looked at bad", "its message is kept")
        figures = b.metrics()
        self.assertGreaterEqual(figures['pepperbus_unix_connections{pool="service"}'], 1, "its figures are in /metrics")
        self.assertTrue([f for f in figures if f.startswith('pepperbus_unix_requests_total{queue="q",topic="log"')],
                        "those of topics too")
        self.assertEqual(b.stop(), 0, "a clean stop")

    def test_jobs_wait_while_the_service_is_away(self):
        service = self.service()
        b = self.start()
        b.becomes("q/log", "state", "open", 10, "its ping passes")
        service.kill()
        b.push("q", *[f"away-{i}" for i in range(60)])
        b.becomes("q/log", "state", "unreachable", 20, "without the service the topic waits")
        self.assertRegex(b.admin.get("/api/v1/status").text, "service.sock: (No such file|Connection refused)",
                         "the pool says why")
        t = b.topic("q/log")
        self.assertEqual((t["dead"], t["failed"]), (0, 0), "no attempt is counted")
        self.service()
        b.becomes("q/log", "done", 60, 30, "the service comes back: all 60 are done")
        self.assertEqual(self.seen("away-"), 60, "each once")

    def test_reloads_while_jobs_run(self):
        self.service()
        b = self.start()
        for part, pool in enumerate(("in_flight = 5", "in_flight = 12", "in_flight = 12")):
            self.push(b, f"reload-{part}", 140)
            if part < 2:
                b.write(self.ini(pool))
                r = b.ctl("config", "reload")
                self.assertEqual(r.status, 0, f"reload to {pool}: {r}")
        b.becomes("q/log", "done", 420, 30, "420 jobs through two reloads")
        self.assertEqual(self.seen("reload-"), 420, "each once")

    def refusal(self, old, new):
        b = self.start(start=False)
        b.write(b.ini.replace(old, new))
        r = b.check()
        self.assertNotEqual(r.status, 0, "it is refused")
        return r.out + r.err

    def test_an_unknown_key_is_named_with_file_and_line(self):
        self.assertRegex(self.refusal("connections = 3", "address_of = x"), r"b\.ini:[0-9]+: .*address_of")

    def test_a_wrong_address_is_told_in_the_plugins_words(self):
        self.assertRegex(self.refusal(f"address = unix:{self.sock}", "address = 127.0.0.1:99"),
                         r"b\.ini:[0-9]+: .*write unix:/run/service.sock")


if __name__ == "__main__":
    main()

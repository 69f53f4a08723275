#!/usr/bin/env python3
"""MULTI, EXEC and the rest: as Redis answers them, over the commands of jobs, for stock clients."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

from harness import Case, RespError, case, main
from harness.env import PEPPERBUSD, SLOW

INI = """
[storage main]
address = {address}
[queue q]
password = {password}
[topic q/t]
run_type = pull
"""
PASSWORD = "a-long-password"


class Transactions(Case):
    def setUp(self):
        super().setUp()
        self.store = self.redis()

    def bus(self, server="", more=""):
        return self.broker("a", INI.format(address=self.store.address, password=PASSWORD) + more, server=server)

    def stored(self):
        return self.store.cmd("XLEN", "pb:{q}:s")

    def told(self, port, auth, text):
        """What a server sends for the lines of `text`."""
        with socket.create_connection(("127.0.0.1", port), 30 * SLOW) as s:
            if auth:
                s.sendall(f"AUTH q:{PASSWORD}\r\n".encode())
                self.assertEqual(s.recv(100), b"+OK\r\n")
            s.sendall(text.replace("\n", "\r\n").encode())
            s.shutdown(socket.SHUT_WR)
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        return got

    @case("L11")
    def test_it_says_what_redis_says(self):
        b = self.bus()
        for text in (
                "MULTI\nPING\nECHO hi\nEXEC\n",
                "MULTI\nEXEC\n",
                "EXEC\n",
                "DISCARD\n",
                "EXEC x\n",
                "MULTI x\nPING\n",
                "MULTI\nMULTI\nPING\nEXEC\nPING\n",
                "MULTI\nPING\nDISCARD\nPING\nEXEC\n",
                "MULTI\nDISCARD\nDISCARD\n",
                "MULTI\nECHO\nPING\nEXEC\nPING\n",
                "MULTI\nECHO a b c\nDISCARD\nMULTI\nPING\nEXEC\n",
                "WATCH a b\nMULTI\nPING\nEXEC\n",
                "WATCH\n",
                "MULTI\nWATCH a\nPING\nEXEC\n",
                "UNWATCH\nUNWATCH x\n",
                "MULTI\nUNWATCH\nEXEC\n",
                "MULTI\nPING\nQUIT\nEXEC\n",
                "MULTI\nPING\nEXEC x\nEXEC\n",
                "MULTI\nSELECT 0\nSELECT x\nPING\nEXEC\n",
                "MULTI\nECHO a\nEXEC\nMULTI\nECHO b\nEXEC\n",
                "MULTI\nRESET\n",
                "multi\nping\nexec\n",
        ):
            with self.subTest(text=text):
                self.assertEqual(self.told(b.port, True, text), self.told(self.store.port, False, text))

    @case("L11")
    def test_jobs_are_stored_at_exec(self):
        b = self.bus()
        with b.client(f"q:{PASSWORD}") as c:
            self.assertEqual(c.call("MULTI"), "OK")
            self.assertEqual(c.call("LPUSH", "q", "one", "two"), "QUEUED")
            self.assertEqual(c.call("ADDJOB", "q", "three", 0), "QUEUED")
            self.assertEqual(c.call("LPUSH", "nosuch", "x"), "QUEUED")
            self.assertEqual(c.call("ADDJOB", "q", "x", "what"), "QUEUED")
            self.assertEqual(c.call("RPOP", "q/t"), "QUEUED")
            self.assertEqual(c.call("PING"), "QUEUED")
            self.assertEqual(self.stored(), 0)
            pushed, added, wrong, bad, popped, pong = c.call("EXEC")
            self.assertEqual(len(json.loads(pushed)["jobs"]), 2)
            self.assertTrue(added.startswith("D-"))
            self.assertIn("not exist", json.loads(wrong)["error"])
            self.assertIn("timeout", str(bad))
            self.assertEqual(json.loads(popped)["jobs"][0]["content"], "one")
            self.assertEqual(pong, "PONG")
            self.assertEqual(self.stored(), 2)

    @case("L11")
    def test_a_fault_while_queueing_stores_nothing(self):
        b = self.bus(server="max_job_size = 64kb")
        for fault in (("NOSUCH",), ("LPUSH", "q"), ("ADDJOB", "q"), ("LPUSH", "q", "x" * 70000)):
            with self.subTest(fault=fault[0]), b.client(f"q:{PASSWORD}") as c:
                c.call("MULTI")
                c.call("LPUSH", "q", "one")
                with self.assertRaises(RespError):
                    c.call(*fault)
                self.assertEqual(c.call("LPUSH", "q", "two"), "QUEUED")
                with self.assertRaisesRegex(RespError, "^EXECABORT Transaction discarded because of previous errors.$"):
                    c.call("EXEC")
                self.assertEqual(c.call("PING"), "PONG")
                self.assertEqual(self.stored(), 0)

    @case("L11")
    def test_who_one_is_within_a_transaction(self):
        b = self.bus(more="[queue r]\npassword = another-password\n[topic r/t]\nrun_type = pull\n")
        with b.client() as c:
            with self.assertRaisesRegex(RespError, "NOAUTH"):
                c.call("MULTI")
            c.call("AUTH", f"q:{PASSWORD}")
            c.call("MULTI")
            self.assertEqual(c.call("LPUSH", "r", "x"), "QUEUED")
            self.assertEqual(c.call("AUTH", "r:another-password"), "QUEUED")
            self.assertEqual(c.call("AUTH", "r:wrong-password"), "QUEUED")
            self.assertEqual(c.call("LPUSH", "r", "x"), "QUEUED")
            self.assertEqual(c.call("HELLO", "3"), "QUEUED")
            self.assertEqual(c.call("CLIENT", "SETNAME", "me"), "QUEUED")
            before, ok, wrong, after, _hello, name = c.call("EXEC")
            self.assertIn("NOAUTH", json.loads(before)["error"])
            self.assertEqual(ok, "OK")
            self.assertIn("invalid password", str(wrong))
            self.assertEqual(json.loads(after)["error"], "")
            self.assertEqual(name, "OK")
            self.assertEqual(c.call("CLIENT", "GETNAME"), "me")
            c.call("MULTI")
            c.call("LPUSH", "r", "never")
            self.assertEqual(c.call("RESET"), "RESET")
            with self.assertRaisesRegex(RespError, "NOAUTH"):
                c.call("EXEC")
            c.call("AUTH", f"q:{PASSWORD}")
            with self.assertRaisesRegex(RespError, "^ERR EXEC without MULTI$"):
                c.call("EXEC")
        self.assertEqual(self.store.cmd("XLEN", "pb:{r}:s"), 1)

    @case("L11")
    def test_more_than_may_be_on_the_way_is_fed_bit_by_bit(self):
        b = self.bus(server="max_inflight = 10")
        with b.client(f"q:{PASSWORD}") as c:
            c.send("MULTI")
            for i in range(500):
                c.send("LPUSH", "q", f"job {i}")
            c.send("RPOP", "q/t")
            c.send("PING")
            c.send("EXEC")
            c.send("ECHO", "behind")
            self.assertEqual(c.recv(), "OK")
            self.assertEqual([c.recv() for _ in range(502)], ["QUEUED"] * 502)
            answers = c.recv()
            self.assertEqual(len(answers), 502)
            self.assertEqual(len({json.loads(a)["jobs"][0] for a in answers[:500]}), 500)
            self.assertEqual(json.loads(answers[500])["jobs"][0]["content"], "job 0")
            self.assertEqual(answers[501], "PONG")
            self.assertEqual(c.recv(), "behind")
        self.assertEqual(self.stored(), 499)

    @case("L11")
    def test_what_is_queued_has_a_bound(self):
        b = self.bus()
        job = "x" * (4 << 20)
        with b.client(f"q:{PASSWORD}") as c:
            c.call("MULTI")
            for _ in range(15):
                self.assertEqual(c.call("LPUSH", "q", job), "QUEUED")
            with self.assertRaisesRegex(RespError, "^TOOLARGE.*pipeline without MULTI"):
                c.call("LPUSH", "q", job)
            with self.assertRaisesRegex(RespError, "EXECABORT"):
                c.call("EXEC")
            c.call("MULTI")
            c.call("LPUSH", "q", "small")
            self.assertEqual(len(c.call("EXEC")), 1)
        self.assertEqual(self.stored(), 1)

    @case("L11")
    def test_a_client_that_goes_leaves_nothing(self):
        b = self.bus()
        for _ in range(6):  # more than all clients together may hold, were it kept
            with b.client(f"q:{PASSWORD}") as c:
                c.call("MULTI")
                for _ in range(12):
                    self.assertEqual(c.call("LPUSH", "q", "x" * (4 << 20)), "QUEUED")
        with b.client(f"q:{PASSWORD}") as c:
            c.call("MULTI")
            c.call("LPUSH", "q", "x")
            self.assertEqual(len(c.call("EXEC")), 1)
        self.assertEqual(self.stored(), 1)

    @case("L11")
    def test_redis_that_breaks_within_it(self):
        b = self.bus()
        with b.client(f"q:{PASSWORD}") as c:
            c.call("MULTI")
            for i in range(3):
                c.call("ADDJOB", "q", f"job {i}", 0)
            self.store.config_set("maxmemory", "1")
            answers = c.call("EXEC")
            self.store.config_set("maxmemory", "0")
            self.assertEqual([str(a).split()[0] for a in answers], ["STORAGE"] * 3)
            self.assertEqual(self.stored(), 0)
            c.call("MULTI")
            c.call("ADDJOB", "q", "job", 0)
            self.assertTrue(c.call("EXEC")[0].startswith("D-"))


class StockClients(Case):
    def setUp(self):
        super().setUp()
        self.store = self.redis()
        self.b = self.broker("a", INI.format(address=self.store.address, password=PASSWORD))

    def stored(self):
        return self.store.cmd("XLEN", "pb:{q}:s")

    def program(self, *argv, env=None):
        p = subprocess.run([str(a) for a in argv], text=True, capture_output=True, timeout=90 * SLOW, check=False,
                           env={**os.environ, **(env or {})})
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        return p.stdout.strip()

    @case("L11")
    def test_redis_py(self):
        code = f"""
import redis
r = redis.Redis(port={self.b.port}, password="q:{PASSWORD}")
with r.pipeline() as p:
    for i in range(2000): p.lpush("q", "job")
    p.execute_command("ADDJOB", "q", "job", 0)
    p.ping()
    got = p.execute()
assert len(got) == 2002 and got[-1] is True, got[-3:]
assert got[-2].startswith(b"D-"), got[-2]  # what LPUSH answers redis-py makes a bool of
with r.pipeline() as p:
    p.watch("x")
    p.multi()
    p.lpush("q", "job")
    assert len(p.execute()) == 1
try:
    with r.pipeline() as p:
        p.lpush("q", "job")
        p.execute_command("NOSUCH")
        p.execute()
except redis.ResponseError as e:
    print("refused", "NOSUCH" in str(e))
assert r.ping()
"""
        python = next((p for p in ("python3", "/usr/bin/python3") if shutil.which(p) and subprocess.run(
            [p, "-c", "import redis"], capture_output=True, check=False).returncode == 0), None)
        if not python:
            self.skipTest("python3-redis is not installed")
        self.assertEqual(self.program(python, "-c", code), "refused True")
        self.assertEqual(self.stored(), 2002)

    @case("L11")
    def test_phpredis(self):
        if not shutil.which("php") or "redis" not in self.program("php", "-m").split():
            self.skipTest("phpredis is not installed")
        code = f"""
$r = new Redis(); $r->connect('127.0.0.1', {self.b.port}); $r->auth('q:{PASSWORD}');
$m = $r->multi(); for ($i = 0; $i < 100; $i++) $m->rawCommand('LPUSH', 'q', 'job');
$m->rawCommand('ADDJOB', 'q', 'job', '0'); $m->ping(); $got = $m->exec();
echo count($got), ' ', json_decode($got[0])->error === '' ? 'pushed' : 'failed', ' ', substr($got[100], 0, 2), ' ';
$r->multi(); $r->rawCommand('LPUSH', 'q', 'job'); $r->discard();
echo $r->ping() ? 'on' : 'off';
"""
        self.assertEqual(self.program("php", "-r", code), "102 pushed D- on")
        self.assertEqual(self.stored(), 101)

    @case("L11")
    def test_predis(self):
        here = Path(__file__).resolve().parents[2]
        found = [p for p in (Path("/usr/share/php/Predis/Autoloader.php"), Path("/usr/share/php/Predis/autoload.php"),
                             here / "sdk/php/vendor/autoload.php") if p.exists()]
        if not shutil.which("php") or not found:
            self.skipTest("predis is not installed")
        code = f"""
error_reporting(E_ALL & ~E_DEPRECATED); require '{found[0]}';
if (class_exists('Predis\\\\Autoloader')) Predis\\Autoloader::register();
$r = new Predis\\Client(['port' => {self.b.port}, 'password' => 'q:{PASSWORD}']);
$got = $r->transaction(function ($t) {{ for ($i = 0; $i < 100; $i++) $t->lpush('q', ['job']); $t->ping(); }});
echo count($got), ' ', json_decode($got[99])->error === '' ? 'pushed' : 'failed';
"""
        self.assertEqual(self.program("php", "-r", code), "101 pushed")
        self.assertEqual(self.stored(), 100)

    @case("L11")
    def test_ioredis(self):
        npm = Path(os.environ.get("PEPPERBUS_NPM_DIR") or Path(PEPPERBUSD).parent / "npm") / "node_modules"
        if not shutil.which("node") or not (npm / "ioredis").exists():
            self.skipTest(f"ioredis is not in {npm}")
        code = f"""
const Redis = require("ioredis");
(async () => {{
  const r = new Redis({{ port: {self.b.port}, password: "q:{PASSWORD}", retryStrategy: null }});
  const m = r.multi();
  for (let i = 0; i < 100; i++) m.lpush("q", "job");
  m.ping();
  const got = await m.exec();
  const bad = await r.multi().lpush("q", "job").call("NOSUCH").exec().then(() => "run", () => "refused");
  console.log(got.length, got.every((g) => g[0] === null) ? "pushed" : "failed", bad, await r.ping());
  r.disconnect();
}})();
"""
        self.assertEqual(self.program("node", "-e", code, env={"NODE_PATH": str(npm)}), "101 pushed refused PONG")
        self.assertEqual(self.stored(), 100)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Stock Redis clients against a real broker, each with its own handshake. One that is not installed
is skipped by name. Packages of npm (tests/e2e/package.json) are looked for in
$PEPPERBUS_NPM_DIR, where `scripts/install-deps test DIR` put them; default: npm/ beside the broker."""

import fcntl
import os
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

from harness import PEPPERBUSD, ROOT, Case, main, wait_until

CLIENTS = ROOT / "tests" / "e2e" / "clients"
NPM = Path(os.environ.get("PEPPERBUS_NPM_DIR") or Path(PEPPERBUSD).parent / "npm")


class Clients(Case):
    def setUp(self):
        super().setUp()
        self.storage = self.redis()
        self.b = self.broker("b", f"""
[storage main]
address = {self.storage.address}
[pool php]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = pw
[topic q/t]
pool = php
entry = {self.worker("log.php")}
""")

    def tearDown(self):
        try:
            with self.b.client("q:pw") as c:
                self.assertIn("protocol_errors:0", c.call("INFO", "stats"), "none of them was misunderstood")
        finally:
            super().tearDown()

    def needs(self, *programs):
        for program in programs:
            self._need(shutil.which(program), program)

    def cli(self, *args, stdin=""):
        self.needs("redis-cli")
        r = self.run_program("redis-cli", "--no-auth-warning", "-p", self.b.port, *args, stdin=stdin, seconds=90)
        return (r.out + r.err).strip()

    def says(self, *argv, **kw):
        """What a client of clients/ has said: its output in one line."""
        r = self.run_program(*argv, seconds=90, **kw)
        return " ".join((r.out + r.err).split())

    def stored(self):
        return self.storage.cmd("XLEN", "pb:{q}:s")


class RedisCli(Clients):
    def test_each_way_to_say_who_one_is(self):
        port = self.b.port
        self.assertIn('"error":""', self.cli("-a", "q:pw", "LPUSH", "q/t", "job"), "redis-cli -a queue:password")
        self.assertIn('"error":""', self.cli("--user", "q", "--pass", "pw", "LPUSH", "q", "job"),
                      "redis-cli --user queue --pass password")
        self.assertIn("PONG", self.cli("--user", "default", "--pass", "q:pw", "PING"), "redis-cli --user default")
        self.assertIn('"error":""', self.cli("-3", "-a", "q:pw", "LPUSH", "q", "job"), "redis-cli -3")
        self.assertIn("pepperbus_version", self.cli("-3", "--user", "q", "--pass", "pw", "INFO", "server"),
                      "redis-cli -3, user and password, INFO")
        self.assertEqual(self.cli("-a", "q:pw", "-n", "0", "ECHO", "hi"), "hi", "redis-cli -n 0")
        self.assertIn("out of range", self.cli("-a", "q:pw", "-n", "1", "ECHO", "hi"),
                      "redis-cli -n 1 says that there is none")
        self.assertIn("NOAUTH", self.cli("-a", "q:no", "PING"), "redis-cli with a wrong password")
        self.assertIn("PONG", self.cli("-u", f"redis://q:pw@127.0.0.1:{port}", "PING"),
                      "redis-cli -u redis://queue:password@")

    def test_pipe_stores_each_job_once(self):
        said = self.cli("-a", "q:pw", "--pipe",
                        stdin="*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$3\r\nabc\r\n" * 1000)
        self.assertIn("errors: 0, replies: 1000", said, "redis-cli --pipe")
        self.assertEqual(self.stored(), 1000, "and each is stored once")

    def test_commands_from_a_pipe_are_answered_in_order(self):
        numbers = [str(i) for i in range(1, 21)]
        said = self.cli("-a", "q:pw", stdin="".join(f"PING {i}\n" for i in numbers))
        self.assertEqual(said.split(), numbers, "redis-cli reading commands from a pipe")

    def test_on_a_terminal(self):
        # On a terminal it asks for COMMAND DOCS first, for its hints; what is typed before its prompt
        # is thrown away.
        self.needs("redis-cli")
        ours, its = os.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        p = self.spawn("redis-cli", "--no-auth-warning", "-p", self.b.port, "-a", "q:pw", name="terminal",
                       stdin=its, stdout=its, stderr=its, env={"TERM": "xterm"}, start_new_session=True)
        os.close(its)
        screen = b""

        def prompts(what):
            """It has prompted, behind that."""
            nonlocal screen
            while select.select([ours], [], [], 0)[0]:
                screen += os.read(ours, 65536)
            return re.search(what + rf".*127\.0\.0\.1:{self.b.port}> ".encode(), screen, re.DOTALL)

        wait_until(lambda: prompts(b""), 10, "redis-cli does not prompt")
        os.write(ours, b"LPUSH q/t typed\r")
        wait_until(lambda: prompts(rb'\\"error\\":\\"\\"'), 10, "redis-cli on a terminal")
        os.write(ours, b"PING\r")
        wait_until(lambda: prompts(b"PONG"), 10, "and it goes on")
        os.write(ours, b"quit\r")
        self.assertEqual(p.wait(), 0, "it ends when it is told to")

    def test_redis_benchmark(self):
        self.needs("redis-benchmark")
        said = self.says("redis-benchmark", "-p", self.b.port, "-a", "q:pw", "-c", 20, "-n", 2000, "-P", 4,
                         "LPUSH", "q/t", "xyz")
        self.assertRegex(said, "throughput summary|requests per second", "redis-benchmark -a queue:password")
        self.assertEqual(self.stored(), 2000, "and each is stored once")


class Libraries(Clients):
    def test_phpredis(self):
        self.needs("php")
        self._need(self.run_program("php", "-r", 'exit((int) !extension_loaded("redis"));').status == 0, "phpredis")
        self.assertEqual(self.says("php", CLIENTS / "phpredis.php", "127.0.0.1", self.b.port),
                         "auth ping select push pipeline addjob error info name", "phpredis")

    def test_predis(self):
        self.needs("php")
        places = (Path("/usr/share/php/Predis/autoload.php"), Path("/usr/share/php/Predis/Autoloader.php"),
                  ROOT / "sdk/php/vendor/predis/predis/autoload.php")
        predis = next((p for p in places if p.exists()), None)
        self._need(predis, "predis")
        self.assertEqual(self.says("php", CLIENTS / "predis.php", "127.0.0.1", self.b.port, predis),
                         "ping push pipeline error info refused", "predis")

    def node_client(self, module, script, expected):
        self.needs("node")
        if not (NPM / "node_modules" / module).is_dir():
            self.skipTest(f"{module} is not in {NPM} (scripts/install-deps test {NPM})")
        said = self.says("node", CLIENTS / script, "127.0.0.1", self.b.port,
                         env={**os.environ, "NODE_PATH": str(NPM / "node_modules")})
        self.assertEqual(said, expected, module)

    def test_ioredis(self):
        self.node_client("ioredis", "ioredis.js", "ping push pipeline error info refused")

    def test_node_redis(self):
        self.node_client("redis", "node_redis.js", "ping push pipeline error info name refused")

    def redis_py(self):
        """A Python that has redis-py."""
        def has_it(python):
            return shutil.which(python) and self.run_program(python, "-c", "import redis").status == 0

        python = next((p for p in ("/usr/bin/python3", "python3", sys.executable) if has_it(p)), None)
        self._need(python, "redis-py")
        return python

    def test_redis_py(self):
        self.assertEqual(self.says(self.redis_py(), CLIENTS / "redis_py.py", "127.0.0.1", self.b.port),
                         "ping push pipeline error info name refused user", "redis-py")

    def produce(self, address, *args, password="pw"):
        return self.run_program(self.redis_py(), ROOT / "examples/producers/producer.py", address, *args,
                                env={**os.environ, "PEPPERBUS_PASSWORD": password})

    def test_the_producer_in_python_adds_jobs_now_and_later(self):
        address = f"127.0.0.1:{self.b.port}"
        for args in (["q", "now"], ["q", "later", "3600"]):
            self.assertRegex(self.produce(address, *args).out, r"^D-[0-9a-f]{16}-\S{21}$")
        wait_until(lambda: [self.b.topic("q/t")[k] for k in ("ready", "delayed")] == [1, 1], 20,
                   lambda: str(self.b.topic("q/t")))

    def test_the_producer_in_python_stores_a_job_once_when_the_answer_is_lost(self):
        lost, proxy = [], self.tcp_proxy(f"127.0.0.1:{self.b.port}")

        def lose_the_first_id(data):
            if data.startswith(b"$40") and not lost:
                lost.append(data.decode().split()[1])
                raise OSError("the connection breaks")
            return data

        proxy.change(lose_the_first_id)
        r = self.produce(proxy.address, "q", "job")
        self.assertEqual((r.status, r.out.split()), (0, lost), r)
        self.assertEqual(self.b.topic("q/t")["ready"], 1)

    def test_the_producer_in_python_raises_what_will_not_pass(self):
        address = f"127.0.0.1:{self.b.port}"
        self.assertIn("invalid username-password pair", self.produce(address, "q", "job", password="no").err)
        self.assertIn("DELAY must be a number", self.produce(address, "q", "job", "-1").err)
        self.assertEqual(self.b.topic("q/t")["ready"], 0)

    def test_hiredis(self):
        cc = shlex.split(os.environ.get("CC", "cc"))
        self.needs("pkg-config", cc[0])
        flags = self.run_program("pkg-config", "--cflags", "--libs", "hiredis")
        self._need(flags.status == 0, "hiredis")
        words = [w for w in flags.out.split() if not re.fullmatch(r"-I\S*/hiredis", w)]
        built = subprocess.run([*cc, "-o", self.dir / "hiredis", CLIENTS / "hiredis.c", *words],
                               capture_output=True, check=False)
        self._need(built.returncode == 0, "what a program with hiredis is made of")
        self.assertEqual(self.says(self.dir / "hiredis", "127.0.0.1", self.b.port),
                         "auth push pipeline error", "hiredis")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""managed = yes: the broker's own redis-server, whose data survives whatever happens to the broker."""

import os
import shutil
import signal
from pathlib import Path

from harness import PEPPERBUSD, Case, equals, main, wait_until


class ManagedCase(Case):
    def setUp(self):
        super().setUp()
        self.fpm_ = self.fpm(children=2)
        self.b = self.broker("b", self.ini())

    def ini(self, storage=""):
        return f"""
[storage main]
managed = yes
{storage}
[pool php]
run_type = cgi
address = {self.fpm_.address}
max_connections = 2
[queue q]
password = a-long-password
[topic q/log]
pool = php
entry = {self.worker("log.php")}
"""

    def servers(self):
        """The process ids of all Redis servers of this test."""
        found = []
        for pid in self._at_home():
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() in ("redis-server", "valkey-server"):
                    found.append(pid)
            except OSError:
                pass
        return found

    def server(self):
        servers = self.servers()
        self.assertEqual(len(servers), 1, "there is one redis-server")
        return servers[0]

    def handled(self, count, what):
        equals(lambda: len(self.lines("handled.q.log")), count, 10, what)

    def readyz(self):
        return self.b.admin.get("/readyz", token=None)

    def says(self, pattern, what):
        """Waits until /readyz says that."""
        wait_until(lambda: self.assertRegex(self.readyz().text, pattern) is None, 10, what)


class Survives(ManagedCase):
    def wait_paused(self):
        """Two jobs that wait."""
        self.b.admin.post("/api/v1/topics/q/log/pause")
        self.b.push("q", "two", "three")

    def handle_paused(self, done, what):
        self.b.admin.post("/api/v1/topics/q/log/resume")
        self.handled(done, what)

    def test_a_clean_stop_ends_the_server_and_keeps_the_jobs(self):
        b = self.b
        # How long a call took is the machine's business too.
        self.assertEqual([l for l in b.logged("warning:") if "held up everything else" not in l], [],
                         "no warning, for nothing was wrong")
        b.push("q", "one")
        self.handled(1, "works with a server of its own")
        self.server()
        self.wait_paused()
        self.assertEqual(b.stop(), 0, "a clean stop")
        equals(self.servers, [], 5, "ends the server as well")
        b.start()
        b.becomes("q/log", "ready", 2, 10, "two jobs are still there after a restart")

    def test_kill_9_of_the_broker_leaves_the_server_to_the_next_one(self):
        b = self.b
        self.wait_paused()
        server = self.server()
        b.kill()
        self.assertEqual(self.server(), server, "kill -9 of the broker leaves the server alone")
        b.start()
        self.assertEqual(self.server(), server, "the next broker adopts it")
        self.handle_paused(2, "and handles what waited")

    def test_a_killed_server_is_started_again(self):
        b, server = self.b, self.server()
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: b.lpush("q", "four")["error"] == "", 10, "a killed server is started again")
        self.handled(1, "and used")
        self.assertNotEqual(self.server(), server, "it is another process")
        b.stop()
        equals(self.servers, [], 5, "nothing is left behind")


class OneFolder(ManagedCase):
    def test_a_second_broker_does_not_get_at_the_server_of_the_first(self):
        """By mistake in the same folder."""
        b, server = self.b, self.server()
        second = self.write("second.ini", b.path.read_text().replace(b.address, f"127.0.0.1:{self.free_port()}")
                            .replace(b.admin_address, f"127.0.0.1:{self.free_port()}"), 0o600)
        r = self.run_program(PEPPERBUSD, "-c", second)
        self.assertEqual(r.status, 1, "a second broker in one state_dir does not start")
        self.assertRegex(r.out + r.err, rf"another pepperbusd \(pid {b.pid}\) runs in state_dir",
                         "and says who is there")
        self.assertEqual(self.server(), server, "the first one's server runs on")
        self.assertEqual(self.readyz().status, 200, "and the first one is ready")

    def test_a_zombie_is_no_living_node(self):
        """Killed, and nobody has asked for its exit status."""
        b, pid_file = self.b, self.dir / "b.pid"
        b.stop()
        careless = self.spawn("sh", "-c", '"$1" -c "$2" >>"$3" 2>&1 & echo $! >"$4"; exec sleep 300', "-",
                              PEPPERBUSD, b.path, b.log_path, pid_file, name="careless")
        wait_until(lambda: self.readyz().status == 200, 20, "a broker whose parent does not care")
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", 10,
                   "is killed and a zombie")
        b.start()
        self.assertEqual(self.readyz().status, 200, "the next one starts at once")
        careless.stop()


class Away(ManagedCase):
    def test_without_its_folder_the_reason_is_told(self):
        """Its folder went away with it: that is told, and not that Redis is to be installed."""
        server = self.server()
        shutil.rmtree(self.b.state_dir / "main")
        os.kill(server, signal.SIGKILL)
        self.says("cannot lock .*/main: No such file or directory; trying", "without its folder the reason is told")

    def test_without_a_redis_server_the_reason_is_told(self):
        """The broker says so where somebody looks."""
        self.b.stop()
        self.b.write(self.ini("server_binary = no-such-redis"))
        self.b.start(wait=False)
        self.says("cannot start no-such-redis: No such file.*install Redis",
                  "without a redis-server the reason is told, and what to do")


if __name__ == "__main__":
    main()

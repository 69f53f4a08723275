#!/usr/bin/env python3
"""A configuration whose own path is relative, and the relative paths in it."""

import os
import signal
import subprocess

from harness import Case, RespClient, RespError, case, main, wait_until
from harness.env import PEPPERBUSCTL, PEPPERBUSD, PLUGIN_DIR


class Paths(Case):
    """All that a file names is relative to its folder, wherever the broker was started."""

    def put(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    def queue(self, name, secret):
        self.put(f"conf/parts/secrets/{name}", secret + "\n")
        self.put(f"conf/parts/{name}.ini", f"""[queue {name}]
password_file = secrets/{name}
[topic {name}/t]
run_type = exec
entry = {self.worker_file}
""")

    def setUp(self):
        super().setUp()
        self.home = self.dir / "home"
        store = self.redis()
        store.config_set("requirepass", "of-redis")
        self.port, self.admin_port = self.free_port(), self.free_port()
        self.out = self.dir / "out"
        self.worker_file = self.write("worker.sh", f"#!/bin/sh\ncat >/dev/null\necho ran >>{self.out}\n", 0o755)
        self.put("conf/secrets/redis", "of-redis\n")
        self.queue("q", "a-long-secret")
        self.put("conf/a.ini", f"""[server]
node = a
listen = 127.0.0.1:{self.port}
admin = 127.0.0.1:{self.admin_port}
state_dir = ../state
plugin_dir = plugins
include = parts/*.ini
[storage main]
address = {store.address}
password_file = secrets/redis
""")
        os.symlink(PLUGIN_DIR, self.home / "conf" / "plugins")

    def begin(self, folder, conf):
        """`pepperbusd -c conf` in `folder`."""
        (self.home / folder).mkdir(exist_ok=True)
        p = self.spawn("sh", "-c", 'cd "$1" && exec "$2" -c "$3"', "sh", str(self.home / folder), PEPPERBUSD, conf,
                       name=f"broker-{folder or 'home'}")
        wait_until(lambda: self.adds("q", "a-long-secret"), 20)
        return p

    def adds(self, queue, password):
        try:
            with RespClient(f"127.0.0.1:{self.port}") as c:
                c.call("AUTH", f"{queue}:{password}")
                return '"error":""' in c.call("LPUSH", queue, "job")
        except (OSError, RespError):
            return False

    def ran(self):
        return self.out.read_text().count("ran") if self.out.exists() else 0

    @case("V7")
    def test_a_relative_path_from_several_folders(self):
        for folder, conf in (("", "conf/a.ini"), ("conf", "a.ini"), ("conf", "./a.ini"), ("away", "../conf/a.ini")):
            with self.subTest(folder=folder, conf=conf):
                before = self.ran()
                p = self.begin(folder, conf)
                wait_until(lambda before=before: self.ran() > before, 20)
                self.assertTrue((self.home / "state" / "admin.token").exists())
                for argv in ([PEPPERBUSD, "-t", "-c", conf], [PEPPERBUSCTL, "-c", conf, "status"]):
                    r = subprocess.run(argv, cwd=self.home / folder, capture_output=True, text=True, check=False)
                    self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                p.stop()
        self.assertEqual([f.name for f in self.home.iterdir() if f.is_dir()].count("state"), 1)
        self.assertFalse(list(self.home.glob("*/state")))

    @case("V7")
    def test_a_reload_of_a_relative_path(self):
        p = self.begin("", "conf/a.ini")
        self.queue("more", "another-long-secret")
        self.assertFalse(self.adds("more", "another-long-secret"))
        p.signal(signal.SIGHUP)
        wait_until(lambda: self.adds("more", "another-long-secret"), 20)
        self.queue("q", "a-changed-secret")
        r = subprocess.run([PEPPERBUSCTL, "-c", "conf/a.ini", "config", "reload"], cwd=self.home, capture_output=True,
                           text=True, check=False)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        wait_until(lambda: self.adds("q", "a-changed-secret"), 20)
        self.assertFalse(self.adds("q", "a-long-secret"))
        wait_until(lambda: self.ran() >= 3, 20)


if __name__ == "__main__":
    main()

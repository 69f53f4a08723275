#!/usr/bin/env python3
"""Deploys that switch a symbolic link, and paths that are php-fpm's alone."""

import os
import shutil
import threading

from harness import Case, case, main, wait_until

PHP = """<?php
require __DIR__ . '/lib.php';
parse_str(file_get_contents('php://input'), $form);
header('Code: 200');
if ($form['type'] === 'ping') { header('Consume-Topics: q/t'); exit; }
foreach (json_decode($form['jobs'], true) as $job)
  file_put_contents(%r, release() . ' ' . $job['content'] . "\\n", FILE_APPEND);
"""


class Deploy(Case):
    def release(self, n, log=None):
        path = self.write(f"releases/{n}/w.php", PHP % (log or f"{self.dir}/handled.log"))
        self.write(f"releases/{n}/lib.php", f"<?php function release() {{ return 'r{n}'; }}")
        return path

    def switch(self, n):
        os.symlink(f"releases/{n}", self.dir / "next")
        os.replace(self.dir / "next", self.dir / "current")

    def start(self, fpm, entry, more=""):
        return self.broker("a", f"""[storage main]
address = {self.redis().address}
[pool p]
run_type = cgi
address = {fpm.address}
max_connections = 2
[queue q]
password = secret-pw
[topic q/t]
pool = p
entry = {entry}
workers = 2
attempts = 1
{more}
""")

    def handled(self, word):
        return [l.split()[0] for l in self.lines("handled.log") if l.split()[1] == word]

    @case("L5")
    def test_a_switched_link_takes_effect_and_the_old_release_may_go(self):
        # As production has it: PHP does not look at its files again.
        fpm = self.fpm(children=2, ini=("opcache.enable=1", "opcache.validate_timestamps=0", "realpath_cache_ttl=3600"))
        for n in (1, 2, 3):
            self.release(n)
        self.switch(1)
        b = self.start(fpm, f"{self.dir}/current/w.php")
        b.push("q", *["one"] * 10)
        wait_until(lambda: len(self.handled("one")) == 10, 20)
        for n in (2, 3):
            end = threading.Event()

            def producer(n=n, end=end):
                while not end.wait(0.02):
                    b.push("q", f"while{n}")

            t = threading.Thread(target=producer)
            t.start()
            self.switch(n)
            wait_until(lambda n=n: f"r{n}" in self.handled(f"while{n}"), 20)
            shutil.rmtree(self.dir / f"releases/{n - 1}")
            b.push("q", *[f"after{n}"] * 10)
            wait_until(lambda n=n: len(self.handled(f"after{n}")) == 10, 20)
            end.set()
            t.join()
            self.assertEqual(set(self.handled(f"after{n}")), {f"r{n}"})
        wait_until(lambda: b.unfinished("q/t") == 0, 20)
        self.assertEqual(b.topic("q/t")["failed"], 0, b.ctl("topic", "errors", "q/t").out)

    @case("L5")
    def test_switched_off_the_path_is_sent_as_written(self):
        fpm = self.fpm(children=2)
        self.write("show.php", f"""<?php
parse_str(file_get_contents('php://input'), $form);
header('Code: 200'); header('Consume-Topics: q/t');
if ($form['type'] === 'data') file_put_contents('{self.dir}/handled.log', $_SERVER['SCRIPT_FILENAME'] . " x\\n", FILE_APPEND);
""")
        os.symlink("show.php", self.dir / "link.php")
        for resolve in ("no", "yes"):
            with self.subTest(resolve=resolve):
                (self.dir / "handled.log").unlink(missing_ok=True)
                b = self.start(fpm, f"{self.dir}/link.php", f"entry_realpath = {resolve}")
                b.push("q", "x")
                wait_until(lambda: self.lines("handled.log"), 20)
                real = os.path.realpath(self.dir / "show.php")
                self.assertEqual(self.handled("x"), [real if resolve == "yes" else f"{self.dir}/link.php"])
                b.stop()

    @case("L5")
    def test_a_path_within_a_chroot(self):
        if os.geteuid():
            self.skipTest("only root can have php-fpm change its root")
        self.release(1, "/handled.log")
        fpm = self.fpm(children=2, extra=f"chroot = {self.dir}")
        b = self.start(fpm, "/releases/1/w.php")
        b.push("q", "x")
        wait_until(lambda: self.handled("x") == ["r1"], 20, lambda: str(b.topic("q/t")["why"]))


if __name__ == "__main__":
    main()

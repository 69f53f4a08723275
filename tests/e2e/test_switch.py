#!/usr/bin/env python3
"""A topic changes the way its worker is called, by reloads under load: cgi, http, exec and back. Every
acknowledged job is handled, each by the one file that serves all three, and no attempt fails."""

import shutil
import signal
import time
from collections import Counter

from harness import ROOT, SLOW, Case, equals, main, wait_until

WORKER = """<?php
require '%(root)s/sdk/php/autoload.php';
class Worker {
    public function run(Pepper\\Bus\\Job $job) {
        $way = PHP_SAPI === 'cli' ? 'exec' : (isset($_SERVER['NGINX']) ? 'http' : 'cgi');
        file_put_contents('%(dir)s/handled', "$job->id $way\\n", FILE_APPEND | LOCK_EX);
    }
}
PepperBus::getInstance()->register('q', 'one', 'Worker', 'run')->do();
"""


class Switch(Case):
    def setUp(self):
        super().setUp()
        self.php = shutil.which("php") or self.skipTest("php is not installed")
        self.web = self.free_port()
        self.file = self.write("worker.php", WORKER % {"root": ROOT, "dir": self.dir})
        self.store, self.fpm_ = self.redis(), self.fpm(children=6)
        self.nginx(f"""
  access_log off;
  server {{
    listen 127.0.0.1:{self.web};
    location / {{
      fastcgi_pass {self.fpm_.address};
      fastcgi_param SCRIPT_FILENAME {self.file};
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param NGINX yes;
    }}
  }}
""", self.web)
        self.b = self.broker("b", self.ini("cgi"))
        self.b.becomes("q/one", "state", "open", what="the topic opens")

    def ini(self, way):
        called = {"cgi": f"pool = php\nentry = {self.file}",
                  "http": f"run_type = http\nentry = http://127.0.0.1:{self.web}/",
                  "exec": f"run_type = exec\nentry = {self.php} {self.file}"}
        return f"""
{self.php_pool(self.store, self.fpm_, 4)}
[queue q]
password = a-long-password
[topic q/one]
workers = 4
{called[way]}
"""

    def switch(self, way):
        self.b.write(self.ini(way))
        self.b.signal(signal.SIGHUP)

    def handled(self):
        return [line.split() for line in self.lines("handled")]

    def produce(self):
        """Adds jobs until it is enough, a few hundred more than are handled; the replies."""
        replies = []
        while not self.enough:
            if 20 * len(replies) - len(self.lines("handled")) < 400:
                replies.append(self.b.lpush("q", *range(20)))
            else:
                time.sleep(0.01)
        return replies

    def test_no_job_is_lost_and_no_attempt_fails(self):
        self.enough = False
        producer = self.beside(self.produce)
        for way in ("http", "exec", "cgi", "exec", "http", "cgi", "http", "exec"):
            self.switch(way)
            self.b.becomes("q/one", "run_type", way, what=f"{way}: the reload")
            n = len(self.handled())
            wait_until(lambda n=n: len(self.handled()) > n + 30, 20, f"{way}: few jobs")
        self.enough = True
        replies = producer.result(60 * SLOW)
        self.switch("cgi")  # the quickest, for what has piled up
        self.assertEqual([r for r in replies if r["error"] or len(r["jobs"]) != 20], [], "every job was acknowledged")
        ids = {i for r in replies for i in r["jobs"]}
        equals(lambda: len(ids - {i for i, _ in self.handled()}), 0, 60, "acknowledged minus handled")
        self.assertEqual({way for _, way in self.handled()}, {"cgi", "exec", "http"}, "all three ways were gone")
        self.assertEqual([i for i, n in Counter(i for i, _ in self.handled()).items() if n > 1], [], "each job once")
        wait_until(lambda: self.b.unfinished("q/one") == 0, 10, "every outcome is there")
        t = self.b.topic("q/one")
        self.assertEqual((t["failed"], t["dead"]), (0, 0), "no attempt failed")
        print(f"# {len(ids)} jobs: {dict(Counter(way for _, way in self.handled()))}")


if __name__ == "__main__":
    main()

"""Workers behind a web server: certificates, and topics over HTTP, each in a queue of its own."""

import shutil

from .case import Case
from .env import ROOT
from .nginx import NGINX
from .wait import equals, wait_until

SDK = """<?php
require '{root}/sdk/php/autoload.php';
use Pepper\\Bus\\Job;
use Pepper\\Bus\\PepperBus;
class Worker {{
    public function run(Job $job) {{
        $line = "$job->id $job->attempt $job->content\\n";
        if (strncmp($job->content, 'sleep:', 6) === 0) usleep(1000 * (int) substr($job->content, 6));
        if ($job->content === 'bad' && $job->attempt === 1) throw new RuntimeException('not this one');
        if ($job->topic === 'signed') file_put_contents("{dir}/signature",
            ($_SERVER['HTTP_X_PEPPERBUS_SIGNATURE'] ?? '') . "\\n" . file_get_contents('php://input'));
        file_put_contents("{dir}/handled.$job->topic", $line, FILE_APPEND | LOCK_EX);
        return 'done';
    }}
}}
if (($_POST['type'] ?? '') === 'data')
    file_put_contents("{dir}/requests.$_POST[topic]", count(json_decode($_POST['jobs'])) . "\\n", FILE_APPEND | LOCK_EX);
PepperBus::getInstance()->register($_POST['queue'] ?? 'q', $_POST['topic'] ?? 't', 'Worker', 'run')->do();
"""


class WebCase(Case):
    """`start(("x", KEYS), ...)` has the topic qx/x; a worker of it writes "id attempt content" to handled.x."""

    # --- certificates ---

    def openssl(self, *args):
        self._need(shutil.which("openssl"), "openssl")
        r = self.run_program("openssl", *args)
        self.assertEqual(r.status, 0, r.err)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def certificate(self, name, authority, names="IP:127.0.0.1"):
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.write("ext", f"subjectAltName = {names}")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")

    # --- the SDK's worker behind nginx and php-fpm ---

    def sdk(self):
        """A php-fpm, and www/sdk.php, which is the worker of every topic."""
        self._need(NGINX, "nginx")
        self.write("www/sdk.php", SDK.format(root=ROOT, dir=self.dir))
        self.php = self.fpm()
        return self.php

    def to_php(self):
        """What nginx does with a request for the worker."""
        params = {"SCRIPT_FILENAME": f"{self.dir}/www/sdk.php", "REQUEST_METHOD": "$request_method",
                  "CONTENT_TYPE": "$content_type", "CONTENT_LENGTH": "$content_length", "REQUEST_URI": "$request_uri",
                  "SERVER_PROTOCOL": "$server_protocol"}
        return f"fastcgi_pass {self.php.address}; " + " ".join(f"fastcgi_param {k} {v};" for k, v in params.items())

    # --- the broker ---

    def topics(self, *topics, pools=""):
        ini = f"[storage main]\naddress = {self.redis_server.address}\n{pools}\n"
        for name, keys in topics:
            attempts = "" if "attempts = " in keys else "attempts = 3\n"
            ini += (f"[queue q{name}]\npassword = secret-pw\n[topic q{name}/{name}]\nrun_type = http\n"
                    f"backoff = 50ms..200ms\n{attempts}{keys}\n")
        return ini

    def start(self, *topics, pools=""):
        self.redis_server = self.redis()
        self.b = self.broker("b", self.topics(*topics, pools=pools))
        return self.b

    def push(self, name, *jobs):
        return self.b.push(f"q{name}", *jobs)

    def is_(self, name, member, want, what, seconds=10):
        self.b.becomes(f"q{name}/{name}", member, want, seconds, what)

    def topic(self, name):
        return self.b.topic(f"q{name}/{name}")

    def says(self, name, pattern, what):
        """Why the topic is in its state."""
        self.assertRegex(self.topic(name)["why"], pattern, what)

    def handled(self, name):
        """Ids of jobs, as often as the worker has run them."""
        path = self.dir / f"handled.{name}"
        text = path.read_text(errors="replace") if path.exists() else ""
        return [line.split(" ")[0] for line in text[:text.rfind("\n") + 1].splitlines()]

    def are_handled(self, name, n, what, seconds=10):
        equals(lambda: len(set(self.handled(name))), n, seconds, what)

    def once_each(self, name, n):
        self.assertEqual((len(self.handled(name)), self.topic(name)["failed"]), (n, 0), "none twice, none failed")

    def let_go(self, pool, what):
        """The pool keeps no connection."""
        def health():
            return {p["name"]: p for p in self.b.admin.get("/api/v1/status").json["pools"]}[pool]["health_text"]

        wait_until(lambda: health() == "0 connections", 10, lambda: f"{what}: {health()}")

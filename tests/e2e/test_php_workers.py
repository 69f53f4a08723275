#!/usr/bin/env python3
"""PHP workers in the whole: what frameworks, forks and the end of a script do to a job."""

from concurrent.futures import ThreadPoolExecutor

from harness import Case, case, equals, main, wait_until

WORKER = """<?php
require %(sdk)r;
class Noted {
    public function run(Pepper\\Bus\\Job $job) {
        file_put_contents(getenv('T') . '/ran', bin2hex($job->content) . "\\n", FILE_APPEND | LOCK_EX);
        %(body)s
    }
}
%(rest)s
"""


class PhpWorkers(Case):
    def start(self, topics):
        """A broker with one queue for each topic: {name: (run type, more lines, worker file)}."""
        redis, fpm = self.redis(), self.fpm()
        ini = f"[storage main]\naddress = {redis.address}\n[pool php]\nrun_type = cgi\naddress = {fpm.address}\nmax_connections = 4\n"
        for name, (lines, body, before) in topics.items():
            path = self.write(f"{name}.php", WORKER % {
                "sdk": str(self.sdk), "body": body,
                "rest": before + f"PepperBus::getInstance()->register('{name}', 't', 'Noted', 'run')->do();"})
            ini += f"[queue {name}]\npassword = a-long-password\n[topic {name}/t]\nattempts = 1\n{lines.format(path=path)}\n"
        return self.broker("a", ini)

    @property
    def sdk(self):
        from harness import ROOT  # pylint: disable=import-outside-toplevel
        return ROOT / "sdk" / "php" / "autoload.php"

    CGI = "pool = php\nentry = {path}"
    ONCE = "run_type = exec\nworkers = 1\nentry = php {path}\nenv = T={path}.d"
    RESIDENT = ONCE + "\nresident = yes"

    def exec_lines(self, lines):
        return lines.replace("{path}.d", str(self.dir))

    def counts(self, b, path):
        t = b.topic(path)
        return t["done"], t["failed"], t["dead"]

    @case("L4")
    def test_a_framework_that_adds_slashes_changes_no_job(self):
        b = self.start({"slashed": (self.CGI, "return 'done';", "$_POST = array_map('addslashes', $_POST);\n")})
        content = "it's \"a\" \\ b"
        b.push("slashed", content)
        equals(lambda: self.counts(b, "slashed/t"), (1, 0, 0), 10, "done, failed, dead")
        self.assertEqual(self.lines("ran"), [content.encode().hex()])

    @case("L3")
    def test_a_handler_that_forks_is_answered_for_once(self):
        fork = "if (($p = pcntl_fork()) === 0) { exit(0); } pcntl_waitpid($p, $s); return 'done';"
        b = self.start({"once": (self.exec_lines(self.ONCE), fork, ""), "resident": (self.exec_lines(self.RESIDENT), fork, "")})
        for name in ("once", "resident"):
            b.push(name, *[f"job {i}" for i in range(5)])
        for name in ("once", "resident"):
            equals(lambda n=name: self.counts(b, f"{n}/t"), (5, 0, 0), 20, f"{name}: done, failed, dead")

    @case("L7")
    def test_the_end_of_the_script_changes_no_verdict(self):
        end = ("register_shutdown_function(function () { header_remove(); @header('Code: 500'); throw new Exception('late'); });"
               "if ($job->content === 'bad') throw new Exception('as told');")
        b = self.start({"cgi": (self.CGI, end, ""), "once": (self.exec_lines(self.ONCE), end, "")})
        for name in ("cgi", "once"):
            b.push(name, "good", "good", "bad")
        for name in ("cgi", "once"):
            equals(lambda n=name: self.counts(b, f"{n}/t"), (2, 1, 1), 20, f"{name}: done, failed, dead")
            self.assertIn("as told", b.admin.get(f"/api/v1/topics/{name}/t/errors").text)

    @case("L7")
    def test_a_crash_after_the_verdict_changes_it_not(self):
        crash = "register_shutdown_function(function () { posix_kill(getmypid(), SIGKILL); }); return 'done';"
        b = self.start({"once": (self.exec_lines(self.ONCE), crash, "")})
        b.push("once", "one")
        equals(lambda: self.counts(b, "once/t"), (1, 0, 0), 20, "done, failed, dead")

    @case("V6")
    def test_a_test_waits_for_a_process_and_tells_its_last_words(self):
        slow = "if ($job->content === 'slow') { while (!file_exists(getenv('T') . '/go')) usleep(10000); } return $job->content;"
        b = self.start({"good": (self.exec_lines(self.RESIDENT), slow, ""),
                        "bad": (self.exec_lines(self.RESIDENT), "", "throw new Exception('no database');\n")})
        answer = b.admin.post("/api/v1/topics/bad/t/test", "x").json
        self.assertEqual(answer["code"], 502)
        self.assertIn("no database", answer["message"])
        b.push("good", "slow")
        wait_until(lambda: self.lines("ran"))
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(b.admin.post, "/api/v1/topics/good/t/test", "quick")
            wait_until(lambda: not waiting.done() and b.topic("good/t")["running"] == 1)
            self.write("go", "")
            answer = waiting.result().json
        self.assertEqual((answer["code"], answer["message"]), (200, "quick"))

    @case("L9")
    def test_jobs_wait_for_a_handler_that_cannot_be_called(self):
        b = self.start({"lost": (self.CGI, "return 'done';", "")})
        good = (self.dir / "lost.php").read_text()
        bad = good.replace("'Noted', 'run'", "'Noted', 'gone'")
        wait_until(lambda: b.topic("lost/t")["state"] == "open")
        b.kill()
        self.write("lost.php", bad)
        b.start()
        b.push("lost", "one")
        wait_until(lambda: "Noted::gone(), registered for lost/t" in b.topic("lost/t")["why"], 10,
                   lambda: str(b.topic("lost/t")))
        t = b.topic("lost/t")
        self.assertEqual((t["failed"], t["dead"], t["ready"] + t["running"] + t["retry"]), (0, 0, 1))
        self.write("lost.php", good)
        equals(lambda: self.counts(b, "lost/t"), (1, 0, 0), 20, "done, failed, dead")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""pepperbusctl and the admin API against a real broker with a managed Redis and real php-fpm."""

import base64
import hashlib
import os
import re
import shlex
import shutil

from harness import PEPPERBUSCTL, WORKERS, Case, case, main, wait_until

SLOW_TOPIC = "big.one:x/slow:1.2"
SLOW_WORKER = r"""<?php
require getenv('T') . '/reply.php';
ping('big.one:x/slow:1.2');
note('asked', jobs()[0]['content']);
usleep((int) jobs()[0]['content'] * 1000);
reply(200, "\x1b[31mred\x07 slept");
"""
AWAY = """[topic q/away]
pool = nowhere
entry = {log}
"""
BINARY = b"\xff\xfe\x00binary"


class CtlCase(Case):
    def setUp(self):
        super().setUp()
        self.fpm_ = self.fpm(children=4)
        self.slow_worker = self.write("slow.php", SLOW_WORKER)
        shutil.copy(WORKERS / "reply.php", self.dir)
        self.b = self.broker("b", self.ini())
        self.token_file = self.b.state_dir / "admin.token"

    def ini(self, slow="", away=AWAY):
        """`slow`: more of the topic big.one:x/slow:1.2, which is the last."""
        return f"""
[storage main]
managed = yes
[pool local]
run_type = cgi
address = {self.fpm_.address}
max_connections = 4
[pool nowhere]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = a-long-password
[topic q/log]
pool = local
entry = {self.worker("log.php")}
[topic q/fragile]
pool = local
entry = {self.worker("fragile.php")}
attempts = 1
[topic q/wrong]
pool = local
entry = {self.worker("wrong.php")}
[topic q/missing]
pool = local
entry = {self.dir}/nowhere.php
{away.format(log=self.worker("log.php"))}
[queue big.one:x]
password = verysecret
max_length = 3
[topic {SLOW_TOPIC}]
pool = local
entry = {self.slow_worker}
timeout = 20s
{slow}
"""

    def ctl(self, words, status=0, what=None, stdin=""):
        """pepperbusctl with these words, which ends with this status; what it printed."""
        r = self.b.ctl(*shlex.split(words), stdin=stdin)
        self.assertEqual(r.status, status, f"{what or words}: {r}")
        return r

    def http(self, method, path, authorization=None, body=None):
        """The status of an answer, with that header, or with none."""
        headers = {"Authorization": authorization} if authorization else {}
        return self.b.admin.request(method, path, body, token=None, headers=headers).status

    def dead(self, count, what):
        self.b.becomes("q/fragile", "dead", count, 10, what)

    def ends_with(self, name, end, what):
        """Waits until a line of the file ends so."""
        wait_until(lambda: any(line.endswith(end) for line in self.lines(name)), 10, what)

    def break_worker(self, why):
        self.write("broken", why + "\n")

    def mend_worker(self):
        (self.dir / "broken").unlink()


class Token(CtlCase):
    def test_nothing_is_told_without_the_token(self):
        http, token = self.http, self.b.token()
        for name in ("admin.token", "admin.sock"):
            self.assertEqual((self.b.state_dir / name).stat().st_mode & 0o777, 0o600, f"{name} is the broker's alone")
        self.assertEqual(http("GET", "/api/v1/status"), 401, "no answer without the token")
        self.assertEqual(http("GET", "/api/v1/nothing"), 401, "nor whether there is such a path")
        self.assertEqual(http("POST", "/api/v1/topics/q/log/purge", body={"all": True}), 401,
                         "nothing is changed either")
        self.assertEqual(http("GET", "/api/v1/status", "Bearer 0123"), 401, "a wrong token is none")
        self.assertEqual(http("GET", "/api/v1/status", f"Basic {token}"), 401, "nor another scheme")
        self.assertEqual(http("GET", "/api/v1/status", f"bearer  {token}"), 200, "the right one opens")
        self.assertEqual([http("GET", p) for p in ("/healthz", "/readyz", "/metrics")], [200] * 3,
                         "health and metrics need none")

    def test_methods_and_paths_that_are_none(self):
        with_token = f"Bearer {self.b.token()}"
        self.assertEqual(self.http("GET", "/api/v1/topics/q/log/ping", with_token), 405,
                         "what changes something is not a GET")
        self.assertEqual(self.http("PUT", "/api/v1/status", with_token), 405, "PUT is refused")
        self.assertEqual(self.http("GET", "/api/v1/topics/q%2Flog/x", with_token), 404,
                         "an encoded slash is part of a name")
        self.assertEqual(self.http("GET", "/api/v1/topics/q%00/log", with_token), 404, "a NUL in a name is refused")
        self.assertRegex(self.b.admin.get("/api/v1/nothing").text, '"error":".*","status":404', "errors are JSON")

    def test_the_token_is_kept_unless_others_could_read_it(self):
        b, before = self.b, self.b.token()
        b.stop()
        self.assertFalse((b.state_dir / "admin.sock").exists(), "the socket is gone with the broker")
        self.ctl("status", 3, "a broker that has ended is not reached")
        b.start()
        self.assertEqual(b.token(), before, "the token is kept over restarts")
        self.token_file.chmod(0o644)
        b.kill()
        b.start()
        self.assertEqual(self.token_file.stat().st_mode & 0o777, 0o600, "a token that others could read is replaced")
        self.assertNotEqual(b.token(), before, "by another")
        self.ctl("status", 0, "the socket of a killed broker is not in the way")
        b.stop()
        self.assertEqual(b.logged("AddressSanitizer|runtime error"), [], "the broker ended cleanly")


class Looking(CtlCase):
    def test_the_broker_and_what_it_has(self):
        out = self.ctl("status", 0, "status of a ready broker").out
        self.assertRegex(out, "node b.*ready", "it says so")
        self.assertRegex(out, r"fastcgi \(cgi\).*: loaded", "and names the transports")
        self.assertEqual(self.ctl("status --json").json["storages"][0]["state"], "ready", "--json: the storage's state")
        self.assertRegex(self.ctl("queue ls").out, r"big.one:x +- .* 3 +main +slow:1.2",
                         "queue ls: limit, storage, topics")
        self.assertRegex(self.ctl("node ls").out, r"b \(this one\) +main .*alive", "node ls")
        self.assertRegex(self.ctl("plugin ls").out, "cgi +loaded", "plugin ls")
        out = self.ctl("top").out
        self.assertRegex(out, "(?s)b ready.*TOPIC", "top prints once where there is no terminal")
        self.assertNotIn("\033", out, "without a terminal there are no colours")

    def test_topics_and_why_they_hand_out_nothing(self):
        for path, state, what in (("q/wrong", "unregistered", "a topic whose file registers another is seen"),
                                  ("q/log", "open", "one that is fine is open"),
                                  ("q/away", "unreachable", "one whose php-fpm is away is seen")):
            self.b.becomes(path, "state", state, 10, what)
        out = self.ctl("topic ls").out
        self.assertRegex(out, "q/log +open +0 +0 +0 +0", "a topic's row")
        self.assertRegex(out, "q/wrong +unregistered .*registers: other/topic", "why it hands out nothing")
        self.assertEqual(len(self.ctl("topic ls --queue q --json").json["topics"]), 5, "topic ls --queue")
        r = self.ctl("topic ls --queue nope", 4, "topic ls --queue of a queue that is not there")
        self.assertIn('there is no queue "nope"', r.err, "says so")
        self.assertRegex(self.ctl(f"topic show {SLOW_TOPIC}").out, "entry = .*/slow.php",
                         "topic show: the transport's options")

    def test_secrets_are_masked(self):
        self.assertRegex(self.ctl("config show").out, r"password = \*{8}", "config show masks secrets")
        everything = "".join(self.b.admin.get(f"/api/v1/{p}").text
                             for p in ("status", "queues", "topics", "nodes", "config", "topics/q/log"))
        self.assertNotIn("verysecret", everything, "no answer holds a password")
        self.assertNotIn(self.b.token(), everything, "or the token")


class Worker(CtlCase):
    def test_ping_says_whether_the_worker_is_there(self):
        for topic, status, code, what in (
                ("q/log", 0, 200, "ping: 200"),
                ("q/wrong", 1, 404, "ping: 404 where the file registers another"),
                ("q/missing", 1, 500, "ping: 500 where the file is missing"),
                ("q/away", 1, 502, "ping: 502 where php-fpm is away")):
            r = self.ctl(f"topic ping {topic}", status, what)
            self.assertRegex(r.out, f"^{topic}: {code}\\b", what)
            if code == 404:
                self.assertIn("register(", r.err, "and says where to look")

    def test_a_test_is_no_job(self):
        out = self.ctl("topic test q/log 'a test'", 0, "test: 200").out
        self.assertRegex(out, "q/log: 200 in .*logged", "with the worker's message")
        self.ends_with("handled.q.log", " a test", "the worker got the content")
        t = self.b.topic("q/log")
        self.assertEqual((t["ready"], t["attempts"]), (0, 0), "a test is no job")

    def test_a_test_waits_for_the_worker_and_shows_what_it_says(self):
        out = self.ctl(f"topic test {SLOW_TOPIC} 5600", 0, "a test may take longer than five seconds").out
        self.assertRegex(out, "red +slept", "control characters of a worker's message are taken out")
        self.assertIsNone(re.search("[\033\007]", out), "all of them")
        self.break_worker("broken on purpose")
        out = self.ctl("topic test q/fragile x", 1, "test: 500 and why").out
        self.assertRegex(out, r"^q/fragile: 500 in [^:]*: broken on purpose \(error code E42\)$", "test: 500 and why")

    def test_clients_that_go_away_harm_nobody(self):
        path = "/api/v1/topics/big.one%3Ax/slow%3A1.2/test"
        with self.b.admin.socket() as s:
            s.sendall(f"POST {path} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {self.b.token()}\r\n"
                      "Content-Length: 4\r\n\r\n2000".encode())
            wait_until(lambda: "2000" in self.lines("asked"), 5, "a test is on its way")
        self.ctl(f"topic test {SLOW_TOPIC} 2000", 0, "a client that went away while its test ran harms nobody")
        with self.b.admin.socket() as s:
            s.sendall(f"GET /healthz HTTP/1.1\r\nHost: b\r\nX: {'x' * 40000}\r\n\r\n".encode())
            self.assertRegex(s.recv(100), rb"^HTTP/1.1 400 ", "headers over the limit are refused")

    def test_a_test_that_runs_at_the_end_is_answered(self):
        b, token = self.b, self.b.token()
        held = self.beside(b.admin.post, "/api/v1/topics/big.one%3Ax/slow%3A1.2/test", "8000")
        wait_until(lambda: "8000" in self.lines("asked"), 5, "a test is on its way")
        b.stop()
        self.assertRegex(held.result(60).text, '"(code|status)":(200|503)', "a test that runs at the end is answered")
        self.assertEqual(b.logged(f"{token}|verysecret|AddressSanitizer|runtime error"), [], "the log holds no secret")


class Jobs(CtlCase):
    def add(self, words, what="job add"):
        """Adds a job; its id."""
        return self.ctl(f"job add {words}", 0, what).out.split(" ")[0]

    def three_dead(self):
        """Three jobs that died of the broken worker; the ids of the first and of the binary one."""
        self.break_worker("broken on purpose")
        first = self.add("q one")
        self.ctl("job add q", stdin="two\nlines")
        (self.dir / "binary").write_bytes(BINARY)
        binary = self.add(f"q @{self.dir}/binary", "content from a file")
        self.dead(3, "three jobs died of the broken worker")
        # An outcome is stored before its line of the error log.
        wait_until(lambda: self.b.errors("q/fragile").count("broken on purpose") == 3, 10,
                   "the error log has all three")
        return first, binary


class Adding(Jobs):
    def test_jobs_are_added_with_content_and_delay(self):
        first, _ = self.three_dead()
        self.assertRegex(first, r"^[0-9]{19,20}$", "it tells the id")
        self.assertIn("not before 1h", self.ctl("job add q late --delay 1h").out, "job add --delay")
        self.b.becomes("q/fragile", "delayed", 1, 10, "one is delayed")

    def test_what_cannot_be_added_is_refused(self):
        self.ctl("job add q/log x", 2, "jobs are added to queues")
        self.ctl("job add nope x", 4, "an unknown queue is not found")
        self.ctl("job add q x --delay soon", 2, "a delay that is none is refused")
        for _ in range(3):
            self.ctl("job add big.one:x 1 --delay 1h")
        self.assertRegex(self.ctl("job add big.one:x 1", 1, "a full queue takes no more").err, "max_length",
                         "and says why")
        self.assertEqual(self.b.admin.post("/api/v1/queues/big.one%3Ax/jobs", "1").status, 429, "429 in the API")
        (self.dir / "large").write_bytes(b"\0" * 9000000)
        r = self.ctl(f"job add q @{self.dir}/large", 1, "a job over max_job_size is refused")
        self.assertIn("max_job_size is 8388608", r.err, "with the limit")

    def test_an_id_is_told_in_all_its_forms(self):
        job = self.add("q one")
        self.assertRegex(self.ctl(f"id {job}").out, f"id +{job}", "id of a job")
        disque = self.ctl(f"id {job} --json").json["disque_id"]
        self.assertEqual(self.ctl(f"id {disque} --json").json["id"], job, "id of its other form")
        self.assertEqual(self.ctl(f"id {job}-2130706433-12017 --json").json["gateway"], "127.0.0.1:12017",
                         "id of a trace")
        self.assertEqual(self.b.admin.get(f"/api/v1/ids/{job}").json["disque_id"], disque, "the API tells the same")
        self.ctl("id 12x", 2, "what is no id")


class FailedJobs(Jobs):
    def on_terminal(self, words):
        """What pepperbusctl prints on a terminal of 80 columns."""
        t = self.terminal(PEPPERBUSCTL, "-c", self.b.path, *words.split(), env={"NO_COLOR": "1"})
        t.wait()
        return t.screen

    def test_errors_and_the_retry_queue_are_shown(self):
        first, binary = self.three_dead()
        self.assertRegex(self.ctl("topic errors q/fragile").out, f"{first} +500 +b +broken on purpose",
                         "topic errors: job, code, node, message")
        self.assertEqual(len(self.ctl("topic errors q/fragile --count 1 --json").json["errors"]), 1, "errors --count")
        out = self.ctl("topic retry q/fragile").out
        self.assertRegex(out, rf"{first} +dead +1 .* 500 +b +3 bytes +broken",
                         "topic retry: state, attempts, code, node")
        self.assertIn("3 of 3", out, "and how many there are")
        self.assertIn("0 of 0", self.ctl("topic retry q/fragile --set retry").out, "retry --set")
        jobs = self.ctl("topic retry q/fragile --count 1 --offset 1 --json").json["jobs"]
        self.assertEqual(len(jobs), 1, "retry --count --offset")
        jobs = self.ctl("topic retry q/fragile --json").json["jobs"]
        shown = {j["id"]: (j.get("encoding"), j["content"]) for j in jobs}
        self.assertEqual(shown[binary], ("base64", base64.b64encode(BINARY).decode()),
                         "content that is not text is shown as base64")
        self.assertRegex(self.ctl(f"topic retry q/fragile --id {first}").out, r"content +3 bytes\none",
                         "retry --id shows the content")
        self.ctl("topic retry q/fragile --id 1", 4, "an id that is not there")

    def test_80_columns_are_enough(self):
        """On a terminal nothing is broken by its edge, and the messages are whole."""
        first, _ = self.three_dead()
        for view in ("topic ls --queue q", "topic errors q/fragile", "topic retry q/fragile", "pool ls", "queue ls",
                     "plugin ls"):
            lines = self.on_terminal(view).splitlines()
            self.assertTrue(lines, f"{view}: nothing was printed")
            self.assertEqual([line for line in lines if len(line) > 80], [], f"{view}: 80 columns are enough")
        self.assertRegex(self.on_terminal("topic retry q/fragile"), f"{first} +dead .*\n    broken on purpose",
                         "topic retry: the message below its row")

    def test_replay(self):
        first, _ = self.three_dead()
        self.ctl("topic replay q/fragile", 2, "replay wants to know which")
        self.ctl("topic replay q/fragile --count 0", 2, "count from 1 on")
        self.ctl("topic replay q/fragile --id 1", 4, "replay of an id that is not there")
        self.mend_worker()
        self.assertIn("1 job due", self.ctl(f"topic replay q/fragile --id {first}").out, "replay --id")
        self.dead(2, "one dead job less")
        self.ends_with("handled.q.fragile", f"{first} one", "the worker got it")
        self.assertIn("1 job due", self.ctl("topic replay q/fragile --count 1").out, "replay --count")
        self.b.becomes("q/fragile", "retry", 0, 10, "which runs")
        self.assertIn("0 jobs", self.ctl("topic replay q/fragile --all --set retry").out,
                      "replay --all of an empty set is no error")
        self.assertIn("1 job due", self.ctl("topic replay q/fragile --all").out, "replay --all")
        self.dead(0, "the retry queue is empty")
        self.b.becomes("q/fragile", "done", 3, 10, "all three are done")

    def test_purge(self):
        self.break_worker("again")
        first, _ = self.b.push("q", "x", "y")
        self.dead(2, "two died")
        self.ctl("topic purge q/fragile --all", 2, "purge --all asks; where it cannot, it wants --yes")
        self.assertEqual(self.b.topic("q/fragile")["dead"], 2, "and deletes nothing")
        self.ctl("topic purge q/fragile --count 1 --yes", 2, "purge has no --count")
        job = self.ctl("topic retry q/fragile --json").json["jobs"][0]["id"]
        self.assertIn("1 job deleted", self.ctl(f"topic purge q/fragile --id {job}").out, "purge --id")
        self.assertIn("1 job deleted", self.ctl("topic purge q/fragile --all --yes").out, "purge --all --yes")
        self.ctl(f"topic purge q/fragile --id {first}", 4, "purge of an id that is not there")
        for verb, body, what in (("purge", "{}", "an empty body purges nothing"),
                                 ("purge", '{"all":true,"id":"1"}', "nor does one that says two things"),
                                 ("replay", '{"alll":true}', "a mistyped member is refused"),
                                 ("replay", "[", "so is what is no JSON")):
            self.assertEqual(self.b.admin.post(f"/api/v1/topics/q/fragile/{verb}", body).status, 400, what)


class Pause(CtlCase):
    def paused(self):
        self.b.becomes("q/log", "state", "open", 10, "it opens")
        self.ctl("topic pause q/log", 0, "topic pause")
        self.b.becomes("q/log", "state", "paused", 10, "it is paused")

    def test_jobs_of_a_paused_topic_wait_until_it_is_resumed(self):
        self.paused()
        self.b.push("q", "waits")
        self.assertEqual(self.b.topic("q/log")["ready"], 1, "its jobs wait")
        self.ctl("topic resume q/log")
        self.b.becomes("q/log", "state", "open", 10, "topic resume")
        self.ends_with("handled.q.log", " waits", "then they run")

    def test_top_on_a_terminal(self):
        self.paused()
        top = self.terminal(PEPPERBUSCTL, "-c", self.b.path, "top", rows=40, columns=120)
        wait_until(lambda: re.search("q/log +.*paused", top.screen), 10,
                   "top on a terminal: the paused topic is shown")
        drawn = top.screen.count("\033[H")
        wait_until(lambda: top.screen.count("\033[H") >= drawn + 2, 10, "it is drawn again and again")
        self.ctl("topic pause q/fragile")
        wait_until(lambda: re.search("q/fragile +.*paused", top.screen), 10, "with what has changed")
        top.type("q")
        self.assertEqual(top.wait(10), 0, "q ends it")
        self.assertRegex(top.screen, "\033\\[\\?1049l[^\n]*\n?$", "and gives the screen back")


class Arguments(CtlCase):
    def bare(self, *args, status=0, what=None, **env):
        """pepperbusctl without the configuration of the broker."""
        r = self.run_program(PEPPERBUSCTL, *args, env={**os.environ, **env})
        self.assertEqual(r.status, status, f"{what}: {r}")
        return r

    def test_what_is_mistyped_is_told_with_a_guess(self):
        self.ctl("", 2, "no verb")
        out = self.ctl("--help", 0, "--help").out
        for verb in ("status", "topic replay", "job add", "passwd", "config check"):
            self.assertIn(verb, out, f"--help has {verb}")
        self.assertIn("did you mean ping", self.ctl("topic png q/log", 2, "a verb that is none").err, "with a guess")
        self.assertIn('did you mean "q/log"', self.ctl("topic ping q/lgo", 4, "a topic that is none").err,
                      "with a guess")
        self.ctl("topic ping log", 2, "a topic without its queue")
        self.ctl("topic ls --id 1", 2, "an option of another verb")
        self.ctl("topic ls too many", 2, "too many arguments")
        r = self.bare("-c", self.dir / "nothing.ini", "status", status=2, what="a configuration that is not there")
        self.assertIn("-c FILE", r.err, "and what to do")

    def test_the_broker_is_named_by_its_address_and_the_token_comes_from_elsewhere(self):
        b, bare, token = self.b, self.bare, self.b.token()
        here = ("-H", b.admin_address)
        bare(*here, "status", status=5, what="-H without a token")
        r = bare(*here, "status", status=5, what="-H with a wrong one", PEPPERBUS_TOKEN="wrong")
        self.assertNotIn("wrong", r.err, "which is not repeated")
        bare(*here, "queue", "ls", what="the token by the environment", PEPPERBUS_TOKEN=token)
        bare("-H", f"unix:{b.state_dir}/admin.sock", "--token-file", self.token_file, "queue", "ls",
             what="a unix socket, the token by a file")
        r = bare("-H", "127.0.0.1:1", "--token-file", self.token_file, "status", status=3, what="nobody listens")
        self.assertIn("is pepperbusd running", r.err, "and what to look at")
        bare(*here, "--token-file", self.token_file, "queue", "ls", http_proxy="http://127.0.0.1:1",
             what="proxies of the environment are not asked")


class Passwords(CtlCase):
    def is_hash_of(self, text, password, what):
        _, salt, digest = text.strip().split(":")
        self.assertEqual(hashlib.sha256((salt + password).encode()).hexdigest(), digest, what)

    def test_passwd_prints_the_hash_of_a_password(self):
        out = self.ctl("passwd", stdin="a pass:word\n").out
        self.assertRegex(out, r"^sha256:[^:]+:[0-9a-f]{64}$", "passwd")
        self.is_hash_of(out, "a pass:word", "it is the password's")
        self.assertRegex(self.ctl("passwd --user", stdin="secret\n").out, r"^\$y\$", "passwd --user")
        self.ctl("passwd", 2, "the password is empty")

    @case("X1")
    def test_passwd_generate_prints_a_password_that_cannot_be_guessed_and_its_hash(self):
        made, text = self.ctl("passwd --generate").out.splitlines()
        self.assertRegex(made, "^[a-z0-9]{24}$", "passwd --generate")
        self.is_hash_of(text, made, "and its hash")
        self.assertNotEqual(self.ctl("passwd --generate").out.splitlines()[0], made, "another one each time")


class Configuration(CtlCase):
    def workers(self):
        return self.b.topic("big.one%3Ax/slow%3A1.2")["workers"]

    def test_check_and_reload(self):
        self.ctl("config check", 0, "config check of a sound file")
        self.b.write(self.ini("nonsense = 1"))
        r = self.ctl("config check", 2, "config check of a bad one")
        self.assertRegex(r.err, "b.ini:[0-9]+: .*nonsense", "names file and line")
        r = self.ctl("config reload", 2, "config reload of a bad one")
        self.assertRegex(r.err, "b.ini:[0-9]+: .*nonsense", "names file and line too")
        self.assertEqual(self.workers(), 10, "nothing has changed")
        self.b.write(self.ini("workers = 3"))
        self.ctl("config reload", 0, "config reload of a sound one")
        self.assertEqual(self.workers(), 3, "it is in force")
        self.assertEqual(self.ctl(f"--json topic show {SLOW_TOPIC}").json["workers"], 3, "topic show says so")

    def test_a_topic_that_is_taken_out_can_be_dropped(self):
        self.b.push("q", "one")
        self.b.write(self.ini(away=""))
        self.ctl("config reload", 0, "a topic is taken out")
        self.ctl("topic ping q/away", 4, "it is gone")
        self.b.stop()
        self.b.start()
        self.assertRegex(self.ctl("topic stray q").out, "q/away +main", "topic stray shows what it left")
        self.ctl("topic drop q/away", 2, "topic drop asks")
        self.ctl("topic drop q/log --yes", 1, "a configured topic is not dropped")
        self.ctl("topic drop q/away --yes", 0, "topic drop")
        self.assertEqual(self.ctl("topic stray q --json").json["stray"], [], "nothing is left of it")

    def test_the_admin_address_can_change_by_a_reload_through_it(self):
        b, old = self.b, self.b.admin_address
        b.admin_port = self.free_port()
        b.write(self.ini())
        answer = b.admin.post("/api/v1/reload", address=old)
        self.assertEqual((answer.status, answer.json["reloaded"]), (200, True),
                         "the admin address can change by a reload through it")
        self.assertEqual(self.http("GET", "/readyz"), 200, "the new address answers")

        def refused():
            try:
                b.admin.request("GET", "/readyz", token=None, address=old)
                return False
            except ConnectionRefusedError:
                return True

        wait_until(refused, 5, "the old one does not")


if __name__ == "__main__":
    main()

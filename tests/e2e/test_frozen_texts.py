"""The texts that SDKs, scripts and scrapers rely on. frozen_texts.list has one line for each of them;
this test looks for every line in the answers of a real broker. A test fails when a line is not
found. Additions are allowed. FROZEN_SHOW=1 prints what was found, in the form of the list.
"""

import base64
import json
import os
import re
import socket
from pathlib import Path

from harness import ROOT, Case, RespError, main, wait_until

LIST = Path(__file__).with_name("frozen_texts.list")
LINE = re.compile(r"(\w+) \| (.+) \| ([^|]+)")
KINDS = {"resp", "prefix", "closed", "lpush", "hello", "info", "job", "form", "header", "param", "environment", "http", "member",
         "health", "exit", "verb", "metric", "source"}


def frozen_items():
    """{kind: {text: source}}."""
    items = {}
    for n, line in enumerate(LIST.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        m = LINE.fullmatch(line)
        assert m and m[1] in KINDS, f"{LIST.name}:{n}: not `kind | text | source`: {line}"
        assert m[2] not in items.setdefault(m[1], {}), f"{LIST.name}:{n}: twice"
        items[m[1]][m[2]] = m[3]
    return items


FROZEN = frozen_items()


def members(value, path=""):
    """Every member of a JSON value by its path: "topics[].counts.ready"."""
    if isinstance(value, dict):
        for k, v in value.items():
            at = f"{path}.{k}" if path else k
            yield at
            yield from members(v, at)
    elif isinstance(value, list):
        for v in value:
            yield from members(v, path + "[]")


def reply_of(client, *args):
    try:
        return client.call(*args)
    except RespError as e:
        return f"-{e}"


class FrozenTexts(Case):
    def holds(self, kind, found, only=None):
        """All lines of the list of this kind (`only`: those that begin so) are among `found`."""
        if os.environ.get("FROZEN_SHOW"):
            for text in sorted(set(found)):
                print(f"# {kind} | {text} |")
            return
        want = [t for t in FROZEN[kind] if only is None or t.startswith(only)]
        self.assertTrue(want, f"the list has no line {kind} {only or ''}")
        lost = [f"{kind} | {t} | {FROZEN[kind][t]}" for t in want if t not in found]
        self.assertEqual(lost, [], "gone or changed; found: " + "\n".join(sorted(set(found))))

    def http_broker(self, server="", more="", handle=lambda r: (200, "done"), away=False):
        """A broker with q/t, whose worker lives in the test; held/t, which is pulled; a full queue, one
        without topics, and, with `away`, one whose storage does not answer."""
        self.storage, self.worker_at = self.redis("main"), self.http(handle)
        if away:
            more += f"""
[storage gone]
address = unix:{self.dir}/nobody.sock
[queue away]
password = secret-pw
[topic away/t]
storage = gone
run_type = pull
"""
        b = self.broker("a", f"""
[storage main]
address = {self.storage.address}
[pool p]
run_type = http
[queue q]
password = secret-pw
[topic q/t]
storage = main
pool = p
entry = {self.worker_at.address}/worker
attempts = 1
[queue held]
password = secret-pw
[topic held/t]
storage = main
run_type = pull
[queue full]
password = secret-pw
max_length = 1
[topic full/t]
storage = main
run_type = pull
[queue bare]
password = secret-pw
{more.replace("WORKER", self.worker_at.address)}
""", server, wait=False)
        wait_until(lambda: b.topic("q/t")["state"] == "open", 20, b.log_text)
        return b

    # --- the Redis port ---

    def test_error_replies_of_the_redis_port(self):
        b = self.http_broker("max_job_size = 1kb\nauth_timeout = 60s", away=True)
        plain, q = b.client(), b.client("q:secret-pw")
        full, bare, away, held = (b.client(f"{n}:secret-pw") for n in ("full", "bare", "away", "held"))
        wait_until(lambda: reply_of(q, "LPUSH", "q", "x").startswith('{"jobs":["'))
        full.call("LPUSH", "full", "x")
        said = {}

        def say(name, client, *args):
            said[name] = reply_of(client, *args)

        say("PING before AUTH", plain, "PING")
        say("any command before AUTH", plain, "NOSUCH")
        say("AUTH with one argument, wrong", plain, "AUTH", "q:wrong")
        say("AUTH with two arguments, wrong", plain, "AUTH", "q", "wrong")
        say("AUTH default, wrong", plain, "AUTH", "default", "q:wrong")
        say("AUTH of a name that there is not", plain, "AUTH", "nobody:wrong")
        say("AUTH with three arguments", plain, "AUTH", "a", "b", "c")
        say("HELLO before AUTH", plain, "HELLO", "3")
        say("HELLO 4", q, "HELLO", "4")
        say("HELLO x", q, "HELLO", "x")
        say("HELLO, wrong option", q, "HELLO", "3", "NOSUCH")
        say("AUTH, right", q, "AUTH", "q:secret-pw")
        say("AUTH with two arguments, right", q, "AUTH", "q", "secret-pw")
        say("AUTH default, right", q, "AUTH", "default", "q:secret-pw")
        say("AUTH of a topic, right", q, "AUTH", "q/t:secret-pw")
        say("PING", q, "PING")
        say("unknown command", q, "NoSuch", "x")
        say("wrong number of arguments", q, "ECHO")
        say("SELECT 0", q, "SELECT", "0")
        say("SELECT 1", q, "SELECT", "1")
        say("CLIENT SETNAME", q, "CLIENT", "SETNAME", "me")
        say("CLIENT SETNAME, wrong", q, "CLIENT", "SETNAME", "a b")
        say("EXEC without MULTI", q, "EXEC")
        say("DISCARD without MULTI", q, "DISCARD")
        say("MULTI", q, "MULTI")
        say("MULTI within MULTI", q, "MULTI")
        say("command within MULTI", q, "PING")
        say("EXEC", q, "EXEC")
        q.call("MULTI")
        say("unknown command within MULTI", q, "NoSuch")
        say("EXEC after an error", q, "EXEC")
        say("WATCH", q, "WATCH", "k")
        say("ADDJOB without AUTH of the queue", q, "ADDJOB", "held", "x", "0")
        say("ADDJOB, wrong name", q, "ADDJOB", "a b", "x", "0")
        say("ADDJOB, wrong timeout", q, "ADDJOB", "q", "x", "soon")
        say("ADDJOB, unknown option", q, "ADDJOB", "q", "x", "0", "NOSUCH", "1")
        say("ADDJOB, option without value", q, "ADDJOB", "q", "x", "0", "DELAY")
        for option, value in (("DELAY", "x"), ("RETRY", "x"), ("TTL", "0"), ("MAXLEN", "x"), ("REPLICATE", "0"), ("ID", "a b"),
                              ("IDTTL", "1")):
            say(f"ADDJOB, wrong {option}", q, "ADDJOB", "q", "x", "0", option, value)
        say("ADDJOB, DELAY over TTL", q, "ADDJOB", "q", "x", "0", "DELAY", "9", "TTL", "5")
        say("ADDJOB, too large", q, "ADDJOB", "q", "x" * 2000, "0")
        say("ADDJOB, queue full", full, "ADDJOB", "full", "x", "0")
        say("ADDJOB, MAXLEN reached", full, "ADDJOB", "full", "x", "0", "MAXLEN", "1")
        say("ADDJOB, queue without topics", bare, "ADDJOB", "bare", "x", "0")
        say("ADDJOB, storage away", away, "ADDJOB", "away", "x", "0")
        say("ADDJOB, too few replicas", q, "ADDJOB", "q", "x", "50", "REPLICATE", "2")
        say("RPOP of no topic", held, "RPOP", "held")
        say("RPOP with a count", held, "RPOP", "held/t", "2")
        say("RPOP without AUTH of the topic", q, "RPOP", "held/t")
        say("RPOP of a topic that there is not", held, "RPOP", "held/none")
        say("RPOP, nothing there", held, "RPOP", "held/t")
        say("RPOP, storage away", away, "RPOP", "away/t")
        say("RESET", q, "RESET")
        say("QUIT", held, "QUIT")
        self.holds("resp", {f"{name}: {text}" for name, text in said.items()})
        self.holds("prefix", {f"{name}: {str(text)[1:].split(' ')[0]}" for name, text in said.items() if str(text)[:1] == "-"})

    def test_what_closes_a_connection(self):
        b = self.http_broker("max_clients = 3\nauth_timeout = 60s")
        said = {}

        def bytes_of(name, data, auth=None):
            c = b.client(auth)
            c.raw(data)
            try:
                text = f"-{c.recv()}"
            except RespError as e:
                text = f"-{e}"
            except ConnectionError:
                text = ""
            wait_until(c.at_end)
            c.close()
            said[name] = text

        who = "q:secret-pw"
        bytes_of("a count that is none", b"*x\r\n", who)
        bytes_of("a count that is too large", b"*99999999\r\n", who)
        bytes_of("a length that is none", b"*1\r\n$x\r\n", who)
        bytes_of("no length", b"*1\r\nx\r\n", who)
        bytes_of("a count without end", b"*" + b"1" * 70000, who)
        bytes_of("a length without end", b"*1\r\n$" + b"1" * 70000, who)
        bytes_of("a string longer than announced", b"*1\r\n$4\r\nPINGS\r\n\r\n", who)
        bytes_of("an inline request without end", b"x" * 70000, who)
        bytes_of("quotes without end", b'PING "x\r\n', who)
        bytes_of("many arguments before AUTH", b"*11\r\n")
        bytes_of("a long argument before AUTH", b"*1\r\n$20000\r\n")
        bytes_of("a long line before AUTH", b"x" * 20000)
        bytes_of("HTTP", b"POST / HTTP/1.1\r\n", who)
        three = [b.client(who) for _ in range(3)]
        fourth = b.client()
        with self.assertRaises(RespError) as e:
            fourth.recv()
        self.assertTrue(fourth.at_end())
        said["one client too many"] = f"-{e.exception}"
        self.holds("closed", {f"{name}: {text or '(nothing)'}" for name, text in said.items()})
        for c in three:
            c.close()

    def test_answers_of_lpush(self):
        b = self.http_broker("max_job_size = 1kb", away=True)
        plain, q = b.client(), b.client("q:secret-pw")
        full, bare, away = (b.client(f"{n}:secret-pw") for n in ("full", "bare", "away"))
        wait_until(lambda: reply_of(full, "LPUSH", "full", "x").startswith('{"jobs":["'))
        said, answers = {}, []

        def say(name, client, *args):
            text = reply_of(client, *args)
            answers.append(text)
            said[name] = json.loads(text)["error"]

        say("stored", q, "LPUSH", "q/anything", "x", "y")
        say("RPUSH", q, "RPUSH", "q", "x")
        say("before AUTH", plain, "LPUSH", "q", "x")
        say("without AUTH of the queue", q, "LPUSH", "full", "x")
        say("no queue", q, "LPUSH")
        say("no name", q, "LPUSH", "a b", "x")
        say("no jobs", q, "LPUSH", "q")
        say("a queue that there is not", q, "LPUSH", "none", "x")
        say("a queue without topics", bare, "LPUSH", "bare", "x")
        say("too large", q, "LPUSH", "q", "x" * 2000)
        say("queue full", full, "LPUSH", "full", "x")
        say("storage away", away, "LPUSH", "away", "x")
        # The text of an error may go on behind what is frozen of it.
        found = {f"{name}: {text}" for name, text in said.items()}
        found |= {t for t in FROZEN["lpush"] if t.endswith(" ...") and any(f.startswith(t[:-4]) for f in found)}
        for a in answers:
            a = re.sub(r"\d+-\d+-\d+", "TRACE", re.sub(r'"\d+"', '"ID"', a))
            found.add("form: " + re.sub(r'("jobs":null.*"error":).*', r'\1"TEXT"}', a))
        self.holds("lpush", found)

    def test_handshake_and_info(self):
        b = self.http_broker()
        wait_until(lambda: b.lpush("q", "x")["jobs"])
        c = b.client("q:secret-pw")
        self.holds("hello", set(c.call("HELLO", "3")))
        found, section = set(), ""
        for line in c.call("INFO").removeprefix("txt:").splitlines():
            if line.startswith("# "):
                section = line[2:]
            elif line:
                name, _, value = line.partition(":")
                found.add(f"{section}: {name}")
                if section in ("Storages", "Queues", "Topics") and "=" in value:
                    found |= {f"{section}: {re.sub('_.*', '_NAME', name)} {part.partition('=')[0]}" for part in value.split(",")}
        self.holds("info", found)

    # --- workers ---

    def told(self, request):
        """Fields of the form of a request, and members of its jobs, in their order."""
        form = request.form
        if form.get("type") == "data":
            jobs = json.loads(form["jobs"])
            self.holds("job", {f"pushed: {', '.join(jobs[0])}"}, "pushed")
        self.holds("form", {f"{form['type']}: {', '.join(form)}", f"{form['type']}: IS_PEPPER_BUS_REQUEST={form['IS_PEPPER_BUS_REQUEST']}"},
                   form["type"])

    def test_what_a_worker_over_http_is_sent(self):
        b = self.http_broker(more="""[queue signed]
password = secret-pw
[topic signed/t]
storage = main
pool = p
entry = WORKER/signed
signing_key = a-key-of-some-length
""")
        wait_until(lambda: b.topic("signed/t")["state"] == "open")
        for queue in ("q", "signed"):
            wait_until(lambda q=queue: b.lpush(q, "hello")["jobs"])
        wait_until(lambda: {r.path for r in self.worker_at.requests if r.type == "data"} == {"/worker", "/signed"})
        for type_ in ("ping", "data"):
            self.told(next(r for r in self.worker_at.requests if r.type == type_))
        found = {f"{k}: {v}" for r in self.worker_at.requests for k, v in r.headers.items()}
        found |= {k for r in self.worker_at.requests for k in r.headers}
        self.holds("header", found)

    def test_what_a_worker_of_fastcgi_is_sent(self):
        fpm, redis = self.fpm("fpm", children=2), self.redis()
        entry = self.write("w.php", """<?php
file_put_contents(__DIR__ . "/params.log", json_encode($_SERVER) . "\\n", FILE_APPEND);
file_put_contents(__DIR__ . "/form.log", file_get_contents("php://input") . "\\n", FILE_APPEND);
header("Code: 200"); header("Consume-Topics: q/t"); echo "q/t";
""")
        b = self.broker("a", f"""
[storage main]
address = {redis.address}
[pool p]
run_type = cgi
address = {fpm.address}
[queue q]
password = secret-pw
[topic q/t]
pool = p
entry = {entry}
""")
        b.push("q", "hello")
        wait_until(lambda: b.topic("q/t")["done"] == 1)
        params = [json.loads(line) for line in self.lines("params.log")]
        self.holds("param", {k for p in params for k in p} | {f"{k}={v}" for p in params for k, v in p.items()})
        names = [[part.partition("=")[0] for part in line.split("&")] for line in self.lines("form.log")]
        self.holds("form", {f"{'data' if 'jobs' in n else 'ping'}: {', '.join(n)}" for n in names}
                   | {t for t in FROZEN["form"] if "=" in t and t.partition(": ")[2] in " ".join(self.lines("form.log")).replace("&", " ")})
        self.metrics_hold(b, "pepperbus_cgi_")

    def test_what_a_worker_of_exec_and_a_pull_worker_are_sent(self):
        redis = self.redis()
        entry = self.write("w.sh", "#!/bin/sh\nenv >>env.log; cat >>jobs.log; echo >>jobs.log; echo q/t\n", 0o755)
        b = self.broker("a", f"""
[storage main]
address = {redis.address}
[queue q]
password = secret-pw
[topic q/t]
run_type = exec
entry = {entry}
directory = {self.dir}
[topic q/pull]
run_type = pull
""")
        b.lpush("q", "hello")
        wait_until(lambda: b.topic("q/t")["done"] == 1)
        found = {k for k in (line.partition("=")[0] for line in self.lines("env.log"))}
        self.holds("environment", found | {line for line in self.lines("env.log")})
        jobs = [json.loads(line) for line in self.lines("jobs.log") if line.startswith("[")]
        found = {f"exec: {', '.join(j[0])}" for j in jobs}
        c = b.client("q:secret-pw")
        pulled = c.call("RPOP", "q/pull")
        found.add(f"pulled: {', '.join(json.loads(pulled)['jobs'][0])}")
        found.add("pulled: {" + ", ".join(json.loads(pulled)) + "}")
        self.holds("job", found, "exec")
        self.holds("job", found, "pulled")
        c.call("LPUSH", "q", b"\xff\xfe")
        bad = json.loads(wait_until(lambda: c.call("RPOP", "q/pull")))["jobs"][0]
        self.holds("job", {f"not UTF-8: {', '.join(bad)}"} if base64.b64decode(bad["content"]) == b"\xff\xfe" else set(), "not UTF-8")
        self.metrics_hold(b, "pepperbus_exec_")

    # --- the admin port ---

    def busy_broker(self, **kw):
        """One with something in every answer: done, dead and delayed jobs, a pause, a stray topic, an act."""
        b = self.http_broker(handle=lambda r: (500, "no") if "bad" in r.form["jobs"] else (200, "done"),
                             more="[topic held/x]\nstorage = main\nrun_type = pull\n", **kw)
        wait_until(lambda: b.lpush("held", "x")["jobs"])
        wait_until(lambda: b.lpush("q", "good", "bad", "bad")["jobs"])
        wait_until(lambda: b.topic("q/t")["dead"] == 2)
        b.reload(b.ini.replace("[topic held/x]\nstorage = main\nrun_type = pull\n", ""))
        self.assertEqual(b.admin.post("/api/v1/topics/q/t/pause", {"reason": "deploy"}).status, 200)
        return b

    def test_members_of_the_answers_of_the_api(self):
        b = self.busy_broker()
        found = set()

        def look(name, answer, status=200):
            self.assertEqual(answer.status, status, f"{name}: {answer}")
            found.update(f"{name}: {m}" for m in members(answer.json) if not re.search(r"\.(figures|options|pool_options)\.", m))
            return answer.json

        get, post = b.admin.get, b.admin.post
        dead = look("retry", get("/api/v1/topics/q/t/retry"))["jobs"]
        look("retry/ID", get(f"/api/v1/topics/q/t/retry/{dead[0]['id']}"))
        for name in ("status", "nodes", "pools", "config", "queues", "topics"):
            look(name, get(f"/api/v1/{name}"))
        look("ids/ID", get(f"/api/v1/ids/{dead[0]['id']}"))
        look("ids/TRACE", get(f"/api/v1/ids/{dead[0]['id']}-2130706433-12017"))
        look("jobs", post("/api/v1/queues/held/jobs?delay=1h", "later"))
        look("stray", get("/api/v1/queues/held/stray"))
        look("drop", post("/api/v1/queues/held/drop", {"topic": "x"}))
        look("topic", get("/api/v1/topics/q/t"))
        look("errors", get("/api/v1/topics/q/t/errors"))
        look("pause", post("/api/v1/topics/q/t/pause", {"reason": "deploy"}))
        look("resume", post("/api/v1/topics/q/t/resume"))
        look("ping", post("/api/v1/topics/q/t/ping"))
        look("test", post("/api/v1/topics/q/t/test", "try"))
        look("replay", post("/api/v1/topics/q/t/replay", {"id": dead[0]["id"]}))
        wait_until(lambda: b.topic("q/t")["dead"] == 2)
        act = look("replay all", post("/api/v1/topics/q/t/replay", {"all": True}))["act"]
        wait_until(lambda: b.topic("q/t")["dead"] == 2)
        look("purge", post("/api/v1/topics/q/t/purge", {"all": True}))
        look("acts", get("/api/v1/acts"))
        look("acts/ID/cancel", post("/api/v1/acts/1-1/cancel"), 404)
        look("acts/ID", get(f"/api/v1/acts/{act['id']}"))
        look("reload", post("/api/v1/reload"))
        look("healthz", get("/healthz"))
        look("readyz", get("/readyz"))
        b.write(b.ini + "[nosuch x]\n")
        look("reload at fault", post("/api/v1/reload"), 400)
        self.storage.stop()
        wait_until(lambda: get("/readyz").status == 503)
        look("readyz, not ready", get("/readyz"), 503)
        self.holds("member", found)

    def test_statuses_of_the_api(self):
        b = self.busy_broker(away=True)
        get, post, found = b.admin.get, b.admin.post, {}
        found["no token"] = get("/api/v1/status", token=None)
        found["wrong token"] = get("/api/v1/status", token="wrong")
        found["foreign Host"] = get("/api/v1/status", headers={"Host": "evil.example.com"})
        found["no such path"] = get("/api/v1/nosuch")
        found["no such topic"] = get("/api/v1/topics/q/none")
        found["no such queue"] = get("/api/v1/topics?queue=none")
        found["wrong method"] = get("/api/v1/reload")
        found["wrong body"] = post("/api/v1/topics/q/t/replay", "{")
        found["empty body of purge"] = post("/api/v1/topics/q/t/purge")
        found["drop of a configured topic"] = post("/api/v1/queues/q/drop", {"topic": "t"})
        found["queue full"] = wait_until(lambda: post("/api/v1/queues/full/jobs", "x") and post("/api/v1/queues/full/jobs", "x"))
        found["storage away"] = post("/api/v1/queues/away/jobs", "x")
        found["/healthz"] = get("/healthz", token=None)
        found["/readyz while a storage is away"] = get("/readyz", token=None)
        found["/metrics"] = get("/metrics", token=None)
        self.holds("http", {f"{k}: {v.status}" for k, v in found.items()}
                   | {f"errors: {m}" for m in found["no such topic"].json}
                   | {f"{k}: {h}: {v.headers[h]}" for k, v in found.items() for h in ("WWW-Authenticate", "Allow", "Content-Type")
                      if v.headers[h]})

    # --- programs ---

    def test_exit_codes_and_verbs_of_pepperbusctl(self):
        b = self.busy_broker()
        found = {}

        def run(name, *args, **kw):
            r = b.ctl(*args, **kw)
            found[name] = r.status
            return r

        run("queue ls", "queue", "ls")
        run("status", "status")
        run("no verb")
        run("wrong verb", "nosuch")
        run("wrong option", "status", "--nosuch")
        run("too few arguments", "topic", "show")
        run("no such topic", "topic", "show", "q/none")
        run("no such act", "act", "show", "1-1")
        run("topic ping, 200", "topic", "ping", "q/t")
        run("topic test, 200", "topic", "test", "q/t", "good")
        run("topic test, 500", "topic", "test", "q/t", "bad")
        run("topic replay", "topic", "replay", "q/t", "--all")
        run("topic purge without --yes", "topic", "purge", "q/t", "--all")
        run("queue full", "job", "add", "full", "x")
        found["queue full"] = b.ctl("job", "add", "full", "x").status
        run("topic drop of a configured topic", "topic", "drop", "q/t", "--yes")
        run("config check", "config", "check")
        run("id", "id", "13617035012458971136")
        run("passwd", "passwd", stdin="a-long-password\n")
        run("--version", "--version")
        run("nobody there", "-H", f"127.0.0.1:{self.free_port()}", "queue", "ls")
        run("wrong token", "-T", self.write("wrong", "wrong\n", 0o600), "queue", "ls")
        (b.path.with_name("bad.ini")).write_text("[nosuch]\n")
        run("config check, faults", "-c", b.path.with_name("bad.ini"), "config", "check")
        found["pepperbusd -t, faults"] = self.run_program(os.environ.get("PEPPERBUSD", ROOT / "build/pepperbusd"), "-t", "-c",
                                                          b.path.with_name("bad.ini")).status
        found["pepperbusd -t"] = b.check().status
        self.storage.stop()
        wait_until(lambda: b.admin.get("/readyz", token=None).status == 503)
        run("status, not ready", "status")
        self.holds("exit", {f"{k}: {v}" for k, v in found.items()})
        text = b.ctl("--help").out
        verbs = re.findall(r"^  ([a-z].*?)(?:  .*)?$", text, re.M)
        found = {re.match(r"[a-z]+( [a-z]+)?", v)[0] for v in verbs}
        for v in sorted(found):
            found = found | {f"{v} {o}" for o in re.findall(r"^  (-\w, --[\w-]+)", b.ctl(*v.split(), "--help").out, re.M)}
        self.holds("verb", found)

    # --- /metrics ---

    def metrics_hold(self, b, only):
        """Types and labels: "pepperbus_jobs_total{queue,topic} counter"."""
        types, found = {}, set()
        for query in ("?detail=topic", "?detail=total"):
            for line in b.admin.get(f"/metrics{query}", token=None).text.splitlines():
                if line.startswith("# TYPE "):
                    types[line.split()[2]] = line.split()[3]
                elif line and not line.startswith("#"):
                    name = re.match(r"\w+", line)[0]
                    labels = ",".join(re.findall(r'(\w+)="', line.rpartition(" ")[0]))
                    of = re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name
                    found.add(f"{name}{{{labels}}} {types.get(of, 'untyped')}" if labels else f"{name} {types.get(of, 'untyped')}")
                    found |= {f"{name}{{{k}={v}}}" for k, v in re.findall(r'(reason|state|status|result|outcome)="([^"]*)"', line)}
        self.holds("metric", found, only)
        return found

    def test_names_types_and_labels_of_metrics(self):
        b = self.busy_broker()
        b.admin.get("/metrics", token=None)
        wait_until(lambda: "pepperbus_topic_jobs{" in b.admin.get("/metrics?detail=topic", token=None).text
                   and b.metrics("?detail=topic").get('pepperbus_topic_jobs{queue="q",topic="t",state="dead"}') == 2, 20)
        found = self.metrics_hold(b, "pepperbus_http_")
        if os.environ.get("FROZEN_SHOW"):
            return
        elsewhere = ("pepperbus_cgi_", "pepperbus_exec_")
        lost = [t for t in FROZEN["metric"] if not t.startswith(elsewhere) and t not in found]
        self.assertEqual(lost, [], "gone or changed; found: " + "\n".join(sorted(found)))

    # --- what cannot be brought about here ---

    def test_texts_of_rare_moments_are_in_the_source(self):
        code = "".join(p.read_text() for d in ("core", "plugins") for p in sorted((ROOT / d).rglob("*.[ch]")))
        code = re.sub(r'"\s*\n\s*"', "", code)
        self.holds("source", {t for t in FROZEN["source"] if t in code})


if __name__ == "__main__":
    main()

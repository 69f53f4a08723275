"""/metrics: sums, each topic, one text for all who ask, and those who do not read."""

import os
import re
import resource
import shutil
import socket

from harness import Case, case, main, wait_until


PROMTOOL = shutil.which("promtool")
# Of the predecessor's dashboards.
LEGACY = ("job_consume_milliseconds", "job_fail_count", "job_success_count", "queue_add_count")


def samples(text):
    """{"name{labels}": value} of an exposition; each may be there once."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        m = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^}]*\})?) (\S+)", line)
        assert m, line
        assert m[1] not in found, f"twice: {line}"
        found[m[1]] = float(m[2])
    return found


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


class Metrics(Case):
    def start(self, queues, server="", topics=2):
        redis = self.redis()
        text = [f"[storage main]\naddress = {redis.address}\n"]
        for i in range(queues):
            text.append(f"[queue q{i}]\npassword = secret-pw\n")
            for t in range(topics):
                text.append(f"[topic q{i}/t{t}]\nrun_type = exec\nentry = /bin/true\nenabled = {'yes' if i < 2 else 'no'}\n")
        # What a sanitizer keeps of freed memory would count as the broker's.
        asan = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
        return self.broker("a", "\n".join(text), server, env={"ASAN_OPTIONS": asan})

    def get(self, b, query=""):
        return samples(b.admin.get("/metrics" + query, token=None).text)

    @case("X3")
    def test_sums_are_the_sums_of_all_topics(self):
        b = self.start(5)
        for q in ("q0", "q1", "q2"):
            b.push(q, "one", "two", "three")
        wait_until(lambda: b.topic("q0/t0")["counters"]["done"] + b.topic("q0/t1")["counters"]["done"] == 6)
        wait_until(lambda: b.topic("q1/t0")["counters"]["done"] + b.topic("q1/t1")["counters"]["done"] == 6)
        # The depth of a topic is there once it has been looked at.
        lengths = [f'pepperbus_topic_length{{queue="q{i}",topic="t{t}"}}' for i in range(5) for t in range(2)]
        wait_until(lambda: set(lengths) <= set(self.get(b)))
        each, sums = self.get(b, "?detail=topic"), self.get(b, "?detail=total")
        for name in ("jobs_completed_total", "jobs_attempts_total", "job_exec_seconds_count", "job_wait_seconds_count", "topic_concurrency_limit"):
            all_of = sum(v for k, v in each.items() if k.startswith(f"pepperbus_{name}{{"))
            self.assertEqual(sums[f"pepperbus_{name}"], all_of, name)
        self.assertEqual(sums["pepperbus_jobs_completed_total"], 12)
        self.assertEqual(sums["pepperbus_jobs_accepted_total"], 9)
        self.assertEqual(sums["pepperbus_job_wait_seconds_count"], 12)
        self.assertEqual(sums['pepperbus_topic_state{state="disabled"}'], 6)
        self.assertFalse([k for k in sums if "topic=" in k or "queue=" in k])
        self.assertEqual(set(self.get(b)), set(each))

    @case("V7")
    def test_delayed_jobs_are_the_queues(self):
        b = self.start(2, topics=3)
        with b.client("q0:secret-pw") as c:
            for _ in range(4):
                c.call("ADDJOB", "q0", "later", "0", "DELAY", "1000")
        line = 'pepperbus_topic_jobs{queue="q0",state="delayed"}'
        wait_until(lambda: self.get(b).get(line) == 4, 30)
        got = self.get(b)
        self.assertEqual([k for k in got if 'queue="q0"' in k and "delayed" in k], [line])
        self.assertEqual(self.get(b, "?detail=total")['pepperbus_topic_jobs{state="delayed"}'], 4)

    @case("X3")
    def test_what_a_bare_scrape_tells(self):
        b = self.start(510)
        line = 'pepperbus_jobs_completed_total{queue="q0",topic="t0"}'
        self.assertNotIn(line, self.get(b))
        self.assertIn(line, self.get(b, "?detail=topic"))
        self.assertIn("pepperbus_job_success_count", self.get(b))
        b.reload(server="metrics = topics\nlegacy_metrics = no")
        wait_until(lambda: line in self.get(b))
        got = self.get(b, "?detail=total")
        for name in ("job_success_count", "cpu_usage", "queue_add_count", "job_consume_milliseconds_count", "topic_length"):
            self.assertNotIn(f"pepperbus_{name}", got)

    @case("X3", "R17")
    def test_scrapers_that_do_not_read_cost_a_piece_each(self):
        b = self.start(400)
        whole = len(b.admin.get("/metrics?detail=topic").text)
        self.assertGreater(whole, 1000000)
        samples = len(self.get(b, "?detail=topic"))
        before, held = resident(b.pid), []
        for i in range(120):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", b.admin_port))
            s.sendall(b"GET /metrics?detail=topic HTTP/1.1\r\nHost: localhost\r\n\r\n")
            held.append(s)
            if i % 20 == 0:  # old texts are not kept for those who read slowly
                self.assertEqual(b.admin.get("/metrics?detail=topic", token=None).status, 200)
        b.push("q0", "a job")
        wait_until(lambda: b.topic("q0/t0")["counters"]["done"] == 1)
        # It is whole all the same. (Depths that are looked at meanwhile come in addition.)
        self.assertGreaterEqual(len(self.get(b, "?detail=topic")), samples)
        self.assertLess(resident(b.pid) - before, 32 << 20)
        for s in held:
            s.close()

    @case("X3")
    def test_promtool_finds_no_fault_but_names_of_the_predecessor(self):
        self._need(PROMTOOL, "promtool")
        b = self.start(3)
        b.push("q0", "one")
        wait_until(lambda: "pepperbus_topic_jobs" in b.admin.get("/metrics", token=None).text, 30)
        for query in ("topic", "total"):
            text = b.admin.get(f"/metrics?detail={query}", token=None).text
            r = self.run_program(PROMTOOL, "check", "metrics", stdin=text)
            self.assertEqual({line.split()[0] for line in (r.out + r.err).splitlines()}, {f"pepperbus_{n}" for n in LEGACY}, r)
        b.reload(server="legacy_metrics = no")
        wait_until(lambda: "job_fail_count" not in b.admin.get("/metrics", token=None).text)
        for query in ("topic", "total"):
            text = b.admin.get(f"/metrics?detail={query}", token=None).text
            r = self.run_program(PROMTOOL, "check", "metrics", stdin=text)
            self.assertEqual((r.status, r.out + r.err), (0, ""))
            self.each_has_its_head(text)

    def each_has_its_head(self, text):
        """A help and a type above the first line of each metric, once."""
        helps, types = re.findall(r"^# HELP (\w+) \S.*$", text, re.M), re.findall(r"^# TYPE (\w+) \w+$", text, re.M)
        self.assertEqual(helps, types)
        self.assertEqual(len(helps), len(set(helps)))
        names = {re.match(r"\w+", k)[0] for k in samples(text)}
        histograms = re.findall(r"^# TYPE (\w+) histogram$", text, re.M)
        parts = {f"{h}_{part}" for h in histograms for part in ("bucket", "sum", "count")}
        self.assertGreater(len(names), 40)
        self.assertEqual(names - parts - set(helps), set())

    def test_head_and_old_http(self):
        b = self.start(3)
        answer = b.admin.request("HEAD", "/metrics", token=None)
        self.assertEqual((answer.status, answer.text), (200, ""))
        with b.admin.socket() as s:
            s.sendall(b"GET /api/v1/topics HTTP/1.0\r\nAuthorization: Bearer " + b.token().encode() + b"\r\n\r\n")
            got = b""
            while part := s.recv(65536):
                got += part
        head, _, body = got.partition(b"\r\n\r\n")
        self.assertNotIn(b"chunked", head)
        self.assertTrue(body.startswith(b'{"topics":['), body[:100])


if __name__ == "__main__":
    main()

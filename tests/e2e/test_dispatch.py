#!/usr/bin/env python3
"""From the store to a PHP file and back: the request, the outcomes, chunks, windows, order."""

import base64
import json
import re
import time

from harness import SLOW, Case, case, equals, main, wait_until

MEMBERS = ["id", "inTraceId", "content", "retrying", "RetryTimes", "RetryTime", "IsRetry", "BeginRetry",
           "RetryResidueTime"]


class Dispatch(Case):
    def setUp(self):
        super().setUp()
        redis, fpm = self.redis(), self.fpm(children=8)
        self.b = self.broker("b", f"""
{self.php_pool(redis, fpm, 6)}
[queue q]
password = pw
[topic q/log]
pool = php
entry = {self.worker("log.php")}
""")
        self.topics = self.b.ini

    def add_topic(self, name, what, more="", state="open"):
        """By a reload: a topic q/NAME with the worker NAME.php, and nothing else besides q/log."""
        self.b.reload(f"{self.topics}[topic q/{name}]\npool = php\nentry = {self.worker(f'{name}.php')}\n{more}")
        self.b.becomes(f"q/{name}", "state", state, 10, what)

    def push_bytes(self, content):
        with self.b.client("q:pw") as c:
            self.assertEqual(json.loads(c.call("LPUSH", "q", content))["error"], "")

    def requests(self, kind):
        """Those that dump.php has noted."""
        return [r for r in map(json.loads, self.lines("requests")) if r["post"]["type"] == kind]

    def request(self, kind):
        return wait_until(lambda: self.requests(kind), 10, f"its worker is called: no {kind} has come")[0]


class Outcomes(Dispatch):
    def test_each_job_is_handled_once_and_counted(self):
        b = self.b
        told = [reply["jobs"][0] for reply in b.push_each("q", [f"job{i}" for i in range(1, 101)])]
        equals(lambda: len(self.lines("handled.q.log")), 100, 10, "100 jobs are handled")
        ids = [line.split()[0] for line in self.lines("handled.q.log")]
        self.assertEqual(len(set(ids)), 100, "each once")
        self.assertEqual(sorted(told), sorted(ids), "the ids that the producer was told")
        b.becomes("q/log", "done", 100, 5, "the topic counts 100 done")
        b.becomes("q/log", "running", 0, 5, "nothing runs any more")
        self.assertEqual(b.stop(), 0, "a clean stop ends with 0")

    def test_a_ping_passes_with_the_topic_in_a_polluted_body(self):
        self.add_topic("noise", "a ping passes with the topic in a polluted body")

    def test_each_job_of_a_chunk_has_its_own_outcome(self):
        self.add_topic("chunk", "the chunk topic opens", "chunk = 8\nworkers = 1\nattempts = 1\n")
        self.b.push("q", "good", "bad", "silent", "good2", "good3")
        self.b.becomes("q/chunk", "dead", 2, 10, "207: the one that failed and the one not named are dead")
        self.b.becomes("q/chunk", "done", 3, 10, "the others are done, in spite of PHP's notice before the list")
        self.assertGreaterEqual(max(map(int, self.lines("chunks"))), 2, "several went in one request")
        wait_until(lambda: "about bad" in self.b.errors("q/chunk"), 10, "the failed one's own message is kept")

    def test_an_idle_system_picks_a_job_up_at_once(self):
        """And not at the next poll."""
        self.b.push("q", 0)
        equals(lambda: len(self.lines("handled.q.log")), 1, 5, "warm")
        took = []
        for n in range(2, 26):
            self.b.push("q", 0)
            start = time.monotonic()
            while len(self.lines("handled.q.log")) < n and time.monotonic() - start < 20:
                time.sleep(0.001)
            took.append(time.monotonic() - start)
        quick = [t for t in took if t < 0.8 * SLOW]
        self.assertGreaterEqual(len(quick), 16, f"no polling delay when idle: most of 24 at once; {took}")


class Requests(Dispatch):
    """The request, as the predecessor's SDKs know it."""

    def test_a_ping_carries_no_jobs(self):
        self.add_topic("dump", "a topic added by HUP opens")
        post = self.request("ping")["post"]
        self.assertEqual(post["IS_PEPPER_BUS_REQUEST"], "true", "a ping says IS_PEPPER_BUS_REQUEST")
        self.assertNotIn("jobs", post, "a ping carries no jobs")

    def test_jobs_come_as_a_form(self):
        content = 'ä "quoted" \\ & = + %41'
        self.add_topic("dump", "a topic added by HUP opens")
        self.b.push("q", content)
        r = self.request("data")
        post, server = r["post"], r["server"]
        self.assertEqual(list(post), ["IS_PEPPER_BUS_REQUEST", "type", "outTraceId", "queue", "topic", "jobs"],
                         "the form's fields")
        self.assertEqual((server["REQUEST_METHOD"], server["CONTENT_TYPE"]),
                         ("POST", "application/x-www-form-urlencoded"), "POST, url-encoded")
        self.assertEqual(server["SCRIPT_FILENAME"], self.worker("dump.php"), "SCRIPT_FILENAME")
        self.assertEqual((server["SCRIPT_NAME"], server["GATEWAY_INTERFACE"], server["SERVER_PROTOCOL"]),
                         ("/dump.php", "CGI/1.1", "HTTP/1.1"), "SCRIPT_NAME, GATEWAY_INTERFACE, SERVER_PROTOCOL")
        self.assertRegex(server["SERVER_SOFTWARE"], "^pepperbus/", "SERVER_SOFTWARE")
        self.assertGreater(r["length"], 0, "CONTENT_LENGTH")
        self.assertEqual(int(server["CONTENT_LENGTH"]), r["length"], "CONTENT_LENGTH")
        self.assertEqual(server["HTTP_X_PEPPERBUS_TRACE"], post["outTraceId"], "the trace as a header too")
        self.assertTrue(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", server["HTTP_TRACEPARENT"]),
                        f"and as traceparent: {server['HTTP_TRACEPARENT']}")
        self.assertEqual((post["queue"], post["topic"]), ("q", "dump"), "queue and topic")
        job = json.loads(post["jobs"])[0]
        self.assertEqual(list(job), MEMBERS, "members of a job, in order")
        self.assertEqual(job["content"], content, "the content, byte for byte")
        self.assertEqual(job["RetryTimes"], 1, "the first attempt is number 1")

    def test_content_that_is_not_utf8_goes_as_base64(self):
        content = b"bin\xff\0end"
        self.add_topic("dump", "a topic added by HUP opens")
        self.push_bytes(content)
        equals(lambda: sum("base64" in line for line in self.lines("requests")), 1, 10,
               "content that is not UTF-8 goes as base64")
        job = json.loads(self.request("data")["post"]["jobs"])[0]
        self.assertEqual(base64.b64decode(job["content"]), content, "and decodes to the same bytes")


class Windows(Dispatch):
    @case("L1")
    def test_what_came_while_it_was_disabled_is_handled_when_it_is_enabled(self):
        self.add_topic("slow", "disabled", "workers = 3\nenabled = no\n", state="disabled")
        self.b.push("q", "good", "bad", "silent", "good2", "good3")
        self.add_topic("slow", "enabled by HUP", "workers = 3\n")
        self.b.becomes("q/slow", "done", 5, 10, "with the jobs that were added before")

    def test_never_more_run_at_a_time_than_workers(self):
        self.add_topic("slow", "the topic opens", "workers = 3\n")
        self.b.push("q", *[60] * 9)
        equals(lambda: len(self.lines("ended")), 9, 15, "nine slow jobs are done")
        self.b.becomes("q/slow", "done", 9, 5, "all counted")
        self.write("hold", "")
        self.b.push("q", *["held"] * 4)
        equals(lambda: len(self.lines("begun")), 12, 10, "three more run side by side")
        self.b.push("q", "later")
        wait_until(lambda: self.lines("handled.q.log")[-1].endswith(" later"), 10, "another topic goes on")
        self.assertEqual(len(self.lines("begun")), 12, "the fourth waits")
        self.assertEqual(len(self.lines("ended")), 9, "none of which has ended")
        (self.dir / "hold").unlink()
        equals(lambda: len(self.lines("ended")), 14, 10, "and end")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What /metrics says after a known course of events."""

import re

from harness import ROOT, Case, equals, main

ANY, SLOW_TOPIC = 'queue="n",topic="any"', 'queue="q",topic="slow"'


class Counters(Case):
    def setUp(self):
        super().setUp()
        redis, fpm = self.redis(), self.fpm()
        self.b = self.broker("b", f"""
{self.php_pool(redis, fpm, 4)}
[queue n]
password = pw
[topic n/any]
pool = php
entry = {self.worker("any.php")}
attempts = 2
backoff = 50ms..60ms
[queue q]
password = pw
[topic q/slow]
pool = php
entry = {self.worker("slow.php")}
workers = 4
""")
        self.b.becomes("n/any", "state", "open", 10, "open")

    def figures(self, *names):
        m = self.b.metrics()
        return tuple(m[f"pepperbus_{name}"] for name in names)

    def figure(self, name):
        return self.figures(name)[0]

    def shows(self, want, what, *names):
        """Scrapers share a text for up to a second: the first figure after something is waited for."""
        equals(lambda: self.figures(*names), want, 10, what)

    def test_jobs_and_attempts_are_counted(self):
        self.assertEqual(self.figure(f"job_exec_seconds_count{{{ANY}}}"), 0, "a ping is no run")
        self.b.push("n", "one")
        self.b.push("n", "two", "three", "four")
        with self.b.client() as c:
            self.assertIn("NOAUTH", c.call("LPUSH", "n", "x"), "without a password")
        self.b.becomes("n/any", "done", 4, 10, "two calls with four jobs")
        self.shows((4, 4), "jobs are counted, not calls; what was refused is not", 'jobs_accepted_total{queue="n"}',
                   'queue_add_count{queue="n"}')
        self.write("broken", "out of order")
        self.b.push("n", "five", "six")
        self.b.becomes("n/any", "dead", 2, 10, "two more fail twice")
        self.shows((8,), "attempts: four, and two twice", f"jobs_attempts_total{{{ANY}}}")
        self.assertEqual(self.figures(f"jobs_completed_total{{{ANY}}}", f"job_success_count{{{ANY}}}"), (4, 4), "done")
        self.assertEqual(self.figures(f"jobs_failed_total{{{ANY}}}", f"job_fail_count{{{ANY}}}"), (4, 4),
                         "failed attempts")
        self.assertEqual(self.figures(f"jobs_retried_total{{{ANY}}}", f"jobs_dead_total{{{ANY}}}"), (2, 2),
                         "retried, dead")
        self.assertEqual(*self.figures(f"job_exec_seconds_count{{{ANY}}}", f"requests_total{{{ANY}}}"),
                         "run times of failed ones count too")
        equals(lambda: self.figure(f"topic_timeout_length{{{ANY}}}"), 2, 10, "dead jobs are a gauge too")

    def test_run_times_are_no_shorter_than_the_runs(self):
        self.b.push("q", 30, 30, 30, 30, 30, 400, 400, 400)
        equals(lambda: len(self.lines("ended")), 8, 20, "five jobs of 30 ms, three of 400")
        self.b.becomes("q/slow", "done", 8, 5, "all done")
        within = f"job_exec_seconds_bucket{{{SLOW_TOPIC},le=\"%s\"}}"
        self.shows((8, 8), "eight in all", within % "+Inf", f"job_exec_seconds_count{{{SLOW_TOPIC}}}")
        self.assertEqual(self.figure(within % "0.025"), 0, "none within 25 ms")
        self.assertLessEqual(self.figure(within % "0.25"), 5, "none of the long ones within 250 ms")
        self.assertGreaterEqual(self.figure(f"job_consume_milliseconds_sum{{{SLOW_TOPIC}}}"), 1350,
                                "1350 ms in all at least")
        quantile = f"job_consume_milliseconds{{{SLOW_TOPIC},quantile=\"%s\"}}"
        self.assertGreaterEqual(self.figure(quantile % "0.5"), 50, "half within no less than 50 ms")
        self.assertGreaterEqual(self.figure(quantile % "0.99"), 500, "99 % within no less than 500 ms")
        buckets = self.b.topic("q/slow")["run_times"]
        self.assertEqual(sum(bucket["requests"] for bucket in buckets), 8, "the API's buckets add up")

    def test_protocol_md_has_every_figure_and_no_other(self):
        """Those of transports are in their own pages."""
        text = self.b.admin.get("/metrics").text
        shown = {name for name in re.findall(r"^# TYPE pepperbus_([a-z_]*) ", text, re.MULTILINE)
                 if not re.match("(cgi|http|exec|pull)_", name)}
        shown |= {"stray_jobs", "alerts_firing", "alert_notices_total"}  # only where there is a stray or an [alert]
        page = (ROOT / "doc" / "protocol.md").read_text()
        page = page[page.index("\n## 9"):]
        told = {name for name in re.findall(r"`(?:pepperbus)?_([a-z_]+)[`{]", page) if not name.endswith("_")}
        self.assertEqual(shown - told, set(), "figures of /metrics that protocol.md does not have")
        self.assertEqual(told - shown, set(), "figures of protocol.md that /metrics does not have")
        self.assertGreater(len(shown), 40, "many")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The rules of Prometheus and the dashboard of Grafana in contrib/: promtool takes them, a broker serves each metric
that they name."""

import itertools
import json
import re
import shutil
import urllib.parse
import urllib.request

from harness import ROOT, Case, main, wait_until

RULES = ROOT / "contrib/prometheus/alerts.yml"
TESTS = ROOT / "contrib/prometheus/alerts_test.yml"
DASHBOARD = ROOT / "contrib/grafana/pepperbus.json"
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")


def page(name):
    return (ROOT / "doc" / name).read_text()


def exposed(text):
    """The names of an exposition's samples."""
    return set(re.findall(r"^(pepperbus_\w+)", text, re.M))


def named(text):
    """The metrics that a text uses; not `pepperbus_jobs_...` and `pepperbus.*` in words."""
    return set(re.findall(r"\bpepperbus_[a-z_]*[a-z]\b(?![_.])", text))


def alerts():
    return re.findall(r"^      - alert: (\w+)$", RULES.read_text(), re.M)


def expressions(dashboard):
    """(where, expression) of all that the dashboard asks Prometheus for."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for mark in dashboard["annotations"]["list"]:
        if "expr" in mark:
            yield mark["name"], mark["expr"]


class Contrib(Case):
    def everything(self, nodes=("a",)):
        """Brokers that have something of each kind, so that they serve all metrics; the first one."""
        redis, fpm = self.redis(), self.fpm()
        ini = f"""
[cluster]
name = prod
{self.php_pool(redis, fpm, 4)}
[queue q]
password = secret-pw
[topic q/cgi]
pool = php
entry = {self.worker("any.php")}
[topic q/exec]
run_type = exec
entry = /bin/true
[topic q/http]
run_type = http
entry = http://127.0.0.1:{self.free_port()}/
[alert late]
when = oldest > 1h for 5m
all = yes
exec = /bin/true
[topic q/pull]
run_type = pull
"""
        brokers = [self.broker(name, ini) for name in nodes]
        brokers[0].push("q", "one", "two")
        wait_until(lambda: sum(b.topic("q/cgi")["counters"]["done"] for b in brokers) == 2, 20)
        for b in brokers:
            b.reload(ini.partition("[topic q/pull]")[0])  # its jobs are stray now
        return brokers[0] if len(brokers) == 1 else brokers

    def test_the_broker_serves_each_metric(self):
        b = self.everything()
        wanted = named(RULES.read_text()) | named(DASHBOARD.read_text()) | named(TESTS.read_text())
        self.assertGreater(len(wanted), 40)
        # Storages are looked at because somebody asks: the next scrape shows what was seen.
        wait_until(lambda: not wanted - exposed(b.admin.get("/metrics", token=None).text), 30,
                   lambda: f"not served: {wanted - exposed(b.admin.get('/metrics', token=None).text)}")

    def test_the_pages_name_each_metric(self):
        """doc/protocol.md the broker's, short where they begin alike; the pages of the transports theirs."""
        b = self.everything()
        told = set(re.findall(r"`(?:pepperbus)?_([a-z_]+)[`{]", page("protocol.md").partition("## 11. Metrics")[2]))
        for transport, name in (("cgi", "php-fpm.md"), ("http", "http.md"), ("exec", "exec.md")):
            told |= set(re.findall(rf"`pepperbus_({transport}_[a-z_]+)[`{{]", page(name)))
            told |= {f"{transport}_{short}" for short in re.findall(r"`_([a-z_]+)`", page(name))}
        wait_until(lambda: "pepperbus_stray_jobs" in b.admin.get("/metrics", token=None).text, 30)
        types = re.findall(r"^# TYPE pepperbus_(\w+)", b.admin.get("/metrics", token=None).text, re.M)
        self.assertGreater(len(types), 60)
        self.assertEqual([n for n in types if n not in told and not n.startswith("pull_")], [])

    def test_promtool_takes_the_rules_and_their_tests(self):
        self._need(PROMTOOL, "promtool")
        for args in (("check", "rules", RULES), ("test", "rules", TESTS)):
            r = self.run_program(PROMTOOL, *args, seconds=300)
            self.assertEqual(r.status, 0, f"{args}: {r}")
        names, tests = alerts(), TESTS.read_text()
        self.assertEqual(len(names), RULES.read_text().count("- alert:"))
        self.assertEqual([n for n in names if f'alertname="{n}"' not in tests], [], "alerts that no test lets fire")

    def test_alerts_that_do_not_fire_are_noticed(self):
        self._need(PROMTOOL, "promtool")
        never = re.sub(r"expr: (>-\n +)?", r"\g<0>vector(0) > 1 and ", RULES.read_text())
        self.write("alerts.yml", never)
        self.write("alerts_test.yml", TESTS.read_text())
        r = self.run_program(PROMTOOL, "test", "rules", self.dir / "alerts_test.yml", seconds=300)
        self.assertNotEqual(r.status, 0, r)
        missed = set(re.findall(r'exp: \{alertname="(\w+)"\} ', r.out + r.err))
        self.assertEqual(set(alerts()) - missed, set(), r)

    def test_each_alert_has_its_chapter(self):
        chapters = re.findall(r"^#{2,3} (.*)$", page("runbook.md"), re.M)
        anchors = {re.sub(r"[^\w -]", "", c.lower()).replace(" ", "-") for c in chapters}
        told = re.findall(r"runbook: doc/runbook\.md#(\S+)$", RULES.read_text(), re.M)
        self.assertEqual(len(told), len(alerts()))
        self.assertEqual(set(told) - anchors, set())
        rows = re.findall(r"^\| `(Pepperbus\w+)` \|.*?\(#([\w-]+)\)", page("runbook.md"), re.M)
        self.assertEqual(rows, list(zip(alerts(), told)))

    def test_the_dashboard_is_whole(self):
        d = json.loads(DASHBOARD.read_text())
        self.assertTrue(d["title"] and d["uid"] and d["schemaVersion"] >= 36)
        self.assertNotIn("id", d)  # Grafana gives it
        ids = [p["id"] for p in d["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        variables = {v["name"] for v in d["templating"]["list"]}
        self.assertEqual(variables, {"datasource", "cluster", "node", "queue", "topic"})
        used = set(re.findall(r"\$\{?(\w+)", " ".join(e for _, e in expressions(d))))
        self.assertEqual(used - variables, {"__rate_interval", "__interval"})
        for p in d["panels"]:
            self.assertTrue(p["title"])
            self.assertLessEqual(p["gridPos"]["x"] + p["gridPos"]["w"], 24, p["title"])
            if p["type"] != "row":
                self.assertTrue(p["description"] and p["targets"], p["title"])
        for a, b in itertools.combinations(d["panels"], 2):
            self.assertFalse(self.overlap(a["gridPos"], b["gridPos"]), f"{a['title']}, {b['title']}")

    @staticmethod
    def overlap(a, b):
        return (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and
                a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"])

    def test_promtool_takes_each_expression_of_the_dashboard(self):
        self._need(PROMTOOL, "promtool")
        rules = []
        for i, (where, expr) in enumerate(expressions(json.loads(DASHBOARD.read_text()))):
            expr = re.sub(r"\$\w+", ".*", re.sub(r"\$__\w+", "1m", expr))
            rules.append({"record": f"dashboard:{i}", "expr": expr, "labels": {"panel": where}})
        self.assertGreater(len(rules), 50)
        # JSON is YAML.
        path = self.write("rules.yml", json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        r = self.run_program(PROMTOOL, "check", "rules", path)
        self.assertEqual(r.status, 0, r)

    def ask(self, port, path, **query):
        """The data of Prometheus' answer."""
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def prometheus(self, brokers):
        """Prometheus with the rules, which scrapes two brokers; its port."""
        port = self.free_port()
        path = self.write("prometheus.yml", json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "pepperbus", "static_configs": [
                {"targets": [f"127.0.0.1:{b.admin_port}" for b in brokers]}]}]}))
        self.spawn(PROMETHEUS, f"--config.file={path}", f"--storage.tsdb.path={self.dir}/tsdb",
                   f"--web.listen-address=127.0.0.1:{port}", name="prometheus")
        # The second sample of each, so that there are rates.
        seen = "count_over_time(up[1m]) > 3 and up == 1"
        wait_until(lambda: len(self.ask(port, "query", query=seen)["result"]) == len(brokers), 60)
        return port

    def test_prometheus_answers_each_expression_for_two_nodes(self):
        """What is right for one node may be ambiguous for two of one storage."""
        self._need(PROMETHEUS, "prometheus")
        port = self.prometheus(self.everything(("a", "b")))
        rules = wait_until(lambda: self.evaluated(port), 30, "the rules are not evaluated")
        self.assertEqual([(r["name"], r["lastError"]) for r in rules if r["health"] != "ok"], [])
        dashboard = json.loads(DASHBOARD.read_text())
        figures = {f"{p['title']} A" for p in dashboard["panels"] if p["type"] == "stat"}
        for where, expr in expressions(dashboard):
            expr = re.sub(r"\$\w+", ".*", re.sub(r"\$__\w+", "1m", expr))
            result = self.ask(port, "query", query=expr)["result"]  # an error is an HTTPError
            if where in figures:
                self.assertEqual(len(result), 1, f"{where}: {result}")

    def evaluated(self, port):
        rules = [r for g in self.ask(port, "rules")["groups"] for r in g["rules"]]
        return rules if len(rules) == len(alerts()) and all(r["health"] != "unknown" for r in rules) else None


if __name__ == "__main__":
    main()

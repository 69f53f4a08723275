#!/usr/bin/env python3
"""Alerts: exactly one notice of what goes wrong, none lost, signed, and silent where somebody says so."""
import hashlib
import hmac
import json
import threading

from cluster import ClusterCase, signed
from harness import main, wait_until

SECRET = "a-key-that-nobody-else-has-0123456789"


class Receiver:
    """Takes notices; `plan(n)`: the status of the n-th answer, or an Event that it waits for first."""

    def __init__(self, case, plan=lambda n: 200):
        self.notices, self.heads, self._plan = [], [], plan
        self._lock = threading.Lock()
        self._http = case.http(self._take, pings=False)
        self.url = self._http.address + "/hook"

    def _take(self, request):
        with self._lock:
            self.notices.append(json.loads(request.body))
            self.heads.append((request.headers, request.body))
            n = len(self.notices)
        status = self._plan(n)
        if isinstance(status, threading.Event):
            status.wait(60)
            return None
        return {"status": status, "headers": {}, "body": ""}

    def states(self):
        with self._lock:
            return [(n["state"], n["confirmed"]) for n in self.notices]

    def wait(self, n, seconds=60):
        wait_until(lambda: len(self.notices) >= n, seconds, lambda: f"{n} notices: {self.notices}")


def alert_text(name, when, url, *more):
    return "\n".join([f"[alert {name}]", f"when = {when}", f"webhook = {url}", f"webhook_secret = {SECRET}", *more, ""])


class Alerts(ClusterCase):
    def row(self, node, name):
        return next((a for a in node.admin.get("/api/v1/alerts").json["alerts"] if a["name"] == name), None)

    def state_of(self, node, name, state, seconds=40):
        last = [None]

        def same():
            last[0] = self.row(node, name)
            return last[0] and last[0]["state"] == state

        wait_until(same, seconds, lambda: f"{name} is not {state}: {last[0]}")
        return last[0]

    def stored(self, name):
        return json.loads(self.store.cmd("HGET", f"pb:{{@}}:alert:{name}", "state") or "{}")

    def looks_on(self, name, ms=5000):
        """Until whoever watches it has looked for so much longer."""
        begin = self.stored(name).get("looked_ms", 0)
        wait_until(lambda: self.stored(name).get("looked_ms", 0) >= begin + ms, 60)

    def watcher(self, nodes, name):
        return wait_until(lambda: [n for n in nodes if n.admin.get("/api/v1/alerts").status == 200 and self.row(n, name)["here"]],
                          40)[0]

    def signature_fits(self, receiver):
        for headers, body in receiver.heads:
            parts = dict(p.split("=", 1) for p in headers["Pepperbus-Signature"].split(","))
            signed = f"{parts['t']}\nalert\n{json.loads(body)['alert']}\n".encode() + body
            self.assertEqual(parts["v2"], hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest())

    def test_of_three_nodes_one_is_killed_and_one_notice_comes(self):
        nodes, receiver = self.cluster(3, "lease = 2s\n"), Receiver(self)
        number = self.applied(nodes[0], alert_text("away", "node_away for 1s", receiver.url, "all = yes", "title = A node is away"))
        self.all_run(number)
        nodes[1].admin.get("/api/v1/cluster")
        victim = self.watcher(nodes, "away")  # the one that would have told it
        others = [n for n in nodes if n is not victim]
        victim.kill()
        receiver.wait(1)
        self.looks_on("away")
        self.assertEqual(receiver.states(), [("firing", True)])
        self.signature_fits(receiver)
        notice = receiver.notices[0]
        self.assertEqual(set(notice), {"alert", "incident", "state", "confirmed", "cluster", "node", "target", "when", "value",
                                       "since_ms", "text"})
        self.assertEqual((notice["alert"], notice["cluster"], notice["target"], notice["value"]), ("away", "prod", "all", 1))
        self.assertIn(notice["node"], [n.name for n in others])
        for node in others:
            row = self.state_of(node, "away", "firing")
            self.assertEqual((row["incident"], row["confirmed"], row["last_error"]), (notice["incident"], True, ""))
            wait_until(lambda node=node: "pepperbus_alerts_firing 1" in node.admin.get("/metrics").text, 20)
        victim.start()
        receiver.wait(2)
        self.assertEqual(receiver.states(), [("firing", True), ("cleared", True)])
        self.assertEqual(receiver.notices[1]["incident"], notice["incident"])
        for node in nodes:
            self.assertNotIn(SECRET, node.log_text())
            self.assertNotIn(SECRET, node.admin.get("/api/v1/config").text + node.admin.get("/api/v1/config/shared").text)
        keys = self.store.cmd("KEYS", "*")
        for key in keys:
            self.assertNotIn(SECRET, str(self.store.cmd("DUMP", key)), key)

    def test_a_notice_outlives_its_sender_and_a_receiver_that_fails(self):
        hang = threading.Event()
        plan = {1: hang, 2: 500}
        nodes, receiver = self.cluster(2), Receiver(self, lambda n: plan.get(n, 200))
        text = alert_text("waits", "ready > 1 for 1s", receiver.url, "topic = q/t")
        number = self.applied(nodes[0], f"[queue q]\npassword = a-long-password\n[topic q/t]\nrun_type = pull\nstorage = main\n{text}")
        self.all_run(number)
        nodes[0].client("q:a-long-password").call("LPUSH", "q", "one", "two", "three")
        receiver.wait(1)
        victim = self.watcher(nodes, "waits")  # in the middle of sending
        victim.kill()
        hang.set()
        (other,) = [n for n in nodes if n is not victim]
        receiver.wait(2)
        wait_until(lambda: "500" in self.row(other, "waits")["last_error"], 20)
        self.assertNotIn("/hook", self.row(other, "waits")["last_error"] + other.log_text())
        receiver.wait(3)
        self.state_of(other, "waits", "firing")
        wait_until(lambda: not self.row(other, "waits")["last_error"], 20)
        self.looks_on("waits")
        self.assertEqual(receiver.states(), [("firing", True)] * 3)
        self.assertEqual(len({n["incident"] for n in receiver.notices}), 1)
        self.assertEqual(receiver.notices[2]["value"], 3)

    def test_without_the_shared_storage_a_node_tells_alone(self):
        receiver = Receiver(self)
        (node,) = self.cluster(1, alert_text("redis", "storage_down for 1s", receiver.url, "all = yes"))
        self.state_of(node, "redis", "ok")
        self.store.stop()
        receiver.wait(1)
        self.assertEqual(receiver.states(), [("firing", False)])
        row = self.state_of(node, "redis", "firing")
        self.assertEqual((row["incident"], row["confirmed"]), (receiver.notices[0]["incident"], False))
        self.store.start()
        receiver.wait(2)
        self.assertEqual(receiver.states(), [("firing", False), ("cleared", False)])
        self.assertEqual(receiver.notices[1]["incident"], row["incident"])
        self.state_of(node, "redis", "ok")

    def test_what_a_node_told_alone_is_not_told_again_after_its_start(self):
        receiver = Receiver(self)
        (node,) = self.cluster(1, alert_text("redis", "storage_down for 1s", receiver.url, "all = yes"))
        self.state_of(node, "redis", "ok")
        self.store.stop()
        receiver.wait(1)
        files = lambda: [p for p in self.dir.rglob("alerts.json") if json.loads(p.read_text())["redis"]["told_ms"]]
        (kept,) = wait_until(files, 30)
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(SECRET, kept.read_text())
        node.kill()
        node.start(wait=False)
        row = wait_until(lambda: self.there(node, "redis"), 30)
        self.assertEqual((row["state"], row["incident"], row["confirmed"]), ("firing", receiver.notices[0]["incident"], False))
        begin = row["last_told_ms"]
        self.store.start()
        receiver.wait(2)
        self.assertEqual(receiver.states(), [("firing", False), ("cleared", False)])
        self.assertEqual({n["incident"] for n in receiver.notices}, {row["incident"]})
        self.assertGreater(begin, 0)
        wait_until(lambda: not kept.exists(), 30, "and nothing of it is kept")

    def there(self, node, name):
        """Its row, as soon as the node has a port."""
        try:
            return self.row(node, name)
        except OSError:
            return None

    def share(self, node):
        """What it adds to the sum of the nodes."""
        told = self.store.cmd("HGET", "pb:{@}:alert:fail", f"share:{node.name}")
        return int(told.split()[1]) if told else 0

    def fires_on_all(self, nodes, receiver, name):
        receiver.wait(1)
        self.assertEqual(receiver.states()[0], ("firing", True))
        for node in nodes:
            self.assertTrue(self.state_of(node, name, "firing")["confirmed"])

    def test_failures_of_several_nodes_are_summed_up(self):
        """None of them alone is over the threshold."""
        script = self.write("fails.sh", "#!/bin/sh\ncat >/dev/null\nexit 1\n", 0o755)
        nodes, receiver = self.cluster(3, f"""[queue q]
password = a-long-password
[topic q/t]
run_type = exec
entry = {script}
attempts = 1
"""), Receiver(self)
        self.all_run(self.applied(nodes[0], alert_text("fail", "failed/min > 14 for 1s", receiver.url, "topic = q/t")))
        for node in nodes:
            others = [n for n in nodes if n is not node]
            for other in others:
                other.pause()  # so that this node runs its jobs itself
            client = node.client("q:a-long-password")

            def one_more():  # failures before its first look do not count
                client.call("LPUSH", "q", "job")
                return self.share(node)
            wait_until(one_more, 20, pause=0.5)
            client.call("LPUSH", "q", *["job"] * 5)
            wait_until(lambda: self.share(node) >= 5, 20)
            for other in others:
                other.resume()
        self.fires_on_all(nodes, receiver, "fail")
        self.assertGreater(receiver.notices[0]["value"], 14)

    def test_nodes_that_run_no_newest_revision_are_counted(self):
        nodes, receiver = self.cluster(2), Receiver(self)
        text = alert_text("behind", "revision_behind for 1s", receiver.url, "all = yes")
        number = self.applied(nodes[0], text)
        self.all_run(number)
        self.state_of(nodes[0], "behind", "ok")
        base = hashlib.sha256(self.store.cmd("HGET", "pb:{@}:revisions:data", str(number)).encode()).hexdigest()
        data = signed(self.key_path(nodes[0]), number=number + 1, base_hash=base, text=text + "[schedule s]\ncron = * * * * *\n")
        record = f"{number + 1} 1790000000000 {len(data)} {hashlib.sha256(data.encode()).hexdigest()}"
        self.store.cmd("HSET", "pb:{@}:revisions:data", str(number + 1), data)
        self.store.cmd("HSET", "pb:{@}:revisions", str(number + 1), record, "head", record)
        for node in nodes:
            wait_until(lambda node=node: self.shared(node)["refused"] == number + 1, 30)
        receiver.wait(1)
        wait_until(lambda: self.row(nodes[0], "behind")["value"] == 2, 30, lambda: self.row(nodes[0], "behind"))
        self.assertEqual(receiver.states(), [("firing", True)])
        self.all_run(self.applied(nodes[1], text + "[system own]\n"))
        receiver.wait(2)
        self.assertEqual(receiver.states()[1], ("cleared", True))

    def test_silence_holds_back_what_is_told_and_is_audited(self):
        receiver = Receiver(self)
        ini = ("[queue q]\npassword = a-long-password\n[topic q/t]\nrun_type = pull\nstorage = main\n"
               + alert_text("waits", "ready > 1 for 1s", receiver.url, "queue = q"))
        (node,) = self.cluster(1, ini)
        self.state_of(node, "waits", "ok")
        self.assertEqual(node.ctl("alert", "silence", "waits", "soon").status, 2)
        self.assertEqual(node.ctl("alert", "silence", "nothing", "1h").status, 4)
        answer = node.ctl("alert", "silence", "waits", "1h", "--reason", "we know")
        self.assertEqual(answer.status, 0, answer.err)
        b = node.client("q:a-long-password")
        b.call("LPUSH", "q", "one", "two", "three")
        wait_until(lambda: self.row(node, "waits")["fires"], 40)
        row = self.row(node, "waits")
        self.assertEqual((row["state"], row["silence"]["reason"]), ("silenced", "we know"))
        self.assertIn("we know", node.ctl("alert", "ls").out)
        self.looks_on("waits")
        self.assertEqual(receiver.states(), [])
        self.assertEqual(node.ctl("alert", "unsilence", "waits").status, 0)
        receiver.wait(1)
        self.assertEqual(receiver.states(), [("firing", True)])
        rows = wait_until(lambda: [r for r in node.admin.get("/api/v1/audit").json["rows"] if "silence" in r["what"]], 20)
        self.assertEqual(len([r for r in rows if r["result"] == "done"]), 2, rows)

    def test_a_command_is_local_and_gets_the_notice(self):
        script = self.write("told.sh", f"cat > {self.dir}/notice.new; echo $PEPPERBUS_ALERT $PEPPERBUS_STATE > {self.dir}/env\n"
                                       f"mv {self.dir}/notice.new {self.dir}/notice\n")
        exec_alert = f"[alert told]\nwhen = ready > 1 for 1s\ntopic = q/t\nexec = sh {script}\n"
        ini = "[queue q]\npassword = a-long-password\n[topic q/t]\nrun_type = pull\nstorage = main\n"
        (node,) = self.cluster(1, ini + exec_alert)
        refused = self.apply(node, exec_alert.replace("told", "other"))
        self.assertEqual(refused.status, 400, refused)
        self.assertIn("only a file of the node can have it", refused.text)
        node.client("q:a-long-password").call("LPUSH", "q", "one", "two")
        wait_until((self.dir / "notice").exists, 40)
        self.assertEqual(json.loads((self.dir / "notice").read_text())["state"], "firing")
        self.assertEqual((self.dir / "env").read_text(), "told firing\n")
        wait_until(lambda: self.row(node, "told")["last_told_ms"], 20)

    def test_where_a_shared_webhook_may_go_is_judged(self):
        (node,) = self.cluster(1, server="http_hosts = 127.0.0.1, *.example.com")
        for url, why in (("http://169.254.169.254/latest", "link-local"), ("https://elsewhere.example.org/x", "http_hosts"),
                         ("https://u:p@a.example.com/x", "a user or a password"), ("ftp://a.example.com/", "https://HOST/PATH")):
            refused = self.apply(node, alert_text("a", "node_away for 1m", url, "all = yes"))
            self.assertEqual(refused.status, 400, refused)
            self.assertIn(why, refused.text)
            self.assertNotIn("u:p@", refused.text)
        text = alert_text("a", "node_away for 1m", "https://hook.example.com/x", "all = yes")
        number = self.applied(node, text)
        self.assertNotIn(SECRET, self.shared(node)["text"])
        moved = self.apply(node, text.replace("hook.", "other.").replace(SECRET, "********"), base=number)
        self.assertEqual(moved.status, 422, moved)
        self.assertIn("webhook_secret", moved.text)


if __name__ == "__main__":
    main()

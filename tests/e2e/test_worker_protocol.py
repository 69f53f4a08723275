"""doc/worker-protocol.md by its two workers without an SDK: examples/workers/worker.py and worker.js."""

import shutil
import socket
import sys
import urllib.error
import urllib.request

from harness import ROOT, Case, main, wait_until

WORKERS = ROOT / "examples" / "workers"
KEY = "a-signing-key-of-the-test"


def listens(port):
    with socket.create_connection(("127.0.0.1", port), 5):
        return True


class WorkerProtocol(Case):
    def served(self, topic, more=""):
        """A broker with the topics example/greet, and example/other, which the worker does not serve."""
        return self.broker("a", f"""
[storage main]
address = {self.redis().address}
[queue example]
password = secret-pw
[topic example/greet]
{topic}
attempts = 1
[topic example/other]
{topic}
attempts = 1
{more}
""")

    def speaks_the_protocol(self, b):
        """What must hold of every worker, over whatever transport."""
        wait_until(lambda: b.topic("example/greet")["state"] == "open", 20, lambda: str(b.topic("example/greet")))
        told = b.admin.post("/api/v1/topics/example/greet/test", "w\u00f6rld".encode()).json
        self.assertEqual((told["code"], told["message"]), (200, "hello w\u00f6rld"))
        told = b.admin.post("/api/v1/topics/example/greet/test", "").json
        self.assertEqual((told["code"], told["message"].split(": ")[-1]), (500, "nobody to greet"))
        told = b.admin.post("/api/v1/topics/example/greet/test", b"\xff\xfe")
        self.assertIn(told.json["code"], (200, 500), told)  # reached it as bytes, whatever it makes of them
        self.assertNotIn("//4=", told.text)
        told = b.admin.post("/api/v1/topics/example/other/ping").json
        self.assertEqual(told["code"], 404)
        self.assertIn("does not serve example/other", told["message"])
        ids = b.push("example", *[f"n{i}" for i in range(20)], "", "last")
        wait_until(lambda: b.topic("example/greet")["done"] == 21 and b.topic("example/greet")["dead"] == 1, 20,
                   lambda: str(b.topic("example/greet")))
        dead = b.admin.get("/api/v1/topics/example/greet/retry").json["jobs"]
        self.assertEqual([(d["id"], d["code"]) for d in dead], [(ids[20], 500)])
        self.assertIn("nobody to greet", dead[0]["message"])
        other = b.topic("example/other")
        self.assertEqual((other["state"], other["ready"], other["failed"]), ("unregistered", 22, 0))

    def over_http(self, *argv):
        port = self.free_port()
        self.spawn(*[a.replace("PORT", str(port)) for a in argv], name="worker", env={"PEPPERBUS_SIGNING_KEY": KEY})
        wait_until(lambda: listens(port), 20)
        b = self.served(f"run_type = http\nentry = http://127.0.0.1:{port}/\nsigning_key = {KEY}\nchunk = 8")
        self.speaks_the_protocol(b)
        # Strangers get nothing done.
        with self.assertRaises(urllib.error.HTTPError) as e:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", b"IS_PEPPER_BUS_REQUEST=true&type=data&queue=example&topic=greet"
                                                                b"&jobs=%5B%5D", timeout=60)
        self.assertEqual((e.exception.code, e.exception.headers["Code"]), (403, "403"))

    def test_the_python_worker_over_http(self):
        self.over_http(sys.executable, str(WORKERS / "worker.py"), "--listen", "127.0.0.1:PORT")

    def test_the_node_worker_over_http(self):
        node = shutil.which("node")
        self._need(node, "node")
        self.over_http(node, str(WORKERS / "worker.js"), "127.0.0.1:PORT")

    def test_the_python_worker_as_a_command(self):
        self.speaks_the_protocol(self.served(f"run_type = exec\nentry = {sys.executable} {WORKERS / 'worker.py'}\n"
                                             "ping = yes\nchunk = 8"))

    def test_the_python_worker_as_a_resident_command(self):
        self.speaks_the_protocol(self.served(f"run_type = exec\nentry = {sys.executable} {WORKERS / 'worker.py'}\n"
                                             "resident = yes\nworkers = 2\nchunk = 8"))

    def test_a_worker_with_another_key_runs_no_job(self):
        port = self.free_port()
        self.spawn(sys.executable, str(WORKERS / "worker.py"), "--listen", f"127.0.0.1:{port}", name="worker",
                   env={"PEPPERBUS_SIGNING_KEY": "another key than the broker has"})
        wait_until(lambda: listens(port), 20)
        b = self.served(f"run_type = http\nentry = http://127.0.0.1:{port}/\nsigning_key = {KEY}")
        b.push("example", "world")
        wait_until(lambda: "no valid signature" in b.topic("example/greet")["why"], 20, lambda: str(b.topic("example/greet")))
        t = b.topic("example/greet")
        self.assertEqual((t["state"], t["ready"], t["attempts"]), ("unregistered", 1, 0))


if __name__ == "__main__":
    main()

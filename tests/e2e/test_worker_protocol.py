"""doc/worker-protocol.md by its two workers without an SDK, examples/workers/worker.py and worker.js,
and by the request and the answers that stand on the page."""

import re
import shutil
import socket
import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import parse_qs

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


def page_blocks():
    """The request of the page, and the answers to it, in their order."""
    text = (ROOT / "doc" / "worker-protocol.md").read_text()
    request, *answers = re.findall(r"^```http\n(.*?)^```$", text, re.M | re.S)
    jobs = re.search(r"^```json\n(.*?)\n```$", text, re.M | re.S).group(1)
    head, _, body = request.partition("\n\n")
    return head.split("\n"), body.strip("\n"), jobs, [crlf(a) for a in answers]


def crlf(answer):
    head, _, body = answer.partition("\n\n")
    return f"{head}\n\n".replace("\n", "\r\n").encode() + body.rstrip("\n").encode()


def shape(text):
    """Ids, ports and times differ from run to run."""
    return re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", text)


class Page(Case):
    """One request, and the answers to it."""

    def answered(self, answer):
        """A broker with one job, whose worker gives this answer; what the worker was sent, the broker."""
        got = []

        def serve(listener):
            while True:
                try:
                    c, _ = listener.accept()
                except OSError:
                    return
                with c, c.makefile("rb") as f:
                    head = list(iter(lambda: f.readline().decode().rstrip("\r\n"), ""))
                    if not head:
                        continue
                    length = next(int(h.split()[1]) for h in head if h.startswith("Content-Length:"))
                    body = f.read(length).decode()
                    if "type=ping" in body:
                        c.sendall(crlf("HTTP/1.1 200 OK\nCode: 200\nConsume-Topics: msg/reply\nContent-Length: 0"))
                    else:
                        got.append((head, body))
                        c.sendall(answer)

        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)  # ends accept()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        b = self.broker("a", f"""
[storage main]
address = {self.redis().address}
[queue msg]
password = secret-pw
[topic msg/reply]
run_type = http
entry = http://127.0.0.1:{listener.getsockname()[1]}/worker
backoff = 1h..1h
""")
        b.push("msg", '{"user":7}')
        wait_until(lambda: got, 20)
        return got[0], b

    def becomes(self, b, **expected):
        wait_until(lambda: {k: b.topic("msg/reply")[k] for k in expected} == expected, 20,
                   lambda: str(b.topic("msg/reply")))

    def test_the_request_is_what_the_broker_sends_and_done_is_done(self):
        head, body, jobs, answers = page_blocks()
        (sent_head, sent_body), b = self.answered(answers[0])
        self.assertEqual(len(answers), 3)
        host = "Host: 127.0.0.1"
        self.assertEqual([shape(h) for h in sent_head if not h.startswith(host)],
                         [shape(h) for h in head if not h.startswith("Host: ")])
        self.assertIn(host, "\n".join(sent_head))
        self.assertIn(f"Content-Length: {len(body)}", head)
        sent, shown = parse_qs(sent_body), parse_qs(body)
        self.assertEqual({k: shape(v[0]) for k, v in sent.items()}, {k: shape(v[0]) for k, v in shown.items()})
        self.assertEqual(list(sent), list(shown))
        self.assertEqual(shown["jobs"], [jobs])
        self.becomes(b, done=1, failed=0)

    def test_later_is_a_failed_attempt(self):
        _, b = self.answered(page_blocks()[3][1])
        self.becomes(b, done=0, failed=1, retry=1)
        self.assertIn("the mail server said 451", b.ctl("topic", "errors", "msg/reply").out)

    def test_a_worker_that_is_full_counts_no_attempt(self):
        _, b = self.answered(page_blocks()[3][2])
        wait_until(lambda: b.topic("msg/reply")["busy"] >= 1, 20, lambda: str(b.topic("msg/reply")))
        self.becomes(b, done=0, failed=0, retry=0, dead=0)


if __name__ == "__main__":
    main()

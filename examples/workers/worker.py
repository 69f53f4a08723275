#!/usr/bin/env python3
"""A worker in Python, without an SDK: doc/worker-protocol.md in code. It uses the standard library only.

  worker.py --listen 127.0.0.1:8080   run_type = http   entry = http://127.0.0.1:8080/
  worker.py                           run_type = exec   entry = /srv/app/worker.py   (resident = yes works too)

With PEPPERBUS_SIGNING_KEY in its environment the HTTP worker refuses requests without a valid signature.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


def greet(content):
    """The application: gets the bytes that the producer added. An exception is a failed attempt."""
    name = content.decode()
    if not name:
        raise ValueError("nobody to greet")
    return f"hello {name}"


TOPICS = {"example/greet": greet}


# --- the protocol ---

def content_of(job):
    """Content that is not valid UTF-8 comes as base64."""
    return base64.b64decode(job["content"]) if job.get("encoding") == "base64" else job["content"].encode()


def run(handler, job):
    try:
        return {"id": job["id"], "code": 200, "msg": handler(content_of(job))}
    except Exception as error:
        return {"id": job["id"], "code": 500, "msg": f"{type(error).__name__}: {error}"}


def answer(kind, path, jobs):
    """The answer to a ping, or to the jobs of one request."""
    handler = TOPICS.get(path)
    if handler is None:
        return {"code": 404, "msg": f"this worker does not serve {path}"}
    if kind == "ping":
        return {"code": 200, "msg": "", "topics": list(TOPICS)}
    outcomes = [run(handler, job) for job in jobs]
    if len(outcomes) == 1:
        return {"code": outcomes[0]["code"], "msg": outcomes[0]["msg"]}
    return {"code": 207, "jobs": outcomes}


def is_signed(header, body, path, key, tolerance=300):
    parts = [part.strip().partition("=") for part in header.split(",")]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(time.time() - int(stamp)) > tolerance:
        return False
    right = hmac.new(key.encode(), f"{stamp}\nform\n{path}\n".encode() + body, hashlib.sha256).hexdigest()
    return any(name == "v2" and hmac.compare_digest(right.encode(), value.encode()) for name, _, value in parts)


# --- run_type = http ---

class Worker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = os.environ.get("PEPPERBUS_SIGNING_KEY", "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}
        if form.get("IS_PEPPER_BUS_REQUEST") != "true":
            return self.send_answer(400, {}, "this is no request of a Pepperbus")
        path = f"{form['queue']}/{form['topic']}"
        if self.key and not is_signed(self.headers.get("X-Pepperbus-Signature", ""), body, path, self.key):
            return self.send_answer(403, {"Code": "403"}, "the request has no valid signature")
        said = answer(form["type"], path, json.loads(form.get("jobs", "[]")))
        headers = {"Code": str(said["code"])}
        if "topics" in said:
            headers["Consume-Topics"] = ",".join(said["topics"])
        return self.send_answer(200, headers, json.dumps(said["jobs"]) if "jobs" in said else said["msg"])

    def send_answer(self, status, headers, text):
        body = text.encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# --- run_type = exec ---

def serve_once():
    """One process for one request: jobs on standard input, the verdict is the last line of standard output."""
    env = os.environ
    jobs = json.load(sys.stdin) if env["PEPPERBUS_TYPE"] == "data" else []
    said = answer(env["PEPPERBUS_TYPE"], f"{env['PEPPERBUS_QUEUE']}/{env['PEPPERBUS_TOPIC']}", jobs)
    print(json.dumps({**said, "outTraceId": env["PEPPERBUS_TRACE_ID"]}), flush=True)


def serve_lines():
    """A resident process: a line for each request, a line for each answer."""
    for line in sys.stdin:
        request = json.loads(line)
        said = answer(request["type"], f"{request['queue']}/{request['topic']}", request.get("jobs", []))
        print(json.dumps({**said, "outTraceId": request["outTraceId"]}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--listen":
        host, _, port = sys.argv[2].rpartition(":")
        ThreadingHTTPServer((host, int(port)), Worker).serve_forever()
    elif "PEPPERBUS_TYPE" in os.environ:
        serve_once()
    elif "PEPPERBUS_QUEUE" in os.environ:
        serve_lines()
    else:
        sys.exit(__doc__)

#!/usr/bin/env python3
"""service.py SOCKET: a service for the run type unix. It fails each job whose content is "bad"."""
import json, os, socketserver, sys


class Service(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            ask = json.loads(line)
            jobs = [{"id": job["id"], "code": 500 if job["content"] == "bad" else 200,
                     "msg": "looked at " + job["content"][:40]} for job in ask["jobs"]]
            os.write(1, "".join(job["content"] + "\n" for job in ask["jobs"]).encode())
            answer = {"id": ask["id"], "code": 207 if jobs else 200, "jobs": jobs or None,
                      "topics": [ask["queue"] + "/" + ask["topic"]]}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 128  # connections that wait to be accepted; over that it counts as busy


if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
Server(sys.argv[1], Service).serve_forever()

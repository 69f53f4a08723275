"""Commands as workers, and their processes."""

import re
from pathlib import Path

from .case import Case


class CommandCase(Case):
    """Topics whose workers are commands, each in a queue of its own."""

    def script(self, name, text):
        return self.write(f"bin/{name}", f"#!/bin/sh\n{text}", 0o755)

    def topics(self, *topics):
        """A configuration: each topic is (path, keys)."""
        ini = f"[storage main]\naddress = {self.redis_server.address}\n"
        for path, keys in topics:
            queue = f"[queue {path.split('/')[0]}]"
            if queue not in ini:
                ini += f"{queue}\npassword = secret-pw\n"
            ini += f"[topic {path}]\n{keys}\n"
            ini += "" if "run_type = " in keys else "run_type = exec\n"
            ini += "" if "env = " in keys else f"env = T={self.dir}\n"
        return ini

    def start(self, *topics, **kw):
        self.redis_server = self.redis()
        self.b = self.broker("b", self.topics(*topics), **kw)
        return self.b

    def reload(self, *topics, **kw):
        self.b.reload(self.topics(*topics), **kw)

    def tried(self, path, content):
        """What the API's test of a topic says: code and message."""
        r = self.b.admin.post(f"/api/v1/topics/{path}/test", {"content": content}).json
        return r["code"], r["message"]

    def push_each(self, queue, jobs):
        """Adds jobs by one LPUSH each, all of them on their way at once."""
        jobs = list(jobs)
        with self.b.client(f"{queue}:secret-pw", unix=True) as c:
            for job in jobs:
                c.send("LPUSH", queue, job)
            for _ in jobs:
                self.assertIn('"error":""', c.recv(), "jobs are added")

    def alive(self, file, pattern):
        """How many of the processes whose ids stand in a file are there, by their command lines; a
        number may be another's by now."""
        n = 0
        for pid in self.lines(file):
            try:
                args = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            n += bool(re.search(pattern, args.replace("\0", " ").strip()))
        return n

"""pepperbusd, and its clients."""

import configparser
import http.client
import json
import re
import signal
import socket
import subprocess

from .contract import validate
from .env import PEPPERBUSCTL, PEPPERBUSD, PLUGIN_DIR, SLOW
from .process import Process
from .resp import RespClient
from .wait import equals, wait_until


class Answer:
    """What the admin port has answered."""

    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    @property
    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"Answer({self.status}, {self.text[:500]!r})"


class Result:
    """What a program has printed and how it ended."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"Result({self.status}, out={self.out[:500]!r}, err={self.err[:500]!r})"


class Admin:
    """The admin API of a broker. `token`: the node's unless another (or None) is given. Every answer
    must be one that doc/openapi.yaml describes."""

    def __init__(self, broker):
        self._broker = broker

    def request(self, method, path, body=None, token="", headers=None, timeout=60, address=None):
        host, _, port = (address or self._broker.admin_address).rpartition(":")
        all_headers = {}
        if token == "":
            token = self._broker.token()
        if token:
            all_headers["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        c = http.client.HTTPConnection(host, int(port), timeout=timeout * SLOW)
        try:
            c.request(method, path, body, all_headers)
            r = c.getresponse()
            text = r.read().decode("utf-8", "replace")
            validate(method, path, r.status, r.headers.get("Content-Type", ""), text)
            return Answer(r.status, r.headers, text)
        finally:
            c.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def socket(self, timeout=60):
        """A bare connection, for what no HTTP client does."""
        host, _, port = self._broker.admin_address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout)


class Broker(Process):
    """`ini` is the configuration behind [server], whose first lines (node, ports, state_dir,
    plugin_dir) are made here; `server` are more lines of [server]. `programs`: the folder of
    pepperbusd and pepperbusctl; that of the build if there is none."""

    def __init__(self, case, name, ini, server="", node=None, wait=True, start=True, argv=(), plugin_dir=PLUGIN_DIR,
                 programs=None, **popen):
        self.case, self.name = case, name
        self.plugin_dir = plugin_dir
        self.pepperbusd = f"{programs}/pepperbusd" if programs else PEPPERBUSD
        self.pepperbusctl = f"{programs}/pepperbusctl" if programs else PEPPERBUSCTL
        self.node = node or name
        self.port, self.admin_port = case.free_port(), case.free_port()
        self.bus = case.dir / f"{name}.bus"
        self.state_dir = case.dir / f"{name}.state"
        self.path = case.dir / f"{name}.ini"
        self.server, self.log_path = server, case.dir / f"{name}.log"
        self._argv, self._popen = list(argv), popen
        self._log_from = 0
        self.write(ini)
        self._p = None
        if start:
            self.start(wait)

    # --- its configuration ---

    def write(self, ini, server=None):
        """Writes the configuration; the running broker does not know of it yet."""
        if server is not None:
            self.server = server
        self.ini = ini
        self.path.write_text(f"""[server]
node = {self.node}
listen = 127.0.0.1:{self.port}, unix:{self.bus}
admin = 127.0.0.1:{self.admin_port}
state_dir = {self.state_dir}
plugin_dir = {self.plugin_dir}
{self.server}
{ini}
""")
        self.path.chmod(0o600)  # passwords stand in it

    def check(self):
        """`pepperbusd -t` of its configuration."""
        return self._run([self.pepperbusd, "-t", "-c", self.path])

    def password(self, queue):
        parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",),
                                           inline_comment_prefixes=(";",))
        parser.read_string(self.ini)
        return parser[f"queue {queue}"]["password"].strip('"')

    # --- its life ---

    def start(self, wait=True):
        super().__init__([self.pepperbusd, "-c", self.path, *self._argv], self.log_path, self.case.dir, **self._popen)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=20):
        def ready():
            return not self.running or self.admin.get("/readyz", token=None).status == 200

        wait_until(ready, seconds, lambda: f"broker {self.name} is not ready: {self.log_text()[-2000:]}")
        assert self.running, f"broker {self.name} ended with {self.status}: {self.log_text()[-2000:]}"

    def reload(self, ini=None, server=None, wait=True):
        """HUP, with a new configuration where one is given; waits until the log tells of it."""
        if ini is not None or server is not None:
            self.write(self.ini if ini is None else ini, server)
        marks = r"reload|configuration"
        before = len(re.findall(marks, self.log_text()))
        self.signal(signal.SIGHUP)
        if wait:
            wait_until(lambda: len(re.findall(marks, self.log_text())) > before, 20,
                       "the log says nothing of the reload")

    # --- its clients ---

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def admin_address(self):
        return f"127.0.0.1:{self.admin_port}"

    @property
    def admin(self):
        return Admin(self)

    def token(self):
        return (self.state_dir / "admin.token").read_text().strip()

    def client(self, auth=None, unix=False, **kw):
        """A connection to the Redis port; `auth` "queue:password" is told as AUTH."""
        c = RespClient(f"unix:{self.bus}" if unix else self.address, **kw)
        if auth:
            c.call("AUTH", auth)
        return c

    def lpush(self, queue, *jobs):
        """The reply of one LPUSH as the producer reads it: {"jobs": [...], "error": ...}."""
        with self.client(f"{queue}:{self.password(queue)}") as c:
            return json.loads(c.call("LPUSH", queue, *jobs))

    def push(self, queue, *jobs):
        """Adds jobs; their ids. An error is raised."""
        reply = self.lpush(queue, *jobs)
        if reply["error"]:
            raise AssertionError(f"LPUSH {queue}: {reply['error']}")
        return reply["jobs"]

    def push_each(self, queue, jobs):
        """Adds jobs by one LPUSH each, over one connection; the replies, as lpush() has them."""
        with self.client(f"{queue}:{self.password(queue)}", unix=True) as c:
            return [json.loads(c.call("LPUSH", queue, job)) for job in jobs]

    def act(self, path, verb, seconds=60):
        """Replays or purges all failed jobs of a topic, to the end; how many they were."""
        answer = self.admin.post(f"/api/v1/topics/{path}/{verb}", {"all": True}).json
        told = "purged" if verb == "purge" else "replayed"
        if told in answer:
            return answer[told]
        get = lambda: self.admin.get(f"/api/v1/acts/{answer['act']['id']}").json
        equals(lambda: get()["state"], "done", seconds, f"{verb} of {path}")
        return get()["done"]

    def ctl(self, *args, seconds=60, stdin=""):
        return self._run([self.pepperbusctl, "-c", self.path, *args], seconds, stdin)

    def _run(self, argv, seconds=60, stdin=""):
        p = subprocess.run([str(a) for a in argv], input=stdin, text=True, errors="replace",
                           capture_output=True, timeout=seconds * SLOW, check=False, cwd=self.case.dir)
        return Result(p.returncode, p.stdout, p.stderr)

    # --- what can be seen of it ---

    def topic(self, path):
        """What the API says of a topic, with its counts and counters at hand as members."""
        t = self.admin.get(f"/api/v1/topics/{path}").json
        return {**t, **t.get("counters", {}), **t.get("counts", {})}

    def becomes(self, path, member, want, seconds=10, what=None):
        """Waits until that member of the topic (state, done, ready ...) is `want`."""
        equals(lambda: self.topic(path)[member], want, seconds, what or f"{member} of {path}")

    def errors(self, path):
        """The error log of a topic, as text."""
        return self.admin.get(f"/api/v1/topics/{path}/errors").text

    def complains(self, path, pattern, what=None, seconds=10):
        """Waits until the regular expression is found in the error log of a topic. An attempt may be
        counted before that log has it."""
        wait_until(lambda: re.search(pattern, self.errors(path)), seconds,
                   lambda: f"{what or 'the error log'}: {pattern!r} is not in {self.errors(path)[:1000]}")

    def unfinished(self, path):
        """Jobs that are ready, running or to be retried, at one moment."""
        t = self.topic(path)
        return t["ready"] + t["running"] + t["retry"]

    def metrics(self, query=""):
        """/metrics as {"name{labels}": value}."""
        text = self.admin.get(f"/metrics{query}", token=None).text
        return {l.rpartition(" ")[0]: float(l.rpartition(" ")[2])
                for l in text.splitlines() if l and not l.startswith("#")}

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def logged(self, pattern):
        """Lines of the log that the regular expression is found in."""
        return [l for l in self.log_text().splitlines() if re.search(pattern, l)]

    def lines(self, name):
        return self.case.lines(name)

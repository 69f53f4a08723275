"""A real Redis (or Valkey) server."""

import os
import shutil

from .process import Process
from .resp import RespClient
from .wait import wait_until

SERVER = os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer(Process):
    """On 127.0.0.1:`port` and on a unix socket; keeps an append-only file in its own folder.

    `address` is what [storage] takes (the unix socket), `tcp` the other one.
    """

    def __init__(self, case, name, *options, wait=True, port=None, **popen):
        self.case, self.name, self.options, self._popen = case, name, [str(o) for o in options], popen
        self.folder = case.dir / name
        self.folder.mkdir(exist_ok=True)
        self.port = port or case.free_port()
        self.sock = case.dir / f"{name}.sock"
        self._client = None
        self.start(wait)

    def start(self, wait=True):
        super().__init__(
            [SERVER, "--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.sock,
             "--dir", self.folder, "--appendonly", "yes", "--appendfsync", "everysec",
             "--save", "", "--daemonize", "no", *self.options],
            self.case.dir / f"{self.name}.log", self.folder, **self._popen)
        if wait:
            wait_until(self.ready, 20, f"redis {self.name} does not start")

    @property
    def address(self):
        return f"unix:{self.sock}"

    @property
    def tcp(self):
        return f"127.0.0.1:{self.port}"

    def client(self, **kw):
        return RespClient(self.address, **kw)

    def ready(self):
        try:
            with self.client(timeout=2) as c:
                return c.call("PING") == "PONG"
        except Exception as e:  # pylint: disable=broad-except
            return "NOAUTH" in str(e)

    def cmd(self, *args):
        """One command over a kept connection (made again when it broke); an error reply is raised."""
        for last in (False, True):
            if self._client is None:
                self._client = self.client()
            try:
                return self._client.call(*args)
            except (OSError, ConnectionError):
                self._client.close()
                self._client = None
                if last:
                    raise
        return None

    def config_set(self, name, value):
        self.cmd("CONFIG", "SET", name, value)

    def info(self, section="all"):
        """INFO as a dict of str."""
        return dict(l.split(":", 1) for l in self.cmd("INFO", section).splitlines() if ":" in l)

    def calls(self, command):
        """How often the command ran."""
        stat = self.info("commandstats").get(f"cmdstat_{command.lower()}", "calls=0")
        return int(stat.split("calls=")[1].split(",")[0])

    def replica_of(self, other):
        """Makes it a replica of another server, or a primary (None)."""
        self.cmd("REPLICAOF", *(("127.0.0.1", other.port) if other else ("NO", "ONE")))

    def restart(self):
        """Clean stop and start; its data stays."""
        self.stop()
        self.start()

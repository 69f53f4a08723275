"""A program that a test has started."""

import os
import signal
import subprocess
import time

from .env import SLOW


class Process:
    """Runs `argv` in `cwd`; its output is appended to `log`."""

    def __init__(self, argv, log, cwd, env=None, **popen):
        self.argv, self.log = [str(a) for a in argv], log
        with open(log, "ab") as out:
            self._p = subprocess.Popen(self.argv, cwd=cwd,
                                       **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out,
                                          "env": {**os.environ, **(env or {})}, **popen})

    @property
    def pid(self):
        return self._p.pid

    @property
    def running(self):
        return self._p.poll() is None

    @property
    def status(self):
        """The exit status; negative: the signal; None while it runs."""
        return self._p.poll()

    @property
    def stdout(self):
        return self._p.stdout

    def signal(self, number):
        if self.running:
            self._p.send_signal(number)

    def pause(self):
        """SIGSTOP, and waits until it stands still."""
        self.signal(signal.SIGSTOP)
        while self.running:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
                if f.read().rpartition(")")[2].split()[0] in "Tt":
                    return
            time.sleep(0.002)

    def resume(self):
        self.signal(signal.SIGCONT)

    def wait(self, seconds=60):
        """Waits until it is gone; its exit status."""
        return self._p.wait(seconds * SLOW)

    def stop(self, seconds=60):
        """TERM, and waits; its exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        """kill -9, and waits."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def rss(self):
        """Bytes of memory that it has now."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

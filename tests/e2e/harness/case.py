"""A test case with a scratch directory, and the runner that prints TAP."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import unittest
from concurrent.futures import Future
from pathlib import Path

from . import env, ports
from .broker import Broker, Result
from .fpm import FPM_BIN, Fpm
from .http_worker import HttpWorker
from .installed import Installed, installable
from .nginx import NGINX, Nginx
from .process import Process
from .proxy import TcpProxy
from .redis import SERVER, RedisServer
from .slapd import SLAPD, Slapd
from .terminal import Terminal


def case(*numbers):
    """Says which cases a test is for; tests/README.md has the table that is made of it."""
    def mark(function):
        function.cases = numbers
        return function
    return mark


class Case(unittest.TestCase):
    """self.dir is the scratch directory. What is started by the functions below ends with the test."""

    maxDiff = 4000

    def setUp(self):
        self.dir = ports.scratch()
        self._started, self._closing, self._ports, self._ended = [], [], [], False
        self.addCleanup(self._end)  # there is no tearDown() after a setUp() that failed

    # --- to start ---

    def redis(self, name="redis", *options, **kw):
        self._need(SERVER, "redis-server")
        return self._own(lambda: RedisServer(self, name, *options, **kw))

    def fpm(self, name="fpm", children=4, **kw):
        self._need(FPM_BIN, "php-fpm")
        return self._own(lambda: Fpm(self, name, children, **kw))

    def nginx(self, http, port, name="nginx"):
        self._need(NGINX, "nginx")
        return self._own(lambda: Nginx(self, name, http, port))

    def slapd(self, people, groups, name="slapd", certificate=None):
        """A directory server with dc=example,dc=com: ou=people and ou=groups."""
        self._need(SLAPD, "slapd")
        return self._own(lambda: Slapd(self, name, self.free_port(), people, groups, certificate))

    def broker(self, name, ini, server="", **kw):
        self._need(os.access(env.PEPPERBUSD, os.X_OK), env.PEPPERBUSD)
        return self._own(lambda: Broker(self, name, ini, server, **kw))

    def installed(self):
        """`make install` of the build into self.dir / "root"."""
        why = installable()
        if why:
            self.skipTest(why)
        return Installed(self.dir / "root")

    def spawn(self, *argv, name=None, **kw):
        """Another program; its output goes to `name`.log."""
        name = name or Path(str(argv[0])).name
        return self._own(lambda: Process(argv, self.dir / f"{name}.log", self.dir, **kw))

    def terminal(self, *argv, **kw):
        """A program on a terminal of its own (rows=24, columns=80)."""
        return self._close(self._own(lambda: Terminal(self, argv, **kw)))

    def http(self, handle, port=None, **kw):
        return self._close(HttpWorker(handle, port or self.free_port(), **kw))

    def tcp_proxy(self, target, port=None):
        return self._close(TcpProxy(target, port or self.free_port()))

    def run_program(self, *argv, seconds=60, stdin="", **kw):
        """Runs a program to its end: Result(status, out, err)."""
        p = subprocess.run([str(a) for a in argv], input=stdin, text=True, errors="replace",
                           capture_output=True, timeout=seconds * env.SLOW, check=False,
                           **{"cwd": self.dir, **kw})
        return Result(p.returncode, p.stdout, p.stderr)

    def beside(self, function, *args):
        """Runs it on a thread of its own: .result(SECONDS) is its value, .done() says whether it has ended."""
        future = Future()

        def run():
            try:
                future.set_result(function(*args))
            except BaseException as e:  # pylint: disable=broad-except
                future.set_exception(e)

        threading.Thread(target=run, daemon=True).start()
        return future

    @staticmethod
    def php_pool(redis, fpm, most):
        """Configuration: the storage main at `redis`, and the pool php at `fpm`, of `most` connections."""
        return f"""[storage main]
address = {redis.address}
[pool php]
run_type = cgi
address = {fpm.address}
max_connections = {most}"""

    def waiting(self, address, password="a-long-password", storage="", more=""):
        """A configuration with the queue q and the topic q/t, whose jobs wait: nobody is at the pool's
        address. `address`: the storage's; `storage`: more keys of [storage main]; `more`: more keys of the topic,
        and what follows it."""
        return f"""
[storage main]
address = {address}
{storage}
[pool p]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = {password}
[topic q/t]
pool = p
entry = /srv/worker.php
{more}
"""

    # --- places ---

    def free_port(self):
        return ports.free_port(self._ports)

    def worker(self, name):
        """The path of a worker of tests/e2e/workers."""
        return str(env.WORKERS / name)

    def write(self, name, text, mode=0o644):
        """Writes a file of the scratch directory; its path."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def lines(self, name):
        """The lines of a file of the scratch directory that workers append to."""
        path = self.dir / name
        return path.read_text(errors="surrogateescape").splitlines() if path.exists() else []

    # --- the end ---

    def _need(self, there, name):
        if not there:
            self.skipTest(f"{name} is not installed")

    def _own(self, make):
        # A start that fails leaves its process to _at_home().
        made = make()
        self._started.append(made)
        return made

    def _close(self, thing):
        self._closing.append(thing)
        return thing

    def tearDown(self):
        self._end()

    def _end(self):
        if self._ended:
            return
        self._ended = True
        for thing in self._closing:
            thing.close()
        for p in reversed(self._started):
            if getattr(p, "_p", None) is not None and p.running:
                p.signal(signal.SIGCONT)
                p.signal(signal.SIGTERM)
        end = time.monotonic() + 10 * env.SLOW
        while True:
            left = self._at_home()
            if not left:
                break
            late = time.monotonic() - end
            for pid in left if late > -8 * env.SLOW else []:
                try:
                    os.kill(pid, signal.SIGKILL if late > 0 else signal.SIGTERM)
                except OSError:
                    pass
            if late > 10:
                break
            time.sleep(0.05)
        for p in self._started:
            if getattr(p, "_p", None) is not None:
                try:
                    p.wait(5)
                except subprocess.TimeoutExpired:
                    pass
        outcome = getattr(self, "_outcome", None)
        failed = outcome is not None and not outcome.success
        if failed:
            self._show_logs()
        self._sanitizer_reports()
        for mark in self._ports:
            mark.unlink(missing_ok=True)
        if os.environ.get("KEEP"):
            print(f"# kept: {self.dir}", flush=True)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _at_home(self):
        """Processes that live in the scratch directory: what was started here and what that started."""
        found, here = [], str(self.dir)
        for p in self._started:
            if getattr(p, "_p", None) is not None:
                p.status  # reaps it  # pylint: disable=pointless-statement
        for d in Path("/proc").iterdir():
            if not d.name.isdigit() or int(d.name) == os.getpid():
                continue
            try:
                cwd = os.readlink(d / "cwd")
                cmd = (d / "cmdline").read_bytes().decode("utf-8", "replace")
                state = (d / "stat").read_text().rpartition(")")[2].split()[0]
            except (OSError, IndexError):  # it has ended meanwhile; its stat may be empty then
                continue
            if state != "Z" and (cwd == here or cwd.startswith(here + "/") or here + "/" in cmd):
                found.append(int(d.name))
        return found

    def _show_logs(self):
        for log in sorted(self.dir.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-int(os.environ.get("E2E_LOG_LINES", "40")):]
            if tail:
                print(f"# --- the end of {log.name} ---")
                for line in tail:
                    print("# " + line[:400])

    def _sanitizer_reports(self):
        if env.SANITIZED:
            for log in self.dir.glob("*.log"):
                text = log.read_text(errors="replace")
                for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"):
                    if word in text:
                        at = text.index(word)
                        self.fail(f"{log.name}: {text[max(0, at - 200):at + 2500]}")


class _Tap(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.n = 0

    def _line(self, ok, test, note=""):
        self.n += 1
        cases = getattr(getattr(test, getattr(test, "_testMethodName", ""), None), "cases", ())
        name = getattr(test, "_testMethodName", str(test)).removeprefix("test_").replace("_", " ")
        prefix = f"{', '.join(cases)}: " if cases else ""
        print(f"{'ok' if ok else 'not ok'} {self.n} - {prefix}{name}{note}", flush=True)

    def _failed(self, test, err):
        self._line(False, test)
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print("#   " + line[:1000], flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.bad = False

    def addSuccess(self, test):
        self._line(True, test)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err:
            super().addSubTest(test, subtest, err)
            print(f"# {subtest}", flush=True)
            self._failed(test, err)

    def addSkip(self, test, reason):
        self._line(True, test, f" # SKIP {reason}")


def _interrupted(*_):
    raise KeyboardInterrupt


def main():
    """Runs the tests of the file that calls it (those that are named on the command line, or all)."""
    if not os.access(env.PEPPERBUSD, os.X_OK):
        print(f"1..0 # SKIP {env.PEPPERBUSD} is not built")
        sys.exit(77)
    signal.signal(signal.SIGTERM, _interrupted)
    module = sys.modules["__main__"]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromModule(module)
    wanted = sys.argv[1:]

    def flat(s):
        for t in s:
            if isinstance(t, unittest.TestSuite):
                yield from flat(t)
            else:
                yield t

    tests = [t for t in flat(suite) if not wanted or any(w in t.id() for w in wanted)]
    result = _Tap()
    for t in tests:
        try:
            t.run(result)
        except KeyboardInterrupt:
            t.tearDown()
            sys.exit(143)
    print(f"1..{result.n}", flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)

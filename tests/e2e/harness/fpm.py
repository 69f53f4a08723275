"""A real php-fpm."""

import glob
import os
import shutil
import signal
import subprocess

from .process import Process
from .wait import wait_until

FPM_BIN = next((f for d in ("/usr/sbin", "/usr/local/sbin") for f in sorted(glob.glob(f"{d}/php-fpm*"), reverse=True)
                if os.access(f, os.X_OK)), None)


class Fpm(Process):
    """A static pool of `children` on a unix socket, or on `port`. Workers find the scratch
    directory in the environment as T. `extra`: more lines of the pool; `ini`: php settings (-d)."""

    def __init__(self, case, name, children=4, extra="", port=None, control_timeout="10s",
                 backlog=511, ini=("opcache.enable=1",)):
        self.case, self.name, self.children, self.extra = case, name, children, extra
        self.sock, self.port = case.dir / f"{name}.sock", port
        self.conf = case.dir / f"{name}.conf"
        self.control_timeout, self.backlog, self.ini = control_timeout, backlog, ini
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}" if self.port else f"unix:{self.sock}"

    def _write(self):
        t, root = self.case.dir, os.geteuid() == 0
        user = "user = root\ngroup = root\n" if root else ""
        self.conf.write_text(f"""[global]
error_log = {t}/{self.name}.log
pid = {t}/{self.name}.pid
log_level = notice
process_control_timeout = {self.control_timeout}
[www]
{user}listen = {self.address.removeprefix("unix:")}
listen.backlog = {self.backlog}
pm = static
pm.max_children = {self.children}
clear_env = no
env[T] = {t}
php_admin_value[error_log] = {t}/{self.name}.php.log
php_admin_flag[display_errors] = on
php_admin_flag[html_errors] = off
{self.extra}
""")

    def _ready(self):
        log = self.case.dir / f"{self.name}.log"
        return log.read_text(errors="replace").count("ready to handle") if log.exists() else 0

    def start(self):
        self._write()
        before = self._ready()
        flags = ["-F"] + (["-R"] if os.geteuid() == 0 else [])
        for setting in self.ini:
            flags += ["-d", setting]
        super().__init__([FPM_BIN, *flags, "-y", self.conf], self.case.dir / f"{self.name}.out.log",
                         self.case.dir, env={"T": str(self.case.dir)})
        wait_until(lambda: self._ready() > before, 20, f"php-fpm {self.name} does not start")

    def reload(self, children=None):
        """USR2, and waits for the new master; with another number of children where it is given."""
        self.children = children or self.children
        self._write()
        before = self._ready()
        self.signal(signal.SIGUSR2)
        wait_until(lambda: self._ready() > before, 20, f"php-fpm {self.name} does not come back")


def php(code, *args, **kw):
    """Runs `php -r code`; its output as text. An error of PHP is raised."""
    return subprocess.run([shutil.which("php") or "php", "-r", code, *[str(a) for a in args]],
                          check=True, text=True, stdout=subprocess.PIPE, **kw).stdout

"""An installed tree: `make install` of the build into an empty folder."""

import os
import shutil
import subprocess
from pathlib import Path

from .env import PEPPERBUSD


class Installed:
    """`make install` of the build into `root`. `at("plugindir")` is then a folder of it. `env` is an
    environment in which compilers and programs find it, by PATH and pkg-config, as they would find
    one that is installed."""

    def __init__(self, case, root):
        self.case, self.root = case, root
        self.build = Path(os.environ.get("top_builddir") or Path(PEPPERBUSD).parent).resolve()
        # The sub-make is one of its own: it must not wait for tokens of the one that runs the tests.
        mine = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "TESTS", "TEST_LOGS")
        self.env = {k: v for k, v in os.environ.items() if k not in mine}
        self.install()
        places = subprocess.run(["make", "-s", "-C", self.build, "print-places"], check=True, text=True,
                                stdout=subprocess.PIPE, env=self.env).stdout
        self.places = dict(line.split(" ", 1) for line in places.splitlines())
        self.env |= {"PKG_CONFIG_PATH": f"{self.at('libdir')}/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": str(root),
                     "PATH": f"{self.at('bindir')}:{os.environ['PATH']}"}

    def make(self, target):
        r = self.case.run_program("make", "-C", self.build, target, f"DESTDIR={self.root}", seconds=120, env=self.env)
        self.case.assertEqual(r.status, 0, f"make {target}: {r.err[-2000:]}")

    def install(self):
        self.make("install")

    def at(self, place):
        """The folder `place` (bindir, plugindir ...) within the root."""
        return Path(f"{self.root}{self.places[place]}")

    @property
    def programs(self):
        """What makes a Broker one of this tree."""
        return {"programs": self.at("bindir"), "plugin_dir": self.at("plugindir")}


def installable():
    """Why there is nothing to install; None where there is."""
    build = Path(os.environ.get("top_builddir") or Path(PEPPERBUSD).parent)
    if not (build / "Makefile").exists():
        return f"{build} is no build directory"
    if os.environ.get("SANITIZED"):
        return "a sanitized build is not for installing"
    missing = [p for p in ("make", "pkg-config", compiler()[0]) if not shutil.which(p)]
    return f"{missing[0]} is not installed" if missing else None


def compiler():
    """The C compiler, with its options."""
    return (os.environ.get("TEST_CC") or os.environ.get("CC") or "cc").split()

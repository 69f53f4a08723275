"""An installed tree: `make install` of the build into an empty folder."""

import atexit
import functools
import os
import shutil
import subprocess
from pathlib import Path

from . import ports
from .env import PEPPERBUSD

# Variables of the make that runs the tests: one that is run by a test must not wait for its tokens.
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "TESTS", "TEST_LOGS")


def make(*args):
    """Runs make in the build; what it has printed."""
    build = Path(os.environ.get("top_builddir") or Path(PEPPERBUSD).parent).resolve()
    p = subprocess.run(["make", "-C", build, *args], text=True, capture_output=True, check=False, timeout=1200,
                       env={k: v for k, v in os.environ.items() if k not in OF_MAKE})
    assert p.returncode == 0, f"make {args}: {p.stdout[-1000:]} {p.stderr[-2000:]}"
    return p.stdout


@functools.cache
def _first():
    """An installed tree that the trees of tests are copies of, for make takes its time; and its places."""
    root = ports.scratch()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    make("install", f"DESTDIR={root}")
    return root, dict(line.split(" ", 1) for line in make("-s", "print-places").splitlines())


class Installed:
    """`make install` of the build into `root`. `at("plugindir")` is then a folder of it. `env` is an
    environment in which compilers and programs find it, by PATH and pkg-config, as they would find
    one that is installed."""

    def __init__(self, root):
        self.root = root
        first, self.places = _first()
        shutil.copytree(first, root, symlinks=True)
        self.env = {k: v for k, v in os.environ.items() if k not in OF_MAKE}
        self.env |= {"PKG_CONFIG_PATH": f"{self.at('libdir')}/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": str(root),
                     "PATH": f"{self.at('bindir')}:{os.environ['PATH']}"}

    def install(self):
        """Once more."""
        make("install", f"DESTDIR={self.root}")

    def uninstall(self):
        make("uninstall", f"DESTDIR={self.root}")

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

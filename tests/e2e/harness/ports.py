"""Ports that nobody uses, given to one test at a time (the shell tests share the folder)."""

import os
import random
import socket
import tempfile
from pathlib import Path

PORTS = Path(os.environ.get("TMPDIR", "/tmp")) / f"pbe2e.ports.{os.geteuid()}"


def _listening(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def free_port(given=None):
    """A TCP port of 127.0.0.1, below the range that connections get theirs from, so that none of
    those takes it meanwhile. `given`: a list that the name of its file is added to."""
    PORTS.mkdir(parents=True, exist_ok=True)
    for _ in range(1000):
        port = random.randrange(10240, 31240)
        mark = PORTS / str(port)
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            continue
        if given is not None:
            given.append(mark)
        if not _listening(port):
            return port
    raise RuntimeError(f"no port can be had in {PORTS}")


def scratch():
    """A new directory with a short path: names of unix sockets have 107 bytes at most."""
    path = Path(tempfile.mkdtemp(prefix="pbe2e.", dir=os.environ.get("TMPDIR", "/tmp")))
    path.chmod(0o755)
    return path

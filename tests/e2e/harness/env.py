"""Where the programs are, and how slow they may be."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PEPPERBUSD = os.environ.get("PEPPERBUSD", str(ROOT / "build" / "pepperbusd"))
PEPPERBUSCTL = os.environ.get("PEPPERBUSCTL", str(Path(PEPPERBUSD).parent / "pepperbusctl"))
# What `make` built of the console; an empty folder, or none, where it was not built.
CONSOLE_DIR = os.environ.get("PEPPERBUS_CONSOLE_DIR", str(Path(PEPPERBUSD).parent / "console" / "built"))
PLUGIN_DIR = os.environ.get("PEPPERBUS_PLUGIN_DIR", str(Path(PEPPERBUSD).parent / "plugins" / ".libs"))
WORKERS = Path(__file__).resolve().parent.parent / "workers"
SANITIZED = bool(os.environ.get("SANITIZED"))
# A sanitized broker is several times slower, and so may be a machine with much else to do. Only a
# test that fails waits for the end of a deadline.
SLOW = 3 if SANITIZED else 1
PATIENCE = 5

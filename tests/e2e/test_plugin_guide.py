#!/usr/bin/env python3
"""doc/plugin-guide.md is walked literally, against an installed tree: its files are written, its
commands are run one block after the other, and what it shows is what comes. Only the ports are
others, since somebody may have the usual ones."""

import os
import re
import shutil
import subprocess

from harness import ROOT, Case, main, wait_until

GUIDE = ROOT / "doc" / "plugin-guide.md"


def blocks():
    """The guide's blocks, in order: (kind, the file's name or None, text)."""
    return re.findall(r"^```([a-z]+)(?: (\S+))?\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)


def is_shown(want, got):
    """Lines of `want` are those of `got`, where "..." stands for anything, and a line of it alone for any lines."""
    pattern = "\n".join("(?s:.*)" if w == "..." else ".*".join(re.escape(p) for p in w.rstrip().split("...")) + " *"
                        for w in want.strip().splitlines())
    return re.fullmatch(pattern, got.strip())


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class Guide(Case):
    def walk(self, text):
        """Runs a block as its reader does; the blocks of one walk share a folder and what runs in it."""
        here = self.home / "hello" if (self.home / "hello").exists() else self.home
        step = self.write("step", text)
        # Into files: a broker that goes on keeps what it was given open.
        with open(self.dir / "step.out", "wb") as out, open(self.dir / "step.err", "wb") as err:
            status = subprocess.run(["bash", "-euo", "pipefail", step], cwd=here, env=self.tree.env, check=False,
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=120).returncode
        self.said = (self.dir / "step.out").read_text()
        self.complained = (self.dir / "step.err").read_text()
        return status

    def succeeds(self, text):
        self.assertEqual(self.walk(text), 0, f"{text.splitlines()[0]}: {self.said} {self.complained}")

    def shows(self, text, want):
        """What only looks may be asked again until the broker is up."""
        wait_until(lambda: self.walk(text) == 0 and is_shown(want, self.said), 20,
                   lambda: f"{text.splitlines()[0]}: not as shown, but {self.said} {self.complained}")

    def put(self, name, text):
        if name.endswith(".ini"):
            text = text.replace("[server]\n", f"[server]\nlisten = 127.0.0.1:{self.free_port()}\n"
                                              f"admin = 127.0.0.1:{self.free_port()}\n")
        (self.home / "hello" / name).write_text(text)

    def test_the_guide_is_right_word_by_word(self):
        self._need(shutil.which("redis-server"), "redis-server")
        self.tree = self.installed()
        self.home = self.dir / "walk"
        self.home.mkdir()
        walk = blocks()
        self.assertEqual(len([name for _, name, _ in walk if name]), 2, "a source file and a configuration")
        self.assertGreaterEqual(len([kind for kind, _, _ in walk if kind == "sh"]), 8, "and commands")
        for (kind, name, text), following in zip(walk, walk[1:] + [("", "", "")]):
            if name:
                self.put(name, text)
            elif kind == "sh" and following[0] == "text":
                self.shows(text, following[2])
            elif kind == "sh":
                self.succeeds(text)
        pid = int((self.home / "hello/bus.pid").read_text())
        wait_until(lambda: gone(pid), 20, "the broker of the guide has not ended")


if __name__ == "__main__":
    main()

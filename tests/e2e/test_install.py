#!/usr/bin/env python3
"""`make install` into an empty tree: everything is there, no libtool files are, the broker runs from
it, a plugin is built outside of this tree against it, and `make uninstall` takes it away."""

import filecmp
import json
import os
import re
import shlex
import shutil
import subprocess

from harness import ROOT, Case, case, compiler, main, php


class Installation(Case):
    """An installed tree, and what the checks ask it."""

    def setUp(self):
        super().setUp()
        self.tree = self.installed()

    def files(self, folder, pattern="*"):
        return [p for p in folder.rglob(pattern) if p.is_file()]

    def completes(self, *words):
        """What the shell offers for the last word."""
        script = f""". {shlex.quote(str(self.tree.at("bashcompletiondir")))}/pepperbusctl
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_pepperbusctl
echo "${{COMPREPLY[*]}}"
"""
        return self.run_program("bash", "-c", script, "bash", *words, env=self.tree.env).out.strip()


class Files(Installation):
    """What is installed."""

    def test_programs_plugins_headers_and_samples_are_there(self):
        at = self.tree.at
        etc = at("sysconfdir") / "pepperbus"
        files = [*(at("bindir") / p for p in ("pepperbusd", "pepperbusctl", "pepperbus-plugin-check")),
                 *(at("plugindir") / f"{p}.so" for p in ("fastcgi", "http", "exec")),
                 at("helperdir") / "pepperbus-exec",
                 *(at("includedir") / f"pepperbus/{h}.h" for h in ("abi", "job", "option", "outcome", "transport")),
                 at("libdir") / "pkgconfig/pepperbus.pc", etc / "pepperbus.ini", etc / "pepperbus-minimal.ini"]
        self.assertEqual([str(f) for f in files if not f.exists()], [], "what is not installed")
        self.assertEqual(self.files(self.tree.root, "*.la"), [], "no .la file is")

    def test_four_man_pages_are_there(self):
        if not (self.tree.at("mandir") / "man8/pepperbusd.8").exists():
            self.skipTest("built without lowdown")
        self.assertEqual(len(self.files(self.tree.at("mandir"))), 4, "four man pages")
        sysconfdir = self.tree.places["sysconfdir"]
        self.assertIn(f"{sysconfdir}/pepperbus/pepperbus.ini",
                      (self.tree.at("mandir") / "man1/pepperbusctl.1").read_text(),
                      "pepperbusctl(1) names the file that it takes")

    @case("P4")
    def test_what_the_documents_point_at_is_there(self):
        docs = self.tree.at("docdir")
        pages = self.files(docs, "*.md")
        links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#: ]+)", page.read_text())]
        self.assertGreater(len(links), 10, "there are links to look at")
        self.assertEqual([(str(p), l) for p, l in links if not (p.parent / l).exists()], [],
                         "links of installed documents lead somewhere")
        wanted = [*(ROOT / f"{p}.md" for p in ("README", "NEWS", "CONTRIBUTING")), *(ROOT / "doc").rglob("*.md"),
                  ROOT / "sdk/php/README.md", ROOT / "core/README.md", ROOT / "contrib/README.md"]
        self.assertEqual(len(pages), len(wanted), "and all of them are there")

    @case("P4")
    def test_no_path_is_left_to_be_guessed(self):
        placeholder = re.compile(rb"@SYSCONFDIR@|(?<!--)sysconfdir.?.?/")
        pages = self.files(self.tree.at("docdir")) + self.files(self.tree.at("mandir"))
        self.assertTrue(pages, "there are pages to look at")
        self.assertEqual([str(p) for p in pages if placeholder.search(p.read_bytes())], [], "none says sysconfdir/")

    @case("P4")
    def test_the_sdk_and_the_license_and_the_examples_can_be_used(self):
        self._need(shutil.which("php"), "php")
        docs, sdk = self.tree.at("docdir"), self.tree.at("sdkdir")
        for place in (docs, sdk):
            self.assertTrue(filecmp.cmp(ROOT / "LICENSE", place / "LICENSE", False), f"the license is in {place}")
        self.assertEqual(json.loads((sdk / "composer.json").read_text())["license"], "Apache-2.0",
                         "as composer is told")
        self.assertRegex(php("require $argv[1]; echo get_class(PepperBus::getInstance());", sdk / "autoload.php",
                             stderr=subprocess.STDOUT), r"^(Pepper.Bus.)?PepperBus$", "the installed SDK loads")
        self.assertEqual(len(self.files(docs / "examples")),
                         len([f for f in self.files(ROOT / "examples") if f.suffix != ".so"]),
                         "the examples are installed")
        self.assertTrue(os.access(docs / "examples/exec/worker.sh", os.X_OK), "those that are programs can be run")

    def test_the_shell_completes_verbs_options_and_files(self):
        self.assertEqual(self.completes("pepperbusctl", "top"), "top topic", "verbs")
        self.assertEqual(self.completes("pepperbusctl", "topic", "re"), "resume retry replay rename", "of a noun")
        self.assertEqual(self.completes("pepperbusctl", "cluster", "key", "r"), "rotate reset", "what a key can do")
        self.tree.env["PEPPERBUS_CTL_CONFIG"] = str(self.write("ctl.ini", "[context prod]\nurl = x\n[context test]\n"))
        self.assertEqual(self.completes("pepperbusctl", "--context", "p"), "prod", "contexts")
        self.assertEqual(self.completes("pepperbusctl", "logout", ""), "prod test", "contexts")
        self.assertEqual(self.completes("pepperbusctl", "topic", "retry", "--c"), "--count --code --config --context --ca-file",
                         "options of a verb")
        self.assertIn("pepperbus-minimal.ini",
                      self.completes("pepperbusctl", "-c", f"{self.tree.at('sysconfdir')}/pepperbus/"), "files")


class Running(Installation):
    """The installed broker, with a plugin whose author has the headers and pkg-config, not this tree."""

    def test_the_broker_runs_with_a_plugin_built_outside_of_this_tree(self):
        outside = self.dir / "outside"
        outside.mkdir(mode=0o755)
        shutil.copy(ROOT / "plugins/skeleton/skeleton.c", outside)
        flags = self.run_program("pkg-config", "--cflags", "pepperbus", env=self.tree.env).out.split()
        r = self.run_program(*compiler(), "-std=gnu17", "-Wall", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden",
                             "-Wl,-z,defs", *flags, "-o", outside / "skeleton.so", outside / "skeleton.c",
                             env=self.tree.env)
        self.assertEqual(r.status, 0, f"a plugin is built outside of this tree: {r.err[-2000:]}")
        shutil.copy(self.tree.at("plugindir") / "fastcgi.so", outside)
        b = self.broker("b", f"""[storage main]
address = {self.redis().address}
[pool php]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = secret-pw
[topic q/log]
pool = php
entry = {self.worker("log.php")}
""", **{**self.tree.programs, "plugin_dir": outside})
        self.assertEqual(self.completes("pepperbusctl", "-c", str(b.path), "topic", "pause", "q"), "q/log",
                         "topics are completed, as the broker has them")
        self.assertEqual(self.completes("pepperbusctl", "-c", str(b.path), "pool", "show", "p"), "php", "and pools")
        self.assertEqual(b.lpush("q", "x")["error"], "", "the installed broker runs, with the installed transport")
        self.assertRegex(b.admin.get("/api/v1/status").text, '"name": ?"skeleton"',
                         "and has loaded the one from outside")

    def test_a_changed_configuration_outlives_install_and_uninstall(self):
        ini = self.tree.at("sysconfdir") / "pepperbus/pepperbus.ini"
        with open(ini, "a", encoding="utf-8") as f:
            f.write("; mine\n")
        self.tree.install()
        self.assertEqual(ini.read_text().splitlines()[-1], "; mine", "a second make install leaves it alone")
        self.tree.uninstall()
        self.assertEqual([f.name for f in self.files(self.tree.root)], ["pepperbus.ini"],
                         "make uninstall takes all away but that")


if __name__ == "__main__":
    main()

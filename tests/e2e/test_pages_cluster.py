#!/usr/bin/env python3
"""doc/operating.md on several nodes, users, LDAP, proxies and keys: its commands run, with the files that it shows.

Blocks of the kind ```sh are run on the node web1; ```ini and ```nginx are files, with the ports and folders of the test.
"""

import json
import os
import re
import shutil

from cluster import ClusterCase
from harness import PEPPERBUSCTL, main, wait_until
from harness.web import WebCase
from test_pages import commands, page

PEOPLE = {"ann": "the password of ann", "bob": "the password of bob", "eve": "the password of eve"}
GROUPS = {"bus-admins": ["ann"], "bus-operators": ["bob"]}


def chapter(title):
    text = page("operating.md")
    assert f"\n## {title}\n" in text, title
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(kind, text):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def keys_of_server(block):
    """What a block has in [server]; the harness writes the section's head."""
    return "\n".join(line for line in block.splitlines() if " = " in line)


class PageCase(ClusterCase, WebCase):
    def setUp(self):
        super().setUp()
        self.store = self.redis("main")

    def web(self, more="", server=""):
        """The first node of the page."""
        ini = blocks("ini", chapter("Several nodes, one configuration"))[0].partition("[cluster]")[2]
        self.local = "[cluster]" + ini.replace("10.0.0.5:6379", self.store.address) + more
        self.a = self.broker("web1", self.local, server=server)
        wait_until(lambda: self.key_path(self.a).exists(), 20, "the first node makes the key")
        self.write("bin/pepperbusctl", f'#!/bin/sh\nexec {PEPPERBUSCTL} "$@" -c {self.a.path}\n', 0o755)
        self.write("bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)

    def second(self):
        """Joins with the command of the page."""
        line = re.search(r"^ +(sudo install .* cluster\.key .*)$", page("operating.md"), re.M).group(1)
        self.b = self.broker("web2", self.local, start=False)
        os.makedirs(self.b.state_dir, exist_ok=True)
        self.give = line.replace("-o pepperbus -g pepperbus ", "").replace(
            "/var/lib/pepperbus", str(self.b.state_dir)).replace(" cluster.key", f" {self.key_path(self.a)}")
        self.run_line(self.give)
        self.b.start()

    def run_line(self, line, statuses=(0,), **names):
        for there, here in (("/var/lib/pepperbus", self.a.state_dir),
                            ("127.0.0.1:19840", self.a.admin_address)):
            line = line.replace(there, str(here))
        env = {**os.environ, "PATH": f"{self.dir}/bin:{os.environ['PATH']}", **names}
        r = self.run_program("bash", "-c", f"set -o pipefail; {line}", env=env)
        self.assertIn(r.status, statuses, f"{line}: {r}")
        return r

    def status(self, line="pepperbusctl cluster status"):
        """Until all nodes run the newest revision."""
        last = [None]

        def all_run():
            last[0] = self.run_line(line, (0, 1))
            return last[0].status == 0

        wait_until(all_run, 20, lambda: f"not all nodes run it: {last[0]}")
        return last[0].out


class Nodes(PageCase):
    def lost(self):
        self.store.cmd("FLUSHALL")
        self.state_is(self.a, "lost", "was lost or went back: the storage has none, this node has revision")

    def test_the_commands_of_several_nodes_run(self):
        text = chapter("Several nodes, one configuration")
        self.web()
        self.write("shared.ini", blocks("ini", text)[1])
        before = {"pepperbusctl config export > shared.ini": self.second, "pepperbusctl config restore": self.lost}
        lines = list(commands(text))
        self.assertGreaterEqual(len(lines), 14)
        for line in lines:
            before.get(line, lambda: None)()
            if line == "pepperbusctl cluster status":
                self.status()
            else:
                self.run_line(line, (0, 1) if "config diff" in line else (0,))
            self.status()
        out = self.status()
        self.assertRegex(out, "^cluster prod: ready\n")
        for name in ("web1", "web2"):
            self.assertRegex(out, rf"(?m)^{name} +\d+ +runs")
        self.assertEqual(self.a.topic("msg/reply")["workers"], 10, "the first revision runs again")

    def test_a_section_of_a_file_cannot_be_applied(self):
        self.web(more="[queue msg]\npassword = a-long-password\n[topic msg/reply]\nrun_type = pull\n")
        self.write("shared.ini", blocks("ini", chapter("Several nodes, one configuration"))[1])
        r = self.run_line("pepperbusctl config apply shared.ini", (1, 2))
        self.assertRegex(r.err, rf"\[queue msg\]: node web1 .*{re.escape(str(self.a.path))}:\d+")
        self.a.reload(self.local.partition("[queue msg]")[0])
        wait_until(lambda: self.run_line("pepperbusctl config apply shared.ini", (0, 1, 2)).status == 0, 20,
                   "once the files lack it, it can be applied")


class Places(PageCase):
    def test_the_file_and_the_shared_text_of_the_reference_run_together(self):
        text = page("configuration.md").partition("\n## Two places")[2].partition("\n## ")[0]
        file, shared = blocks("ini", text)
        server, _, rest = file.partition("[cluster]")
        root = self.dir / "app"
        root.mkdir()
        self.a = self.broker("web1", "[cluster]" + rest.replace("10.0.0.5:6379", self.store.address),
                             server=f"entry_roots = {root}")
        self.assertIn("entry_roots = /srv/app", server)
        wait_until(lambda: self.key_path(self.a).exists(), 20)
        self.assertEqual(self.apply(self.a, shared, base=0).status, 400, "/srv/app is not among the roots of this node")
        self.applied(self.a, shared.replace("/srv/app", str(root)))
        self.all_run(1, [self.a])
        self.assertNotEqual(self.a.topic("msg/reply")["state"], "broken")


class Users(PageCase):
    def first_login(self, user, password):
        self.status()
        answer = self.a.admin.post("/api/v1/session", {"user": user, "password": password}, token=None,
                                   headers={"Origin": f"http://{self.a.admin_address}"})
        self.assertTrue(answer.json["must_change"], answer)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        answer = self.a.admin.get("/api/v1/status", token=None, headers={"Cookie": cookie})
        self.assertEqual(answer.status, 403, "nothing else until then")
        self.assertIn("the password has to be changed first", answer.json["error"])

    def test_the_commands_of_users_run(self):
        self.web()
        self.run_line("printf '[system live]\\n' | pepperbusctl config apply -")
        self.status()
        text = chapter("Users and rights")
        outs, token = {}, ""
        for line in commands(text):
            outs[line] = self.run_line(line, TOKEN_ID=token).out
            if line.startswith("pepperbusctl user add ann"):
                self.first_login("ann", outs[line].split()[0])
            if line.startswith("pepperbusctl token add"):
                token = json.loads(self.run_line("pepperbusctl token ls --json").out)["tokens"][0]["id"]
        self.assertGreaterEqual(len(outs), 12)
        self.assertRegex(outs["pepperbusctl open"], rf"^http://{self.a.admin_address}/#/open/\w{{32}}\n")
        self.assertRegex(outs["pepperbusctl passwd --user --generate"], r"^\w{24}\n\$y\$")
        self.assertRegex(outs["pepperbusctl user ls"], r"ann +admin(?s:.*)bob +operator +live")
        self.assertRegex(outs["pepperbusctl audit --since 2d"], r"(?s)tokens.*users")


class Directory(PageCase):
    def test_people_log_in_with_the_directory_of_the_page(self):
        self._need(shutil.which("curl"), "curl")
        directory = self.slapd(PEOPLE, GROUPS)
        text = chapter("LDAP")
        self.web()
        url = f"ldap://127.0.0.1:{directory.port}"
        self.a.write(self.local + blocks("ini", text)[0].replace("ldaps://ldap.example.com", url))
        self.run_line("pepperbusctl config reload")
        line, = commands(text)
        for name, want in (("ann", '"role":"admin"'), ("bob", '"role":"operator"'), ("eve", '"status":401')):
            self.write("login.json", json.dumps({"user": name, "password": PEOPLE[name]}))
            self.assertIn(want, self.run_line(line).out.replace(" ", ""))
        env = {**os.environ, "PEPPERBUS_CTL_CONFIG": f"{self.dir}/ctl.ini"}
        r = self.run_program(PEPPERBUSCTL, "login", f"http://{self.a.admin_address}", env=env,
                             stdin=f"ann\n{PEOPLE['ann']}\n")
        self.assertNotEqual(r.status, 0, "a token needs a [user] section")


class Proxy(PageCase):
    def setUp(self):
        super().setUp()
        self._need(shutil.which("curl"), "curl")
        self.text = chapter("Behind a proxy")
        self.port = self.free_port()
        self.authority("ca")
        self.certificate("bus", "ca", "DNS:bus.example.com")

    def behind(self, server, more=""):
        """The node, and the page's nginx with `more` in its location."""
        self.web(server=server, more="[user ann]\nrole = operator\npassword = the password of ann\n")
        conf = blocks("nginx", self.text)[0].replace("127.0.0.1:19840", self.a.admin_address)
        conf = conf.replace("listen 443", f"listen 127.0.0.1:{self.port}").replace("/etc/ssl", str(self.dir))
        self.nginx(conf.replace("proxy_buffering off;", f"proxy_buffering off;\n{more}"), self.port)

    def curl(self, path, *more, origin=None):
        base = f"https://bus.example.com:{self.port}"
        r = self.run_program("curl", "-sS", "-i", "--cacert", "ca.pem", "--resolve", f"bus.example.com:{self.port}:127.0.0.1",
                             "-H", f"Origin: {origin or base}", *more, f"{base}/tools/pepperbus{path}")
        self.assertEqual(r.status, 0, r)
        return r.out

    def test_a_user_logs_in_through_the_nginx_of_the_page(self):
        self.behind(keys_of_server(blocks("ini", self.text)[0]))
        body = json.dumps({"user": "ann", "password": "the password of ann"})
        login = ("-H", "Content-Type: application/json", "-d", body)
        out = self.curl("/api/v1/session", *login)
        self.assertRegex(out, r"Set-Cookie: pepperbus_prod=\w+; Path=/tools/pepperbus; HttpOnly; SameSite=Strict; Secure")
        cookie = re.search(r"pepperbus_prod=\w+", out).group(0)
        self.assertIn('"role":"operator"', self.curl("/api/v1/session", "-H", f"Cookie: {cookie}"))
        self.assertRegex(self.curl("/api/v1/session", "-H", f"Cookie: {cookie}", "-H", "Host: other.example"), " 403 ")
        self.assertRegex(self.curl("/api/v1/session", *login, origin="https://other.example"), " 403 ")
        self.curl("/api/v1/session", *login, "--interface", "127.0.0.2", "-H", "X-Forwarded-For: 192.0.2.7")
        wait_until(lambda: "127.0.0.2" in self.run_line("pepperbusctl audit").out, 20, "the address is the client's")
        self.assertNotIn("192.0.2.7", self.run_line("pepperbusctl audit").out, "nobody chooses an address")

    def test_a_proxy_that_logs_users_in(self):
        openssl = self.run_program("openssl", "passwd", "-apr1", "secret")
        self.write("users", "".join(f"{name}:{openssl.out.strip()}\n" for name in ("ann", "zoe")), 0o644)
        self.dir.chmod(0o755)  # nginx' worker may be another user
        server = "\n".join(keys_of_server(b) for b in blocks("ini", self.text))
        self.behind(server, blocks("nginx", self.text)[1].replace("/etc/nginx/pepperbus.users", f"{self.dir}/users"))
        for name, role in (("ann", "operator"), ("zoe", "viewer")):
            out = self.curl("/api/v1/session", "-u", f"{name}:secret", "-H", "X-Remote-User: root")
            self.assertIn(f'"user":"{name}","role":"{role}"', out)
            self.assertIn('"how":"header"', out)
        self.assertRegex(self.curl("/api/v1/session", "-H", "X-Remote-User: ann"), " 401 ")
        direct = self.a.admin.get("/api/v1/session", token=None, headers={"Authorization": "Basic eDp5", "X-Remote-User": "ann"})
        self.assertEqual(direct.status, 401, "a request with Authorization is one with a token")


class Keys(PageCase):
    def test_the_key_is_shown_changed_and_made_again(self):
        other = self.redis("other", "--requirepass", "a-redis-password")
        self.web()
        self.second()
        self.write("s.ini", f"[storage other]\naddress = {other.address}\npassword = a-redis-password\n")
        self.run_line("pepperbusctl config apply s.ini")
        show, rotate, reset = commands(chapter("Keys and secrets"))
        self.status()
        first = self.run_line(show).out
        self.run_line(rotate)
        self.assertNotEqual(self.run_line(show).out, first)
        self.state_is(self.b, "wrong_key", "copy the file from a node that has it")
        self.run_line(self.give)
        self.status()
        for node in (self.a, self.b):
            node.stop()
            self.key_path(node).unlink()
            node.start()
        self.state_is(self.a, "no_key", "does not exist; copy it from a node")
        self.assertIn("[storage other] password", self.run_line(reset).out)
        self.run_line(self.give)
        self.status()
        self.run_line("pepperbusctl config export | sed 's/^address.*/&\\npassword = a-redis-password/' > new.ini")
        self.run_line("pepperbusctl config apply new.ini")
        self.status()
        wait_until(lambda: re.search("other +ready", self.run_line("pepperbusctl status", (0, 1)).out), 20,
                   "the secret that was given again is used")


if __name__ == "__main__":
    main()

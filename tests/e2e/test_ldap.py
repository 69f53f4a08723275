#!/usr/bin/env python3
"""Accounts of the company: passwords that a real directory server checks."""
import os

from harness import main, wait_until
from harness.web import WebCase

PEOPLE = {"ann": "the password of ann", "bob": "the password of bob", "eve": "the password of eve", "a,b": "comma"}
GROUPS = {"bus-admins": ["ann"], "bus-operators": ["ann", "bob"]}

INI = """
[cluster]
name = prod
[storage main]
address = {redis}
[ldap]
url = {url}
bind = uid=%u,ou=people,dc=example,dc=com
groups = ou=groups,dc=example,dc=com
admin_group = bus-admins
operator_group = cn=bus-operators,ou=groups,dc=example,dc=com
timeout = 2s
{more}
"""


class Ldap(WebCase):
    def start_node(self, url, more="", server="", users=""):
        self.redis_main = self.redis("main")
        self.ini = INI.format(redis=self.redis_main.address, url=url, more=more) + users
        self.node = self.broker("a", self.ini, server=server)
        wait_until(lambda: os.path.exists(os.path.join(self.node.state_dir, "cluster.key")), 30)

    def login(self, user, password):
        headers = {"Origin": f"http://{self.node.admin_address}"}
        return self.node.admin.request("POST", "/api/v1/session", {"user": user, "password": password},
                                       token=None, headers=headers)

    def role(self, user, password):
        answer = self.login(user, password)
        return answer.json["role"] if answer.status == 200 else answer.status

    def test_people_come_in_with_the_roles_of_their_groups(self):
        directory = self.slapd(PEOPLE, GROUPS)
        local = "[user root]\nrole = viewer\npassword = the password of root\n"
        self.start_node(f"ldap://127.0.0.1:{directory.port}", server="auth_default_role = viewer", users=local)
        self.assertEqual(self.role("ann", PEOPLE["ann"]), "admin")
        self.assertEqual(self.role("bob", PEOPLE["bob"]), "operator")
        self.assertEqual(self.role("eve", PEOPLE["eve"]), "viewer")
        self.assertEqual(self.role("a,b", PEOPLE["a,b"]), "viewer", "a name that has to be escaped")
        self.assertEqual(self.role("root", "the password of root"), "viewer", "users of the configuration stay")
        self.assertEqual(self.role("ann", ""), 401, "an empty password is no password")
        self.assertEqual(self.role("", "x"), 401)
        self.assertEqual(self.role("bob,ou=people", "x"), 401)
        self.assertEqual(self.role("*", PEOPLE["ann"]), 401)
        self.assertEqual(self.role("eve", "wrong"), 401)
        cookie = self.login("bob", PEOPLE["bob"]).headers["Set-Cookie"].split(";")[0]
        shown = self.node.admin.request("GET", "/api/v1/session", token=None, headers={"Cookie": cookie})
        self.assertEqual((shown.json["user"], shown.json["role"]), ("bob", "operator"))
        headers = {"Cookie": cookie, "Origin": f"http://{self.node.admin_address}"}
        change = self.node.admin.request("POST", "/api/v1/session/password", {"old": "x", "new": "y" * 12}, token=None,
                                         headers=headers)
        self.assertEqual(change.status, 409, "the directory keeps the password")
        for secret in PEOPLE.values():
            if secret != "comma":
                self.assertNotIn(secret, self.node.log_text())

    def test_without_a_default_role_only_members_come_in(self):
        directory = self.slapd(PEOPLE, GROUPS)
        self.start_node(f"ldap://127.0.0.1:{directory.port}")
        self.assertEqual(self.role("eve", PEOPLE["eve"]), 401)
        self.assertEqual(self.role("bob", PEOPLE["bob"]), "operator")

    def test_start_tls_takes_only_a_certificate_of_the_authority(self):
        self.authority("ours")
        self.authority("other")
        self.certificate("slapd", "ours", "IP:127.0.0.1")
        directory = self.slapd(PEOPLE, GROUPS, certificate=self.dir / "slapd")
        tls = f"start_tls = yes\nca_file = {self.dir}/ours.pem"
        self.start_node(f"ldap://127.0.0.1:{directory.port}", tls)
        self.assertEqual(self.role("ann", PEOPLE["ann"]), "admin")
        self.node.reload(self.ini.replace("ours.pem", "other.pem"))
        self.assertEqual(self.role("ann", PEOPLE["ann"]), 503)
        self.assertIn("StartTLS", self.node.log_text())

    def test_a_directory_that_is_away_or_hangs_holds_up_nobody(self):
        directory = self.slapd(PEOPLE, GROUPS)
        self.start_node(f"ldap://127.0.0.1:{directory.port}")
        directory.pause()
        self.assertEqual(self.role("ann", PEOPLE["ann"]), 503)
        directory.resume()
        wait_until(lambda: self.role("ann", PEOPLE["ann"]) == "admin", 20)
        directory.stop()
        self.assertEqual(self.role("bob", PEOPLE["bob"]), 503)
        self.assertIn("cannot log in", self.node.log_text())
        self.assertEqual(self.node.stop(), 0)


if __name__ == "__main__":
    main()

"""A real slapd: Debian's directory server, with a few people and groups."""

import os
import shutil
import socket
import subprocess

from .process import Process
from .wait import wait_until

SLAPD = shutil.which("slapd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
SCHEMAS = "/etc/ldap/schema"
MODULES = "/usr/lib/ldap"
BASE = "dc=example,dc=com"

CONF = """
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
pidfile {dir}/slapd.pid
argsfile {dir}/slapd.args
modulepath {modules}
moduleload back_mdb
{tls}
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
rootpw root
directory {dir}/slapd
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""

TREE = """dn: {base}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{base}
objectClass: organizationalUnit
ou: groups
"""

PERSON = """
dn: {dn}
objectClass: inetOrgPerson
uid: {name}
cn: {name}
sn: {name}
userPassword: {password}
"""

GROUP = """
dn: cn={name},ou=groups,{base}
objectClass: groupOfNames
cn: {name}
"""


def person_dn(name):
    return "uid=" + name.replace(",", "\\,") + f",ou=people,{BASE}"


class Slapd(Process):
    """`people`: name -> password; `groups`: name -> members. Waits until it listens on `port`."""

    def __init__(self, case, name, port, people, groups, certificate=None):
        t = case.dir / name
        (t / "slapd").mkdir(parents=True)
        tls = ""
        if certificate:
            tls = f"TLSCertificateFile {certificate}.pem\nTLSCertificateKeyFile {certificate}.key\n"
        conf = t / "slapd.conf"
        conf.write_text(CONF.format(schemas=SCHEMAS, modules=MODULES, base=BASE, dir=t, tls=tls))
        tree = TREE.format(base=BASE)
        for person, password in people.items():
            tree += PERSON.format(dn=person_dn(person), name=person, password=password)
        for group, members in groups.items():
            tree += GROUP.format(name=group, base=BASE)
            tree += "".join(f"member: {person_dn(m)}\n" for m in members)
        (t / "tree.ldif").write_text(tree)
        load = subprocess.run([SLAPD, "-Ta", "-f", conf, "-l", t / "tree.ldif"], check=False, capture_output=True, text=True)
        if load.returncode:
            raise AssertionError(f"slapadd: {load.stderr}")
        self.port = port
        super().__init__([SLAPD, "-f", conf, "-h", f"ldap://127.0.0.1:{port}/", "-d", "0"], t / "slapd.log", t)

        def listens():
            with socket.create_connection(("127.0.0.1", port), 1):
                return True

        wait_until(listens, 20, f"slapd {name} does not listen on {port}")

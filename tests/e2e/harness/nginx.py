"""A real nginx."""

import os
import shutil
import socket

from .process import Process
from .wait import wait_until

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Nginx(Process):
    """`http` are the lines of http {}; waits until it listens on `port`."""

    def __init__(self, case, name, http, port):
        t = case.dir
        user = "user root;" if os.geteuid() == 0 else ""
        conf = t / f"{name}.conf"
        conf.write_text(f"""{user}
daemon off;
worker_processes 1;
pid {t}/{name}.pid;
error_log {t}/{name}.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {t}/{name}.body; proxy_temp_path {t}/{name}.proxy;
  fastcgi_temp_path {t}/{name}.fcgi; uwsgi_temp_path {t}/{name}.uwsgi; scgi_temp_path {t}/{name}.scgi;
{http}
}}
""")
        super().__init__([NGINX, "-c", conf, "-e", t / f"{name}.log"], t / f"{name}.out.log", t)

        def listens():
            with socket.create_connection(("127.0.0.1", port), 1):
                return True

        wait_until(listens, 10, f"nginx {name} does not listen on {port}")

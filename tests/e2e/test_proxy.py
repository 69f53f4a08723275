#!/usr/bin/env python3
"""The admin port behind a real nginx: below a path, with TLS ended at the proxy."""

import http.client
import json

from harness import Case, main, wait_until

PASSWORD = "a long enough password"

INI = """
[cluster]
name = prod
[storage main]
address = {address}
[user ann]
role = admin
password = {hash}
"""


class Proxy(Case):
    def start(self, server):
        self.port = self.free_port()
        redis = self.redis("main")
        b = self.broker("a", INI.format(address=redis.address, hash="*"), server, start=False)
        hashed = b.ctl("passwd", "--user", stdin=PASSWORD).out.strip()
        b.write(INI.format(address=redis.address, hash=hashed))
        b.start()
        wait_until(lambda: b.admin.get("/api/v1/config/shared").json["state"] == "ready", 20)
        self.nginx(f"""server {{ listen 127.0.0.1:{self.port}; location / {{ proxy_pass http://{b.admin_address};
            proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-For "203.0.113.7"; }} }}""", self.port)
        return b

    def ask(self, method, path, body=None, **headers):
        """(status, headers, JSON) through the proxy, as a browser of https://bus.example.com."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        fields = {"Host": "bus.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            fields["Content-Type"] = "application/json"
        c.request(method, path, json.dumps(body) if body is not None else None, fields)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, r.headers, json.loads(text)

    def login(self, base, origin="https://bus.example.com"):
        return self.ask("POST", f"{base}/api/v1/session", {"user": "ann", "password": PASSWORD}, Origin=origin)

    def test_below_a_path_behind_a_trusted_proxy(self):
        b = self.start("trusted_proxies = 127.0.0.1\nbase_path = /x/y\nhosts = bus.example.com")
        self.assertEqual(self.login("/x/y", "https://evil.example")[0], 403)
        status, headers, session = self.login("/x/y")
        self.assertEqual((status, session["user"]), (200, "ann"))
        link = b.ctl("open").out
        self.assertTrue(link.startswith("https://bus.example.com/x/y/#/open/"), link)
        cookie = headers["Set-Cookie"]
        for part in ("Path=/x/y", "Secure", "HttpOnly", "SameSite=Strict"):
            self.assertIn(part, cookie)
        cookie = cookie.split(";")[0]
        self.assertEqual(self.ask("GET", "/x/y/api/v1/topics", Cookie=cookie)[0], 200)
        self.assertEqual(self.ask("GET", "/x/yz/api/v1/topics", Cookie=cookie)[0], 404)
        reload = lambda **headers: self.ask("POST", "/x/y/api/v1/reload", {}, Cookie=cookie, **headers)[0]
        self.assertEqual(reload(), 403, "neither Origin nor Sec-Fetch-Site")
        self.assertEqual(reload(Origin="https://evil.example"), 403)
        self.assertEqual(reload(Origin="https://bus.example.com", Sec_Fetch_Site="cross-site"), 403)
        self.assertEqual(reload(Origin="https://bus.example.com", Sec_Fetch_Site="same-origin"), 200)
        self.assertEqual(self.ask("GET", "/x/y/api/v1/topics")[0], 401)
        rows = lambda: b.admin.get("/api/v1/audit").json["rows"]
        wait_until(lambda: [r["client"] for r in rows() if r["what"] == "reload" and r["result"] == "done"]
                   == ["203.0.113.7"], 20, lambda: str(rows()))

    def test_a_proxy_that_is_not_trusted_is_not_believed(self):
        b = self.start("hosts = bus.example.com")
        status, headers, _ = self.login("", "http://bus.example.com")
        self.assertEqual(status, 200)
        self.assertNotIn("Secure", headers["Set-Cookie"], "it did not use TLS as far as we know")
        rows = lambda: [r["client"] for r in b.admin.get("/api/v1/audit").json["rows"]]
        wait_until(rows, 20)
        self.assertEqual(set(rows()), {"127.0.0.1"})

    def test_a_name_that_is_not_ours_is_refused_behind_a_proxy_too(self):
        self.start("trusted_proxies = 127.0.0.1")
        self.assertEqual(self.login("")[0], 403)


if __name__ == "__main__":
    main()

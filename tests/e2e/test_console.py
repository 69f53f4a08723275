"""The console in a real browser (Debian's Chromium by Playwright), against a real broker and Redis."""
from console_case import ConsoleCase
from harness import main

INI = """
[storage main]
address = {address}
[queue msg]
password = secret-pw-msg
[topic msg/reply]
run_type = pull
[topic msg/push]
run_type = pull
[queue held]
password = secret-pw-held
[topic held/topic]
run_type = pull
"""


class Console(ConsoleCase):
    def test_the_first_pages_in_a_browser(self):
        broker = self.console(INI.format(address=self.redis("main").address))
        acts = {"/": lambda: broker.push("held", "1", "2", "3") and None, "/stop": broker.kill, "/start": broker.start}
        self.assertGreater(len(self.scenario("first.mjs", broker, acts=acts)), 10)

    def test_below_a_path_behind_a_proxy_that_ends_tls(self):
        port = self.free_port()
        broker = self.console(INI.format(address=self.redis("main").address),
                              server="base_path = /x/y\ntrusted_proxies = 127.0.0.1")
        self.run_program("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                         "-keyout", "key.pem", "-out", "cert.pem")
        self.nginx(f"""server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {self.dir}/cert.pem;
            ssl_certificate_key {self.dir}/key.pem; location / {{ proxy_pass http://{broker.admin_address};
            proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-For $remote_addr; proxy_buffering off; }} }}""", port)
        acts = {"/": lambda: broker.push("held", "1", "2", "3") and None}
        self.scenario("first.mjs", broker, "a_login_leads_to_the_overview", "a_login_leads_to_the_page_that_was_asked_for",
                      "a_logout_ends_the_session", "figures_are_live", acts=acts, url=f"https://127.0.0.1:{port}/x/y/")


if __name__ == "__main__":
    main()

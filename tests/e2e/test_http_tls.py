#!/usr/bin/env python3
"""Jobs over HTTPS: an authority of our own, client certificates, and what is said of certificates that
do not pass."""

from harness import WebCase, main


class TlsCase(WebCase):
    """nginx with TLS at `tls`, with client certificates at `mtls`, with a certificate of another name at
    `wrong`, without TLS at `plain`."""

    def setUp(self):
        super().setUp()
        self.sdk()
        self.plain, self.tls, self.mtls, self.wrong = (self.free_port() for _ in range(4))
        self.authority("ca")
        self.authority("other-ca")
        self.certificate("server", "ca", "IP:127.0.0.1, DNS:worker.example")
        self.certificate("wrong-name", "ca", "DNS:elsewhere.example")
        self.certificate("client", "ca", "DNS:bus")
        self.openssl("pkey", "-in", "client.key", "-aes256", "-passout", "pass:opensesame", "-out", "client.locked")
        t, seen = self.dir, "'$server_port $server_protocol $connection $status $request_uri'"
        self.nginx(f"""log_format seen {seen};
  ssl_certificate {t}/server.pem; ssl_certificate_key {t}/server.key; ssl_session_cache off;
  server {{
    listen 127.0.0.1:{self.plain}; listen 127.0.0.1:{self.tls} ssl http2; access_log {t}/access seen;
    location = /sdk.php {{ {self.to_php()} }}
  }}
  server {{
    listen 127.0.0.1:{self.mtls} ssl; ssl_client_certificate {t}/ca.pem; ssl_verify_client on;
    location = /sdk.php {{ {self.to_php()} }}
  }}
  server {{
    listen 127.0.0.1:{self.wrong} ssl; ssl_certificate {t}/wrong-name.pem; ssl_certificate_key {t}/wrong-name.key;
    location = /sdk.php {{ return 404; }}
  }}""", self.plain)

    def https(self, name, port, *keys, ca="ca", pools=""):
        """Starts a broker with that topic."""
        trust = [f"ca_file = {self.dir}/{ca}.pem"] if ca else []
        self.start((name, "\n".join([f"entry = https://127.0.0.1:{port}/sdk.php", *trust, *keys])), pools=pools)

    def opens(self, name, what):
        self.is_(name, "state", "open", what)


class Passing(TlsCase):
    def test_http_2_is_what_tls_agrees_on(self):
        self.https("tls", self.tls)
        self.opens("tls", "TLS with a CA of our own")
        self.push("tls", *range(50))
        self.are_handled("tls", 50, "50 jobs over TLS")
        seen = [line for line in self.lines("access") if line.startswith(f"{self.tls} ")]
        self.assertIn("HTTP/2.0", seen[-1], "as HTTP/2, which TLS agreed on")

    def test_connections_of_http_1_1_are_let_go_and_made_again(self):
        self.https("tls1", self.tls, "http_version = 1.1", "pool = brief",
                   pools="[pool brief]\nrun_type = http\nmax_connections = 8\nidle_timeout = 200ms")
        self.opens("tls1", "http_version = 1.1")
        self.push("tls1", *range(20))
        self.are_handled("tls1", 20, "20 jobs over TLS and HTTP/1.1")
        self.let_go("brief", "connections with TLS are let go after idle_timeout")
        self.push("tls1", 21, 22, 23)
        self.are_handled("tls1", 23, "and made again")
        self.assertEqual(self.topic("tls1")["failed"], 0, "without a failed attempt")

    def test_verify_no_takes_any_certificate(self):
        self.https("noverify", self.tls, "verify = no", ca=None)
        self.opens("noverify", "verify = no")

    def test_a_client_certificate(self):
        self.https("mtls", self.mtls, f"client_cert = {self.dir}/client.pem", f"client_key = {self.dir}/client.key")
        self.opens("mtls", "a client certificate")

    def test_a_client_key_with_a_password(self):
        self.https("locked", self.mtls, f"client_cert = {self.dir}/client.pem",
                   f"client_key = {self.dir}/client.locked", "client_key_password = opensesame")
        self.opens("locked", "one whose key has a password")
        self.push("locked", 1, 2, 3)
        self.are_handled("locked", 3, "3 jobs with it")


class Refused(TlsCase):
    """What does not pass makes a topic wait, with a reason, and costs no attempt."""

    def refused(self, name, state, pattern, what):
        self.is_(name, "state", state, what)
        self.says(name, pattern, f"{what}: says so")
        self.push(name, 1, 2)
        self.assertEqual(self.topic(name)["failed"], 0, f"{what}: costs no attempt")

    def test_a_certificate_of_a_strange_authority(self):
        self.https("badca", self.tls, ca="other-ca")
        self.refused("badca", "unreachable", "certificate", "a certificate of a strange CA")
        self.says("badca", "issuer|unable to get", "and what is wrong with it")

    def test_a_certificate_of_another_name(self):
        self.https("badname", self.wrong)
        self.refused("badname", "unreachable", "name", "a certificate of another name")

    def test_a_port_without_tls(self):
        self.https("notls", self.plain, ca=None)
        self.refused("notls", "unreachable", "does not speak TLS at this port: http://",
                     "https:// to a port without TLS")

    def test_no_client_certificate_where_one_is_wanted(self):
        self.https("nocert", self.mtls)
        self.refused("nocert", "unregistered", "400.*(certificate|SSL)", "no client certificate where one is wanted")


if __name__ == "__main__":
    main()

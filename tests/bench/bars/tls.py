#!/usr/bin/env python3
"""Bar: a producer's p99 while `http` workers are called over 50 new TLS connections a second, with a
system's bundle of certificates to check against: at most 5 ms, or 3 times the p99 without them.

    python3 tests/bench/bars/tls.py [seconds]

Prints both, and exits with 0 when the bar is met. Run by hand, on a machine with nothing else to do.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))
from harness import Case, main  # noqa: E402  pylint: disable=wrong-import-position

SECONDS = float(sys.argv.pop(1)) if len(sys.argv) > 1 else 15
RATE = 50


def certificate(where):
    """A key and a certificate that signs itself, and a bundle of the system's and this one."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", where / "key.pem", "-out", where / "cert.pem"], check=True, capture_output=True)
    system = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    (where / "bundle.pem").write_text(system + (where / "cert.pem").read_text())


class Tls(Case):
    def producer(self, b, until):
        took = []
        with b.client("p:secret-pw") as c:
            while time.monotonic() < until:
                at = time.monotonic()
                c.call("LPUSH", "p", "x" * 64)
                took.append(time.monotonic() - at)
                time.sleep(0.002)
        took.sort()
        return took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000, took[-1] * 1000

    def test_p99(self):
        certificate(self.dir)
        port = self.free_port()
        self.nginx(f"""server {{ listen 127.0.0.1:{port} ssl; keepalive_timeout 0;
  ssl_certificate {self.dir}/cert.pem; ssl_certificate_key {self.dir}/key.pem;
  location / {{ add_header Code 200; add_header Consume-Topics w/t; return 200 ok; }} }}""", port)
        b = self.broker("a", f"""[storage main]
address = {self.redis().address}
[queue p]
password = secret-pw
[topic p/pull]
run_type = http
entry = http://127.0.0.1:9/
enabled = no
[pool web]
run_type = http
keepalive = no
max_connections = 16
[queue w]
password = secret-pw
[topic w/t]
run_type = http
pool = web
entry = https://127.0.0.1:{port}/
ca_file = {self.dir}/bundle.pem
workers = 16
""")
        without = self.producer(b, time.monotonic() + SECONDS)
        before = b.topic("w/t")["done"]
        until = time.monotonic() + SECONDS

        def jobs():
            with b.client("w:secret-pw") as c:
                at = time.monotonic()
                while at < until:
                    c.call("LPUSH", "w", *["x"] * (RATE // 10))
                    at += 0.1
                    time.sleep(max(0, at - time.monotonic()))

        thread = threading.Thread(target=jobs)
        thread.start()
        with_tls = self.producer(b, until)
        thread.join()
        rate = (b.topic("w/t")["done"] - before) / SECONDS
        bar = max(5, 3 * without[1])
        for name, (p50, p99, most) in (("without", without), (f"{rate:.0f} new TLS connections/s", with_tls)):
            print(f"# {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {most:.1f} ms")
        self.assertGreaterEqual(rate, RATE * 0.95)
        self.assertLessEqual(with_tls[1], bar)


if __name__ == "__main__":
    main()

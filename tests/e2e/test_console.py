"""The console in a real browser (Debian's Chromium by Playwright), against a real broker and Redis."""
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

from harness import CONSOLE_DIR, Case, PEPPERBUSCTL, ROOT, SLOW, main

HERE = Path(__file__).parent / "console"
WORK = Path(os.environ.get("PEPPERBUS_CONSOLE_WORK", Path(ROOT) / "build" / "console"))
NODE = WORK / "node" / "node_modules" / "node" / "bin" / "node"
PASSWORD = "correct horse battery"
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
enabled = {enabled}
[user admin]
role = admin
password = {hash}
"""


class Console(Case):
    def setUp(self):
        super().setUp()
        if not Path(CONSOLE_DIR, "index.html").exists():
            self.skipTest("the console was not built")
        if not shutil.which("chromium"):
            self.skipTest("there is no chromium")

    def serve(self):
        redis = self.redis("main")
        made = self.run_program(PEPPERBUSCTL, "passwd", "--user", stdin=PASSWORD + "\n")
        return self.broker("a", INI.format(address=redis.address, hash=made.out.strip(), enabled="yes"),
                           server=f"console_dir = {CONSOLE_DIR}")

    def helper(self, broker):
        """What a scenario cannot do from a page: it asks this address."""
        acts = {"/": lambda: broker.push("held", "1", "2", "3"), "/stop": broker.kill, "/start": broker.start}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                acts[self.path]()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def scenario(self, file, broker, *names):
        env = dict(os.environ, CONSOLE_URL=f"http://127.0.0.1:{broker.admin_port}/", CONSOLE_APP=str(WORK / "app"),
                   CONSOLE_USER="admin", CONSOLE_PASSWORD=PASSWORD, CONSOLE_ADD=self.helper(broker),
                   SLOW=str(SLOW), SHOTS=str(self.dir))
        node = str(NODE) if NODE.exists() else "node"
        p = subprocess.run([node, str(HERE / "run.mjs"), str(HERE / file), *names], env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300 * SLOW)
        results = [json.loads(line) for line in p.stdout.splitlines() if line.startswith("{")]
        self.assertTrue(results, p.stderr[-2000:])
        for result in results:
            with self.subTest(result["name"]):
                self.assertTrue(result["ok"], result.get("why"))
        self.assertEqual(p.returncode, 0, p.stderr[-2000:])
        return results

    def test_the_first_pages_in_a_browser(self):
        self.assertGreater(len(self.scenario("first.mjs", self.serve())), 10)


if __name__ == "__main__":
    main()

"""Scenarios of the console in a real browser (console/run.mjs): what their tests share."""
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

from harness import CONSOLE_DIR, Case, PEPPERBUSCTL, ROOT, SLOW

HERE = Path(__file__).parent / "console"
WORK = Path(os.environ.get("PEPPERBUS_CONSOLE_WORK", Path(ROOT) / "build" / "console"))
NODE = WORK / "node" / "node_modules" / "node" / "bin" / "node"
USER = "admin"
PASSWORD = "correct horse battery"


class ConsoleCase(Case):
    def setUp(self):
        super().setUp()
        if not Path(CONSOLE_DIR, "index.html").exists():
            self.skipTest("the console was not built")
        if not shutil.which("chromium"):
            self.skipTest("there is no chromium")

    def console(self, ini, users=((USER, "admin", ""),), server=""):
        """A broker that serves the console. `users`: (name, role, more lines); all have PASSWORD."""
        hashed = self.run_program(PEPPERBUSCTL, "passwd", "--user", stdin=PASSWORD + "\n").out.strip()
        people = "".join(f"[user {name}]\nrole = {role}\npassword = {hashed}\n{more}\n" for name, role, more in users)
        return self.broker("a", ini + people, server=f"console_dir = {CONSOLE_DIR}\n{server}")

    def helper(self, acts):
        """What a scenario cannot do from a page: it asks paths of this address. An act's answer is text, or None."""
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = str(acts[self.path]() or "").encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def scenario(self, file, broker, *names, acts=None, url=None):
        """Runs the tests of a file, or those that are named; each is a subtest."""
        env = dict(os.environ, CONSOLE_URL=url or f"http://127.0.0.1:{broker.admin_port}/", CONSOLE_APP=str(WORK / "app"),
                   CONSOLE_USER=USER, CONSOLE_PASSWORD=PASSWORD, CONSOLE_ADD=self.helper(acts or {}),
                   SLOW=str(SLOW), SHOTS=os.environ.get("SHOTS", str(self.dir)))
        node = str(NODE) if NODE.exists() else "node"
        p = subprocess.run([node, str(HERE / "run.mjs"), str(HERE / file), *names], env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=int(os.environ.get("TEST_TIMEOUT", "300")) * SLOW)
        results = [json.loads(line) for line in p.stdout.splitlines() if line.startswith("{")]
        print(*[line for line in p.stdout.splitlines() if line.startswith("#")], sep="\n", end="\n" if "#" in p.stdout else "")
        self.assertTrue(results, p.stderr[-2000:])
        for result in results:
            with self.subTest(result["name"]):
                self.assertTrue(result["ok"], result.get("why"))
        self.assertEqual(p.returncode, 0, p.stderr[-2000:])
        return results

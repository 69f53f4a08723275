"""The console's files on the admin port: which are sent, with what beside them, and what is not."""
import gzip
import unittest
import urllib.request
from pathlib import Path

from harness import CONSOLE_DIR, Case, main

BUILT = Path(CONSOLE_DIR, "index.html").exists()
INI = """
[storage main]
address = {address}
[queue q]
password = secret-pw
"""


class ConsoleFiles(Case):
    def serve(self, folder):
        redis = self.redis("main")
        return self.broker("a", INI.format(address=redis.address), server=f"console_dir = {folder}")

    def get(self, broker, path, **headers):
        return broker.admin.request("GET", path, token=None, headers=headers)

    def made(self):
        """A folder as a build makes it."""
        folder = self.dir / "console"
        (folder / "assets").mkdir(parents=True)
        (folder / "index.html").write_text("<!doctype html><title>Pepperbus</title>")
        (folder / "assets" / "index-1a2b.js").write_text("export const n = 1;\n" * 100)
        with gzip.open(folder / "assets" / "index-1a2b.js.gz", "wt") as f:
            f.write("export const n = 1;\n" * 100)
        (folder / "assets" / ".hidden").write_text("no")
        (folder / "assets" / "notes.txt").write_text("no")
        (folder / "secret.key").write_text("no")
        (self.dir / "outside.js").write_text("no")
        return folder

    def test_the_page_is_sent_without_a_login_and_with_a_strict_policy(self):
        broker = self.serve(self.made())
        page = self.get(broker, "/")
        self.assertEqual(page.status, 200)
        self.assertIn("text/html", page.headers["Content-Type"])
        policy = page.headers["Content-Security-Policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'",
                     "form-action 'self'", "frame-ancestors 'none'", "connect-src 'self'"):
            self.assertIn(rule, policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(page.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(page.headers["Cache-Control"], "no-cache")

    def test_a_page_that_the_browser_has_is_not_sent_again(self):
        broker = self.serve(self.made())
        tag = self.get(broker, "/").headers["ETag"]
        again = self.get(broker, "/", **{"If-None-Match": tag})
        self.assertEqual((again.status, again.text), (304, ""))

    def test_scripts_are_kept_for_ever_and_sent_compressed(self):
        broker = self.serve(self.made())
        plain = self.get(broker, "/assets/index-1a2b.js")
        self.assertEqual(plain.text, "export const n = 1;\n" * 100)
        self.assertEqual(plain.headers["Cache-Control"], "public, max-age=31536000, immutable")
        url = f"http://127.0.0.1:{broker.admin_port}/assets/index-1a2b.js"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})) as packed:
            self.assertEqual(packed.headers["Content-Encoding"], "gzip")
            self.assertEqual(gzip.decompress(packed.read()).decode(), plain.text)

    def test_nothing_but_the_known_files_is_sent(self):
        broker = self.serve(self.made())
        for path in ("/../outside.js", "/assets/../../outside.js", "/%2e%2e/outside.js", "/assets/%2e%2e/%2e%2e/outside.js",
                     "/assets/..%2f..%2foutside.js", "//etc/passwd", "/assets/.hidden", "/assets/notes.txt",
                     "/secret.key", "/assets/", "/assets", "/assets/index-1a2b.js.gz", "/index.html/", "/assets/none.js"):
            answer = self.get(broker, path)
            self.assertIn(answer.status, (400, 401), path)
            self.assertNotIn("no", answer.text.split(), path)

    def test_a_broker_without_a_built_console_says_so(self):
        empty = self.dir / "empty"
        empty.mkdir()
        answer = self.get(self.serve(empty), "/")
        self.assertEqual(answer.status, 404)
        self.assertIn("the console is not built", answer.text.lower())

    @unittest.skipUnless(BUILT, "the console was not built")
    def test_the_built_console_is_small(self):
        sizes = {".js": 0, ".css": 0}
        for file in Path(CONSOLE_DIR).rglob("*.gz"):
            kind = Path(file.stem).suffix
            if kind in sizes and file.stem.startswith("index-"):
                sizes[kind] += file.stat().st_size
        self.assertLess(sizes[".js"], 250_000)
        self.assertLess(sizes[".css"], 60_000)


if __name__ == "__main__":
    main()

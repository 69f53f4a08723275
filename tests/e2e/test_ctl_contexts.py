#!/usr/bin/env python3
"""pepperbusctl and brokers elsewhere: contexts, where tokens go, and where they do not."""

import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import PEPPERBUSCTL, Case, WebCase, main

STATUS = {"version": "0", "node": "far", "pid": 1, "ready": True}
TOKEN = "pbt_0123456789abcdef_" + "5ec4e7" * 10


class Elsewhere:
    """A server that says what a broker says. `asked`: (method, path, headers, body) of each request. `answers`:
    {path: (status, headers, JSON)}."""

    def __init__(self, port, certificate=None):
        self.asked, self.answers = [], {}
        there = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                there.asked.append((self.command, self.path, self.headers, body))
                path = self.path.partition("?")[0]
                status, headers, o = there.answers.get(f"{self.command} {path}") or there.answers.get(path) or (
                    404, {}, {"error": "there is no such path", "status": 404})
                data = json.dumps(o).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # pylint: disable=invalid-name

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that does not trust us

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @property
    def tokens(self):
        """What came as Authorization."""
        return [headers.get("Authorization") for _, _, headers, _ in self.asked]


class Contexts(Case):
    def setUp(self):
        super().setUp()
        self.ini = self.dir / "conf" / "ctl.ini"
        self.far = self.elsewhere()

    def elsewhere(self, **kw):
        there = self._close(Elsewhere(self.free_port(), **kw))
        there.answers["/api/v1/queues"] = (200, {}, {"queues": []})
        return there

    def ctl(self, *args, status=0, stdin="", **env):
        r = self.run_program(PEPPERBUSCTL, *args, stdin=stdin,
                             env={**os.environ, "HOME": str(self.dir), "PEPPERBUS_CTL_CONFIG": str(self.ini), **env})
        self.assertEqual(r.status, status, f"{args}: {r}")
        self.assertNotIn("5ec4e7", r.out + r.err, "no secret is printed")
        return r

    def contexts(self, text, mode=0o600):
        self.ini.parent.mkdir(exist_ok=True)
        self.ini.write_text(text)
        self.ini.chmod(mode)

    def token(self, name="far.token", mode=0o600, text=TOKEN):
        self.ini.parent.mkdir(exist_ok=True)
        path = self.ini.parent / name
        path.write_text(text + "\n")
        path.chmod(mode)
        return path


class Named(Contexts):
    def test_a_context_names_the_broker_and_its_token(self):
        self.contexts(f"; mine\n[context far]\nurl = {self.far.url}/base/\ntoken_file = far.token\n")
        self.token()
        self.far.answers["/base/api/v1/queues"] = (200, {}, {"queues": []})
        self.ctl("--context", "far", "queue", "ls")
        self.ctl("queue", "ls", PEPPERBUS_CONTEXT="far")
        self.assertEqual([path for _, path, _, _ in self.far.asked], ["/base/api/v1/queues"] * 2)
        self.assertEqual(self.far.tokens, [f"Bearer {TOKEN}"] * 2, "the token is the one of its file")
        r = self.ctl("-C", "fra", "queue", "ls", status=2)
        self.assertIn("did you mean far?", r.err, "a name that is none, with a guess")

    def test_the_file_is_in_the_home_directory(self):
        self.ini = self.dir / ".config" / "pepperbus" / "ctl.ini"
        self.ini.parent.mkdir(parents=True)
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = {self.token()}\n")
        self.ctl("--context", "far", "queue", "ls", PEPPERBUS_CTL_CONFIG="", XDG_CONFIG_HOME="")
        self.assertEqual(self.far.tokens, [f"Bearer {TOKEN}"])

    def test_files_that_others_can_read_are_not_used(self):
        text = f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n"
        self.contexts(text, 0o640)
        self.token()
        self.assertIn("chmod 600", self.ctl("--context", "far", "queue", "ls", status=2).err, "the contexts")
        self.contexts(text)
        self.token(mode=0o644)
        self.assertIn("chmod 600", self.ctl("--context", "far", "queue", "ls", status=5).err, "the token")
        self.assertEqual(self.far.asked, [], "nothing was sent")

    def test_faults_of_the_file_are_told_with_their_line(self):
        self.token()
        for text, line, what in (("[context far]\nurl = x\ntoken = y\n", 3, "token"),
                                 ("[contexts]\n", 1, "contexts"),
                                 ("[context far]\ntoken_file = far.token\n", 1, "no url"),
                                 ("[context far]\nurl = http://a\n", 1, "no token_file"),
                                 ("[context far]\nurl\n", 2, "ctl.ini")):
            self.contexts(text)
            self.assertRegex(self.ctl("--context", "far", "queue", "ls", status=2).err, f"ctl.ini:{line}: .*{what}|"
                             f"{what}.*:{line}: ", text)

    def test_what_is_said_first_counts(self):
        """Options, --context, the environment, the local broker."""
        near, home = self.elsewhere(), self.elsewhere()
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n")
        self.token()
        mine = self.token("mine", text="mine")
        both = {"PEPPERBUS_URL": home.url, "PEPPERBUS_TOKEN": "home"}
        self.ctl("-H", near.url, "--token-file", mine, "--context", "far", "queue", "ls", **both)
        self.assertEqual((near.tokens, self.far.tokens, home.tokens), (["Bearer mine"], [], []), "options")
        self.ctl("--context", "far", "queue", "ls", **both)
        self.assertEqual(self.far.tokens, [f"Bearer {TOKEN}"], "--context, with its own token")
        self.ctl("queue", "ls", **both)
        self.assertEqual(home.tokens, ["Bearer home"], "the environment")
        self.assertEqual((len(near.asked), len(self.far.asked)), (1, 1), "and nobody else is asked")


class TokenStays(Contexts):
    def test_a_token_goes_to_its_own_url_only(self):
        near = self.elsewhere()
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n")
        self.token()
        self.ctl("-H", near.url, "--context", "far", "queue", "ls", status=5)
        self.ctl("-H", near.url, "queue", "ls", status=5, PEPPERBUS_URL=self.far.url, PEPPERBUS_TOKEN=TOKEN)
        self.assertEqual(near.asked, [], "the token of another URL is not sent")

    def test_no_redirect_is_followed(self):
        near = self.elsewhere()
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n")
        self.token()
        for status in (301, 302, 307, 308):
            self.far.answers["/api/v1/queues"] = (status, {"Location": f"{near.url}/api/v1/queues"}, {})
            self.assertIn("sends elsewhere", self.ctl("--context", "far", "queue", "ls", status=1).err, status)
        self.assertEqual(near.asked, [], "nobody else is asked")

    def test_what_is_no_url_of_a_broker_is_refused(self):
        for url in ("ftp://a", "http://u:5ec4e7@a", "http://", "http://a?x", "https://a#b", "https://a b"):
            self.ctl("-H", url, "queue", "ls", status=2, PEPPERBUS_TOKEN="x")


class Encrypted(WebCase, Contexts):
    def test_https_trusts_the_authority_of_the_context(self):
        self.authority("ca")
        self.certificate("server", "ca")
        there = self.elsewhere(certificate=(self.dir / "server.pem", self.dir / "server.key"))
        text = f"[context far]\nurl = {there.url}\ntoken_file = far.token\n"
        self.contexts(text)
        self.token()
        r = self.ctl("--context", "far", "queue", "ls", status=3)
        self.assertIn("ca_file", r.err, "an authority that nobody knows, and what to do")
        self.assertEqual(there.asked, [], "nothing was sent")
        self.contexts(f"{text}ca_file = {self.dir}/ca.pem\n")
        self.ctl("--context", "far", "queue", "ls")
        self.ctl("-H", there.url, "--ca-file", self.dir / "ca.pem", "queue", "ls", PEPPERBUS_TOKEN=TOKEN)
        self.assertEqual(there.tokens, [f"Bearer {TOKEN}"] * 2)


if __name__ == "__main__":
    main()

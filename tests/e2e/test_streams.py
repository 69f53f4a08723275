#!/usr/bin/env python3
"""What the broker is started with and what it opens by name: streams that nobody reads, files that
are no files, signals that are blocked, orphans of others."""

import ctypes
import fcntl
import os
import pty
import re
import resource
import signal
import socket
import subprocess

from harness import PEPPERBUSCTL, PLUGIN_DIR, PEPPERBUSD, Case, case, main, wait_until

ODD = "\u009b2J \u2028 \u202e \ufeff \u2066"


class Streams(Case):
    def config(self, extra=""):
        redis = self.redis("main")
        return self.waiting(redis.address, "a-long-secret", more=extra)

    def chatter(self, b):
        """Has the broker log a line."""
        with socket.create_connection(("127.0.0.1", b.port), 60) as s:
            s.sendall(b"*1\r\n!\r\n")
            s.recv(100)

    def dropped(self, b):
        return b.metrics()["pepperbus_log_dropped_total"]

    def fill(self, b):
        """Until lines are dropped, whatever holds them up."""
        def full():
            self.chatter(b)
            return self.dropped(b) > 0
        wait_until(full, 60, "no line was dropped")

    @case("S2")
    def test_a_pipe_that_nobody_reads(self):
        r, w = os.pipe()
        os.set_blocking(w, False)
        try:
            while True:
                os.write(w, b"x" * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(w, True)
        b = self.broker("a", self.config(), stderr=w, stdout=w)
        self.assertEqual(b.push("q", "one")[0].isdigit(), True)
        self.fill(b)
        self.assertTrue(os.get_blocking(w), "the pipe's other users still wait")
        os.set_blocking(r, False)
        text = b""

        def told():
            nonlocal text
            try:
                text += os.read(r, 65536)
            except BlockingIOError:
                pass
            return re.search(rb"warning: [0-9]+ lines? (was|were) dropped", text)
        wait_until(told, 20, lambda: text[-300:])
        self.assertEqual(b.stop(), 0)
        os.close(r)
        os.close(w)

    @case("S2")
    def test_a_clean_stop_with_a_full_pipe(self):
        r, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
        b = self.broker("a", self.config(), stderr=w)
        self.fill(b)
        self.assertEqual(b.stop(), 0)
        os.close(r)
        os.close(w)

    @case("S2")
    def test_a_terminal_that_is_stopped(self):
        leader, follower = pty.openpty()
        b = self.broker("a", self.config(), stderr=follower)
        os.write(leader, b"\x13")  # Ctrl-S
        self.fill(b)
        self.assertEqual(b.push("q", "one")[0].isdigit(), True)
        self.assertEqual(b.stop(), 0)
        os.close(follower)
        os.close(leader)

    @case("S2")
    def test_a_socket_that_nobody_reads(self):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        try:
            while True:
                theirs.send(b"x" * 1000)
        except BlockingIOError:
            pass
        theirs.setblocking(True)
        b = self.broker("a", self.config(), stderr=theirs.fileno())
        self.fill(b)
        self.assertEqual(b.stop(), 0)
        ours.close()
        theirs.close()

    @case("S2")
    def test_a_full_disk(self):
        with open("/dev/full", "wb", buffering=0) as full:
            b = self.broker("a", self.config(), stderr=full)
            self.assertGreater(self.dropped(b), 0)
            self.assertEqual(b.push("q", "one")[0].isdigit(), True)
            self.assertEqual(b.stop(), 0)

    @case("X5")
    def test_texts_of_workers_reach_no_terminal_raw(self):
        worker = self.write("worker.sh", f"#!/bin/sh\ncat >/dev/null\nprintf '%s' '{ODD}' >&2\nexit 70\n", 0o755)
        b = self.broker("a", self.config(f"""[topic q/x]
run_type = exec
entry = {worker}
attempts = 1
"""))
        b.push("q", "x" + ODD)
        wait_until(lambda: b.topic("q/x")["dead"] == 1, 20)
        texts = {"errors": b.ctl("topic", "errors", "q/x"), "retry": b.ctl("topic", "retry", "q/x"),
                 "show": b.ctl("topic", "show", "q/x"), "status": b.ctl("status")}
        odd = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
        for name, r in texts.items():
            self.assertIsNone(odd.search(r.out + r.err), (name, r))
        self.assertIn("\\u009b2J", texts["errors"].out)
        self.assertIn("\\u202e", texts["errors"].out)
        self.assertIn(ODD, b.ctl("topic", "errors", "q/x", "--json").json["errors"][0]["message"])
        self.assertIsNone(odd.search(b.log_text()))

    # --- what is opened by name ---

    def odd_files(self):
        d = self.dir / "odd"
        d.mkdir()
        os.mkfifo(d / "fifo")
        (d / "dir").mkdir()
        (d / "loop").symlink_to(d / "loop")
        s = socket.socket(socket.AF_UNIX)
        s.bind(str(d / "socket"))
        s.close()
        return [d / "fifo", d / "dir", d / "loop", d / "socket", "/dev/zero"]

    def checked(self, ini):
        path = self.write("odd.ini", ini, 0o600)
        r = self.run_program(PEPPERBUSD, "-t", "-c", path, seconds=20)  # a hang ends here
        return r

    @case("S3")
    def test_keys_that_name_a_file(self):
        base = f"[server]\nstate_dir = {self.dir}/s\nplugin_dir = {PLUGIN_DIR}\n"
        rest = "[storage main]\naddress = 127.0.0.1:6379\n"
        topic = "[queue q]\npassword = a-long-secret\n[topic q/t]\n"
        http = "run_type = http\nentry = https://127.0.0.1:1/\n"
        for odd in self.odd_files():
            for name, ini in {
                    "include": f"{base}include = {odd}\n{rest}",
                    "password_file": f"{base}[storage main]\naddress = 127.0.0.1:6379\npassword_file = {odd}\n",
                    "signing_key_file": f"{base}{rest}{topic}{http}signing_key_file = {odd}\n",
                    "ca_file": f"{base}{rest}{topic}{http}ca_file = {odd}\n",
                    "client_cert": f"{base}{rest}{topic}{http}client_cert = {odd}\nclient_key = {odd}\n",
                    "authorization_file": f"{base}{rest}{topic}{http}authorization_file = {odd}\n",
                    "env_file": f"{base}{rest}{topic}run_type = exec\nentry = /bin/true\nenv_file = {odd}\n",
                    "entry": f"{base}{rest}{topic}run_type = exec\nentry = {odd}\n"}.items():
                r = self.checked(ini)
                if name == "entry":  # what is there when a job comes counts; nothing waits for it
                    continue
                self.assertEqual(r.status, 2, (name, odd, r))
                self.assertIn(str(odd), r.err, (name, odd, r))

    @case("S3")
    def test_a_configuration_from_a_pipe_is_refused(self):
        """A reload would read an empty one, and drop every topic."""
        b = self.broker("a", self.waiting(self.redis().address), start=False)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.write(writer, b.path.read_bytes())
        os.close(writer)
        r = self.run_program(PEPPERBUSD, "-t", "-c", f"/dev/fd/{reader}", pass_fds=[reader])
        self.assertEqual(r.status, 2, r)
        self.assertRegex(r.err + r.out, r"/dev/fd/\d+: cannot be read: it is a pipe; name a file")

    @case("S3")
    def test_plugin_dir(self):
        plugins = self.dir / "plugins"
        plugins.mkdir()
        for odd in self.odd_files():
            link = plugins / "odd.so"
            link.symlink_to(odd)
            r = self.checked(f"[server]\nstate_dir = {self.dir}/s\nplugin_dir = {plugins}\n"
                             "[storage main]\naddress = 127.0.0.1:6379\n")
            self.assertRegex(r.err, r"odd\.so: (cannot be loaded: it is not a regular file|Too many levels)", (odd, r))
            link.unlink()

    @case("S3")
    def test_state_dir_and_its_lock(self):
        for odd in self.odd_files():
            state = self.dir / f"state-{os.path.basename(odd)}"
            state.mkdir()
            (state / "pepperbusd.lock").symlink_to(odd)
            path = self.write("a.ini", f"[server]\nlisten = 127.0.0.1:{self.free_port()}\nadmin =\nstate_dir = {state}\n"
                              f"plugin_dir = {PLUGIN_DIR}\n[storage main]\naddress = 127.0.0.1:1\n")
            r = self.run_program(PEPPERBUSD, "-c", path, seconds=20)
            self.assertEqual(r.status, 1, (odd, r))
            self.assertRegex(r.err, r"pepperbusd\.lock", (odd, r))
        r = self.checked(f"[server]\nstate_dir = {self.dir}/odd/fifo\n[storage main]\naddress = 127.0.0.1:6379\n")
        self.assertEqual(r.status, 2, r)
        self.assertIn("is not a folder", r.err)

    @case("S3")
    def test_the_token_that_ctl_reads(self):
        for odd in self.odd_files():
            b = self.run_program(PEPPERBUSCTL, "-H", "127.0.0.1:1", "--token-file", odd, "status", seconds=20)
            self.assertIn(b.status, (2, 3, 4, 5), b)
            self.assertIn(str(odd), b.err)

    # --- as a process ---

    @case("S4")
    def test_orphans_are_reaped(self):
        libc = ctypes.CDLL(None)
        # As process 1, without being root: orphans come to a "child subreaper" as well.
        b = self.broker("a", self.config(f"""[topic q/x]
run_type = exec
entry = {self.write("leaves.sh", "#!/bin/sh" + chr(10) + "cat >/dev/null; (setsid sleep 0.1 </dev/null >/dev/null 2>&1 &)" + chr(10), 0o755)}
"""), preexec_fn=lambda: libc.prctl(36, 1, 0, 0, 0))
        b.push("q", *[f"job {i}" for i in range(5)])
        wait_until(lambda: b.topic("q/x")["done"] == 5, 20)

        def children():
            out = subprocess.run(["ps", "-o", "stat=,args=", "--ppid", str(b.pid)], capture_output=True,
                                 text=True, check=False).stdout
            return [l for l in out.splitlines() if "sleep" in l or l.startswith("Z")]
        wait_until(lambda: not children(), 30, children)
        self.assertEqual(b.stop(), 0)

    @case("S4")
    def test_blocked_and_ignored_signals(self):
        many = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT, signal.SIGUSR1)

        def block():
            signal.pthread_sigmask(signal.SIG_BLOCK, many)

        def ignore():
            for s in many:
                signal.signal(s, signal.SIG_IGN)
        for i, how in enumerate((block, ignore)):
            ini = self.config(f"""[topic q/x]
run_type = exec
entry = {self.write("ok.sh", "#!/bin/sh" + chr(10) + "cat >/dev/null" + chr(10), 0o755)}
""") if not i else ini
            b = self.broker(f"b{i}", ini, preexec_fn=how)
            b.push("q", "job")
            wait_until(lambda: b.topic("q/x")["done"] == i + 1 or b.topic("q/x")["done"] == 1, 20)
            b.reload()
            self.assertTrue(b.logged("configuration reloaded"))
            self.assertEqual(b.stop(), 0)

    @case("S4")
    def test_closed_descriptors(self):
        def close():
            for fd in (0, 1, 2):
                os.close(fd)
        b = self.broker("a", self.config(), preexec_fn=close)
        self.assertEqual(b.push("q", "job")[0].isdigit(), True)
        lock = (b.state_dir / "pepperbusd.lock").read_text()
        self.assertEqual(lock, f"{b.pid}\n")
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{b.pid}/fd/{fd}"), "/dev/null")
        self.assertEqual(b.stop(), 0)

    @case("S4")
    def test_few_descriptors(self):
        b = self.broker("a", self.config(), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        self.assertTrue(b.logged("limit of open files is 64"))
        self.assertEqual(b.push("q", "job")[0].isdigit(), True)
        self.assertEqual(b.stop(), 0)


if __name__ == "__main__":
    main()

"""A TCP proxy between the broker and what it talks to, which can fail as networks do."""

import socket
import threading
import time


class TcpProxy:
    """Listens on 127.0.0.1:`port` and forwards to `target` ("host:port" or "unix:/path").

    cut()            ends all connections now (RST)
    refuse(True)     new connections are closed at once
    hold(True)       nothing passes in either direction, connections stay
    delay(seconds)   each piece is that much late
    rate(bytes)      so many bytes a second towards the target (0: no limit)
    change(function) what the target sends passes through it (bytes to bytes)
    point_to(target) new connections go there; with cut() this is a failover behind a name
    """

    def __init__(self, target, port):
        self.target, self.port = target, port
        self.address = f"127.0.0.1:{port}"
        self.connections = 0
        self._delay, self._rate, self._refuse, self._change = 0.0, 0, False, None
        self._open = threading.Event()
        self._open.set()
        self._pairs, self._lock, self._closed = set(), threading.Lock(), False
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self, on=True):
        self._refuse = on

    def hold(self, on=True):
        (self._open.clear if on else self._open.set)()

    def delay(self, seconds):
        self._delay = seconds

    def rate(self, bytes_per_second):
        self._rate = bytes_per_second

    def change(self, function):
        self._change = function

    def point_to(self, target):
        self.target = target

    def cut(self):
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for s in pair:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    def close(self):
        self._closed = True
        self._open.set()
        self._listener.close()
        self.cut()

    def _connect(self):
        if self.target.startswith("unix:"):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.target[5:])
            return s
        host, _, port = self.target.rpartition(":")
        return socket.create_connection((host, int(port)), 5)

    def _accept(self):
        while not self._closed:
            try:
                a, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self._refuse:
                    raise OSError("refused")
                b = self._connect()
                b.settimeout(None)
            except OSError:
                a.close()
                continue
            pair = (a, b)
            with self._lock:
                self._pairs.add(pair)
            for source, sink, limited in ((a, b, True), (b, a, False)):
                threading.Thread(target=self._pump, args=(pair, source, sink, limited), daemon=True).start()

    def _pump(self, pair, source, sink, limited):
        try:
            while True:
                data = source.recv(65536 if not (limited and self._rate) else max(1, min(65536, self._rate // 20)))
                if not data:
                    break
                if self._delay:
                    time.sleep(self._delay)
                if limited and self._rate:
                    time.sleep(len(data) / self._rate)
                self._open.wait()
                if self._change and not limited:
                    data = self._change(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
            return
        except (OSError, ValueError):
            pass
        with self._lock:
            self._pairs.discard(pair)
        for s in pair:
            s.close()

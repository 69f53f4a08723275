"""A client of the Redis protocol, for the broker and for Redis, that shows what is on the wire."""

import socket


class RespError(Exception):
    """An error reply (its text is str(e)); as an element of an array it is a value."""


class RespClient:
    """One connection. Bulk and simple strings are returned as str (bytes where `raw_bytes`)."""

    def __init__(self, address, timeout=60, raw_bytes=False):
        self.raw_bytes = raw_bytes
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            target = address[5:]
        else:
            self.sock = socket.socket()
            host, _, port = address.rpartition(":")
            target = (host, int(port))
        self.sock.settimeout(timeout)
        self.sock.connect(target)
        self._in = self.sock.makefile("rb")

    def close(self):
        self._in.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def encode(*args):
        out = [b"*%d\r\n" % len(args)]
        for a in args:
            b = a if isinstance(a, bytes) else str(a).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(b), b))
        return b"".join(out)

    def raw(self, data):
        """Sends bytes as they are."""
        self.sock.sendall(data)

    def send(self, *args):
        self.raw(self.encode(*args))

    def recv(self):
        """The next reply; an error is raised. ConnectionError at the end of the connection."""
        value = self._value()
        if isinstance(value, RespError):
            raise value
        return value

    def call(self, *args):
        self.send(*args)
        return self.recv()

    def at_end(self):
        """True when the other side has closed the connection (waits for that or for data)."""
        try:
            return self._in.peek(1) == b""
        except ConnectionError:
            return True

    def _text(self, b):
        return b if self.raw_bytes else b.decode("utf-8", "surrogateescape")

    def _value(self):
        line = self._in.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return self._text(rest)
        if kind == b"-":
            return RespError(rest.decode("utf-8", "surrogateescape"))
        if kind == b":":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind in b"$=":
            n = int(rest)
            if n < 0:
                return None
            data = self._in.read(n + 2)
            if len(data) != n + 2:
                raise ConnectionError("the connection was closed within a reply")
            return self._text(data[:-2])
        if kind in b"*~>":
            n = int(rest)
            return None if n < 0 else [self._value() for _ in range(n)]
        if kind == b"%":
            return {self._value(): self._value() for _ in range(int(rest))}
        raise ValueError(f"not a reply: {line!r}")

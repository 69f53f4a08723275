"""A program on a terminal."""

import fcntl
import os
import pty
import struct
import termios
import threading

from .process import Process


class Terminal(Process):
    """Runs `argv` on a terminal of `rows` and `columns`. `screen`: all that it has written; `type(TEXT)`: keys."""

    def __init__(self, case, argv, rows=24, columns=80, env=None):
        self._fd, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._written, self._reader = b"", threading.Thread(target=self._read, daemon=True)
        super().__init__(argv, case.dir / "terminal.log", case.dir, {"TERM": "xterm", **(env or {})},
                         stdin=there, stdout=there, stderr=there, start_new_session=True)
        os.close(there)
        self._reader.start()

    def _read(self):
        try:
            while chunk := os.read(self._fd, 65536):
                self._written += chunk
        except OSError:  # its end has been closed
            pass

    @property
    def screen(self):
        return self._written.decode("utf-8", "replace").replace("\r\n", "\n")

    def type(self, text):
        os.write(self._fd, text.encode())

    def wait(self, seconds=60):
        status = super().wait(seconds)
        self._reader.join(seconds)
        return status

    def close(self):
        os.close(self._fd)

"""When this machine stood still for whoever wanted to work."""

import os
import threading
import time

PAUSE = 0.02


class Stalls:
    """Notes the times in which a short pause took more than `worth` seconds longer than it takes. Now and then a byte
    goes to the disk as well, where there is a file `disk` for it."""

    def __init__(self, worth=0.1, disk=None):
        self.noted, self._worth = [], worth
        self._disk = open(disk, "ab", buffering=0) if disk else None  # pylint: disable=consider-using-with
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        last, n = time.time(), 0
        while not self._enough.is_set():
            time.sleep(PAUSE)
            n += 1
            if self._disk and n % 5 == 0:
                self._disk.write(b".")
                os.fsync(self._disk.fileno())
            now = time.time()
            if now - last > self._worth:
                self.noted.append((last, now))
            last = now

    def __iter__(self):
        return iter(self.noted)

    def between(self, begin, end):
        """Seconds of that time in which the machine stood still."""
        return sum(max(0, min(b, end) - max(a, begin)) for a, b in self.noted)

    def stop(self):
        """Ends it; whether it has noted until now."""
        alive = self._thread.is_alive()
        self._enough.set()
        self._thread.join()
        if self._disk:
            self._disk.close()
        return alive

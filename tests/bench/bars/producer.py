"""A producer beside what a bar measures."""

import statistics
import threading
import time


class Producer(threading.Thread):
    """One job after the other, a millisecond apart."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.client = broker.client("q:a-long-password")
        self.took, self.over = [], False

    def run(self):
        while not self.over:
            began = time.monotonic()
            self.client.call("LPUSH", "q", "x" * 64)
            self.took.append((time.monotonic() - began) * 1000)
            time.sleep(0.001)

    def end(self):
        self.over = True
        self.join()
        self.client.close()
        return statistics.quantiles(self.took, n=100)[98], max(self.took)

#!/usr/bin/env python3
"""A producer in Python with redis-py (Debian: python3-redis): doc/protocol.md in code.

  PEPPERBUS_PASSWORD=a-long-secret producer.py HOST:PORT QUEUE JOB [DELAY]

Prints the id of the job. DELAY is a number of seconds.
"""

import os
import secrets
import sys
import time

import redis


class Producer:
    def __init__(self, host, port, queue, password):
        self.queue = queue
        # The queue is the user. The connection is made when the first command needs it.
        self.redis = redis.Redis(host=host, port=port, username=queue, password=password, socket_timeout=15)

    def add(self, job, delay=0, patience=30):
        """Stores the job once and returns its id. Raises what redis-py raises when the job cannot be stored."""
        token = secrets.token_hex(16)  # the same in all tries: ID makes one job of them
        give_up, pause = time.monotonic() + patience, 0.1
        while True:
            try:
                return self.redis.execute_command("ADDJOB", self.queue, job, 0, "DELAY", delay, "ID", token).decode()
            except redis.AuthenticationError:  # NOAUTH; it is a ConnectionError, so it must stand first
                raise
            except redis.ResponseError as error:
                # redis-py keeps the prefix, except ERR and NOAUTH. STORAGE may pass, and FULL may not.
                if not str(error).startswith("STORAGE ") or time.monotonic() > give_up:
                    raise
            except (redis.ConnectionError, redis.TimeoutError):  # nobody knows whether the job is stored
                if time.monotonic() > give_up:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 2)


def main(address, queue, job, delay="0"):
    host, _, port = address.rpartition(":")
    print(Producer(host, int(port), queue, os.environ["PEPPERBUS_PASSWORD"]).add(job, int(delay)))


if __name__ == "__main__":
    main(*sys.argv[1:])

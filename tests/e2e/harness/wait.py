"""Waiting for events."""

import time

from .contract import ContractError
from .env import PATIENCE, SLOW


def deadline_of(seconds):
    """The moment (time.monotonic) until which a test waits for what takes `seconds` on a machine at leisure."""
    return time.monotonic() + seconds * SLOW * PATIENCE


def wait_until(condition, seconds=10, what=None, pause=0.02):
    """Asks `condition()` again and again until it is true, and returns its value.

    `seconds` is what a machine at leisure needs at most. An exception of the condition counts as
    "not yet", but for an answer that breaks the contract of the API. At the deadline an AssertionError says `what` (a text, or a function that makes one).
    """
    end = deadline_of(seconds)
    while True:
        error = None
        try:
            value = condition()
            if value:
                return value
        except ContractError:
            raise
        except Exception as e:  # pylint: disable=broad-except
            error = e
        if time.monotonic() >= end:
            text = what() if callable(what) else what or "it did not come true"
            raise AssertionError(f"{text} (waited {seconds * SLOW * PATIENCE} s)"
                                 + (f"; last error: {error!r}" if error else "")) from error
        time.sleep(pause)


def equals(get, want, seconds=10, what=None):
    """Waits until `get()` is `want`; the message at the deadline shows what it was instead."""
    last = [None]

    def same():
        last[0] = get()
        return last[0] == want

    wait_until(same, seconds, lambda: f"{what or 'value'}: got {last[0]!r}, want {want!r}")

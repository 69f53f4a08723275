"""What the end-to-end tests in Python share: a real broker, Redis, php-fpm and nginx, clients for
both ports of the broker, and the waiting for events.

A test is a file `tests/e2e/test_NAME.py`:

    from harness import Case, case, main, wait_until

    class Full(Case):
        @case("R2")
        def test_what_waits_is_run_while_redis_is_full(self):
            redis = self.redis("main", "--maxmemory", "64mb")
            ...

    if __name__ == "__main__":
        main()

Each test has a scratch directory of its own (`self.dir`). Whatever it starts ends with it, by
process id. Nothing sleeps and hopes: `wait_until` asks again until its deadline.
"""

from .broker import Answer, Broker, Result
from .case import Case, case, main
from .commands import CommandCase
from .dead import bury
from .env import CONSOLE_DIR, PEPPERBUSCTL, PEPPERBUSD, PLUGIN_DIR, ROOT, SANITIZED, SLOW, WORKERS
from .fpm import Fpm, php
from .http_worker import HttpWorker
from .installed import Installed, compiler
from .nginx import Nginx
from .ports import free_port
from .process import Process
from .proxy import TcpProxy
from .redis import RedisServer
from .resp import RespClient, RespError
from .wait import deadline_of, equals, wait_until
from .web import WebCase

__all__ = [
    "Answer", "Broker", "Case", "CommandCase", "Fpm", "HttpWorker", "Installed", "Nginx", "PEPPERBUSCTL", "PEPPERBUSD",
    "CONSOLE_DIR", "PLUGIN_DIR", "Process", "ROOT", "RedisServer", "RespClient", "RespError", "Result", "SANITIZED", "SLOW",
    "TcpProxy", "WORKERS", "WebCase", "bury", "case", "compiler", "deadline_of", "equals", "free_port", "main", "php",
    "wait_until",
]

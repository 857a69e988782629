"""Redis: asked with RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests._services._binaries import find, require
from tests._services._server import HOST, Launch, exchange


class Redis:
    name = "redis"
    standard_port = 6379
    end_with = signal.SIGTERM

    def probe(self, port: int) -> str | None:
        try:
            if exchange(port, b"*1\r\n$4\r\nPING\r\n") != b"+PONG\r\n":
                return None  # something else, or it wants a password
            info = exchange(port, b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n")
        except OSError:
            return None
        version = re.search(rb"redis_version:(\S+)", info)
        return version.group(1).decode() if version else "unknown"

    def missing(self) -> str | None:
        return None if find("redis-server") else "redis-server (Debian package redis-server)"

    def launch(self, port: int, data_dir: Path) -> Launch:
        settings = {"port": str(port), "bind": HOST, "dir": str(data_dir), "save": "", "appendonly": "no"}
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return Launch(command=[require("redis-server"), *options])

"""Where the contestants keep their jobs: each run has an own Redis, SQLite file or PostgreSQL database.

Files are below the working directory: the bench removes it, even after a run that had to be killed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
_READY_S = 10.0
_POSTGRES = ["--host", HOST, "--port", os.environ.get("POSTGRES_PORT", "5432"), "--username", "postgres"]


@dataclass(frozen=True, slots=True)
class Store:
    """Any store: where it is, and what a reader must know of it."""

    url: str
    described: str

    def cpu_s(self) -> float | None:
        """Return the CPU seconds that the server has used, user and system; `None` without a server of our own."""
        return None


class Redis(Store):
    """A server of our own, on an own port, that writes nothing to disk."""

    __slots__ = ()

    def cpu_s(self) -> float:
        answer = self.ask("INFO", "cpu")
        fields = dict(line.split(":", 1) for line in answer.splitlines() if ":" in line)
        return float(fields["used_cpu_user"]) + float(fields["used_cpu_sys"])

    def ask(self, *words: str) -> str:
        """Return what `redis-cli` prints for a command."""
        command = ["redis-cli", "-h", HOST, "-p", self.url.rsplit(":", 1)[1].split("/")[0], *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def redis() -> Iterator[Store]:
    """Run a Redis server for the block."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        port = _free_port()
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            HOST,
            "--dir",
            folder,
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
            try:
                _wait_until_it_listens(port, server)
                yield Redis(f"redis://{HOST}:{port}/0", "Redis of its own on this machine, no persistence")
            finally:
                server.kill()


@contextmanager
def sqlite() -> Iterator[Store]:
    """Give the URL of a file that is not there yet."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), ignore_cleanup_errors=True) as folder:
        yield Store(
            f"sqlite:///{Path(folder) / 'queue.db'}?synchronous=full", "SQLite file of its own, synchronous=FULL"
        )


@contextmanager
def postgres() -> Iterator[Store]:
    """Give an own database in the server on `$POSTGRES_PORT` or 5432, whose user is `postgres`."""
    name = f"undercroft_bench_{os.getpid()}"
    subprocess.run(["createdb", *_POSTGRES, name], check=True)
    try:
        described = (
            f"PostgreSQL on this machine, synchronous_commit={_shown('synchronous_commit')}, fsync={_shown('fsync')}"
        )
        yield Store(f"postgresql://postgres@{HOST}:{_POSTGRES[3]}/{name}", described)
    finally:
        subprocess.run(["dropdb", *_POSTGRES, "--force", name], check=False)


def _shown(setting: str) -> str:
    command = ["psql", *_POSTGRES, "--no-align", "--tuples-only", "--command", f"SHOW {setting}", "postgres"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.01)
    raise RuntimeError(f"redis-server did not answer within {_READY_S:g}s")

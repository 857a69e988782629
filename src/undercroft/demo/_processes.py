"""The processes of the demonstration: the shop's server and its workers, on a home of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from undercroft._core.errors import Kind, UndercroftError

_STOP_S = 15.0
_SETTINGS = (
    "DATABASE_",
    "EMAIL_FROM",
    "MONGODB_",
    "MYSQL_",
    "PROCESS_MODE",
    "PUBSUB_",
    "RESEND_",
    "SMTP_",
    "UNDERCROFT_",
)


class PortTakenError(UndercroftError):
    """Somebody listens on the port already."""

    code = "UC3201"
    kind = Kind.UNAVAILABLE


class DemoFailedError(UndercroftError):
    """A process of the demonstration ended, or did not answer in time; the message quotes its log."""

    code = "UC3202"
    kind = Kind.UNAVAILABLE


class Processes:
    """Starts processes that log to files in `home`; ends those that are left when it is closed."""

    def __init__(self, home: Path, port: int | None) -> None:
        self.home = home
        self.port = free_port() if port is None else require_free(port)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._count = 0

    @property
    def url(self) -> str:
        """Where the shop answers."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            for process in self._running.values():
                process.terminate()
            for process in self._running.values():
                await anyio.to_thread.run_sync(_wait, process)

    def start_server(self) -> subprocess.Popen[bytes]:
        """Start the web server."""
        server = ["uvicorn", "undercroft.demo.shop:app", "--port", str(self.port), "--no-access-log"]
        return self._start("server", [sys.executable, "-m", *server, "--log-level", "warning"])

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker: the same command that one uses in production."""
        self._count += 1
        command = [sys.executable, "-m", "undercroft", "worker", "undercroft.demo.shop", "--concurrency", "4"]
        return self._start(f"worker-{self._count}", command)

    def require_running(self) -> None:
        """Raise when a process that should be running has ended.

        Raises:
            DemoFailedError: With the last line of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self.home / f"{name}.log"
                raise DemoFailedError(
                    f"the demo's {name} ended with code {process.returncode}; its last words: {_last_line(log)}"
                )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process with SIGKILL: it gets no chance to say goodbye."""
        process.kill()
        process.wait()
        self._running = {name: other for name, other in self._running.items() if other is not process}

    def logs(self) -> list[Path]:
        """Return the log files."""
        return sorted(self.home.glob("*.log"))

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(self.home), process_group=0
            )
        self._running[name] = process
        return process


def environment(home: Path) -> dict[str, str]:
    """Return the variables for the shop: this process's, with a home of its own.

    Only what chooses the queue is taken from the application's settings: no mail leaves the machine, and no database of
    somebody's is touched.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    if "UNDERCROFT_QUEUE" in os.environ:
        kept["UNDERCROFT_QUEUE"] = os.environ["UNDERCROFT_QUEUE"]
    return {**kept, "UNDERCROFT_HOME": str(home), "LOG_FORMAT": "json", "LOG_LEVEL": "info"}


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> int:
    """Return `port`.

    Raises:
        PortTakenError: Somebody listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise PortTakenError(
                f"port {port} is not free: {exc.strerror}",
                hint=f"use another one, for example --port {free_port()}, or leave --port out",
            ) from exc
    return port


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "none"


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

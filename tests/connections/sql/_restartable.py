"""A server of our own that can be killed and started again on the same data and port."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests._services import Server
from tests._services._own import _end, _spawn, _wait_until_ready, free_port

_CRASH = {"mariadb": signal.SIGKILL, "postgres": signal.SIGQUIT}
"""What makes each end without writing anything more; PostgreSQL's children would outlive a SIGKILL of their parent."""
_KEEP = {"mariadb": ["--innodb-flush-log-at-trx-commit=2"], "postgres": []}
"""A commit must be with the operating system: it is the process that crashes, not the machine."""


class Restartable:
    """One server; running from the beginning. `data` is where it keeps its files."""

    def __init__(self, server: Server, home: Path) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self._server, self._home = server, home
        launch = server.launch(self.port, home)
        self._launch = replace(launch, command=[*launch.command, *_KEEP[server.name]])
        self.data = home / "data"
        self._process = _spawn(self._launch, home)
        self.wait()

    def crash(self) -> None:
        """End it as a crash does."""
        self._process.send_signal(_CRASH[self._server.name])
        self._process.wait(timeout=20)

    def start(self) -> None:
        """Start it again. From the main thread: it is told to end when the thread that started it does."""
        self._process = _spawn(replace(self._launch, prepare=()), self._home)

    def stop(self) -> None:
        if self._process.poll() is None:
            _end(self._process, self._server.end_with)

    def wait(self) -> None:
        """Wait until it has recovered and answers."""
        try:
            _wait_until_ready(self._server, self._process, self.port, self._home)
        except BaseException:
            _end(self._process, signal.SIGKILL)
            raise


@contextmanager
def restartable(server: Server) -> Iterator[Restartable]:
    """Run one for the block; its data is removed."""
    parent = Path(tempfile.mkdtemp(prefix=f"undercroft-{server.name}-"))
    home = parent / "server"
    home.mkdir()
    try:
        running = Restartable(server, home)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(parent, ignore_errors=True)
